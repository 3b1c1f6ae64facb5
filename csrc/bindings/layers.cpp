// Kernels for body parts and for the layers that pictures are put together from.

#include "bindings/arrays.hpp"
#include "composite.hpp"
#include "limb_priors.hpp"
#include "limbs.hpp"
#include "part_masks.hpp"
#include "warp_parts.hpp"

namespace posert::bindings {
namespace {

void limb_priors(const py::array& keypoints, const py::array& out) {
    const auto points = view<const float>(keypoints, "keypoints", 3, 0);
    const auto to = view<float>(out, "out", 4, 1, true);
    need_shape("keypoints", points.shape, {to.shape[0], posert::kLimbJoints, 3});
    need_shape("out", to.shape, {to.shape[0], posert::kLayers, to.shape[2], to.shape[3]});
    const posert::PriorTarget target{to.data, to.strides[0], to.shape[0], to.shape[2], to.shape[3]};
    const py::gil_scoped_release release;
    posert::limb_priors(points.data, target);
}

void part_masks(const py::array& logits, const py::array& keypoints, int power, const py::array& out) {
    const auto from = view<const float>(logits, "logits", 4, 1);
    const auto points = view<const float>(keypoints, "keypoints", 3, 0);
    const auto to = view<float>(out, "out", 4, 1, true);
    need_shape("keypoints", points.shape, {to.shape[0], posert::kLimbJoints, 3});
    need_shape("out", to.shape, {to.shape[0], posert::kLayers, to.shape[2], to.shape[3]});
    need_shape("logits", from.shape, to.shape);
    if (power < 1) refuse("power", "out of range");
    const posert::MaskPlanes planes{from.data,   from.strides[0], to.data,     to.strides[0],
                                    to.shape[0], to.shape[2],     to.shape[3], power};
    const py::gil_scoped_release release;
    posert::part_masks(points.data, planes);
}

void warp_parts(const py::array& image, const py::array& masks, const py::array& transforms, float visible_above,
                const py::array& out) {
    const auto picture = view<const float>(image, "image", 4, 1);
    const auto mask = view<const float>(masks, "masks", 4, 1);
    const auto matrices = view<const float>(transforms, "transforms", 4, 0);
    const auto to = view<float>(out, "out", 5, 1, true);
    const std::int64_t items = to.shape[0], parts = to.shape[1], height = to.shape[3], width = to.shape[4];
    need_shape("image", picture.shape, {items, to.shape[2], height, width});
    need_shape("masks", mask.shape, {items, parts, height, width});
    need_shape("transforms", matrices.shape, {items, parts, 2, 3});
    if (!(visible_above >= 0)) refuse("visible_above", "out of range");
    if ((height + 4) * (width + 4) > (std::int64_t{1} << 31)) refuse("image", "too many pixels");
    const posert::WarpPlanes planes{picture.data,  picture.strides[0],
                                    mask.data,     mask.strides[0],
                                    matrices.data, to.data,
                                    to.strides[0], items,
                                    parts,         to.shape[2],
                                    height,        width};
    const py::gil_scoped_release release;
    posert::warp_parts(planes, visible_above);
}

void composite(const py::array& foreground, const py::array& background, const py::array& mask, bool swap,
               const py::array& out) {
    const auto front = view<const float>(foreground, "foreground", 4, 1);
    const auto back = view<const float>(background, "background", 4, 1);
    const auto weights = view<const float>(mask, "mask", 4, 1);
    const std::int64_t items = front.shape[0], height = front.shape[2], width = front.shape[3];
    need_shape("foreground", front.shape, {items, 3, height, width});
    need_shape("background", back.shape, front.shape);
    need_shape("mask", weights.shape, {items, 1, height, width});
    const posert::CompositeInputs inputs{front.data,      front.strides[0], back.data,
                                         back.strides[0], weights.data,     weights.strides[0],
                                         items,           height * width,   swap};
    if (py::isinstance<py::array_t<std::uint8_t>>(out)) {
        const auto to = view<std::uint8_t>(out, "out", 4, 1, true);
        need_shape("out", to.shape, {items, height, width, 3});
        const py::gil_scoped_release release;
        posert::composite_uint8(inputs, to.data, to.strides[0]);
    } else {
        const auto to = view<float>(out, "out", 4, 1, true);
        need_shape("out", to.shape, front.shape);
        const py::gil_scoped_release release;
        posert::composite(inputs, to.data, to.strides[0]);
    }
}

}  // namespace

void bind_layers(py::module_& module) {
    module.def("limb_priors", &limb_priors);
    module.def("part_masks", &part_masks);
    module.def("warp_parts", &warp_parts);
    module.def("composite", &composite);
}

}  // namespace posert::bindings
