// Kernels from images to network inputs and back.

#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "crop_resize.hpp"
#include "to_uint8.hpp"

namespace posert::bindings {
namespace {

void crop_resize(const std::vector<py::array>& images, const py::array& boxes, const py::array& index,
                 const py::array& flip, const py::array& mean, const py::array& scale, std::optional<float> fill,
                 bool swap, const py::array& out) {
    const auto to = view<float>(out, "out", 4, 1, true);
    const std::int64_t people = to.shape[0];
    const auto box = view<const float>(boxes, "boxes", 2, 0);
    const auto image_of = view<const std::int64_t>(index, "index", 1, 0);
    const auto flips = view<const bool>(flip, "flip", 1, 0);
    const auto means = view<const float>(mean, "mean", 1, 0), scales = view<const float>(scale, "scale", 1, 0);
    need_shape("boxes", box.shape, {people, 4});
    need_shape("index", image_of.shape, {people});
    need_shape("flip", flips.shape, {people});
    need_shape("mean", means.shape, {3});
    need_shape("scale", scales.shape, {3});
    if (to.shape[1] != 3) refuse("out", "wrong shape");
    std::vector<posert::ImageView> views, chosen;
    for (const py::array& image : images) {
        const auto from = view<const std::uint8_t>(image, "image", 3, 1);
        if (from.shape[2] != 3 || image.size() == 0) refuse("image", "wrong shape");
        views.push_back({from.data, from.strides[0], from.shape[0], from.shape[1]});
    }
    for (std::int64_t person = 0; person < people; ++person) {
        const std::int64_t at = image_of.data[person];
        if (at < 0 || at >= static_cast<std::int64_t>(views.size())) refuse("index", "out of range");
        chosen.push_back(views[static_cast<std::size_t>(at)]);
    }
    posert::CropOptions options{};
    for (int c = 0; c < 3; ++c) {
        options.mean[c] = means.data[c];
        options.scale[c] = scales.data[c];
    }
    options.has_fill = fill.has_value();
    options.fill = fill.value_or(0.0F);
    options.swap = swap;
    const posert::CropTarget target{to.data, to.strides[0], people, to.shape[2], to.shape[3]};
    const py::gil_scoped_release release;
    posert::crop_resize(chosen.data(), box.data, flips.data, options, target);
}

void to_uint8(const py::array& images, const py::array& out) {
    const auto from = view<const float>(images, "images", 4, 1);
    const auto to = view<std::uint8_t>(out, "out", 4, 1, true);
    const std::int64_t count = from.shape[0], height = from.shape[2], width = from.shape[3];
    need_shape("images", from.shape, {count, 3, height, width});
    need_shape("out", to.shape, {count, height, width, 3});
    const py::gil_scoped_release release;
    posert::to_uint8(from.data, from.strides[0], count, height * width, to.data, to.strides[0]);
}

}  // namespace

void bind_images(py::module_& module) {
    module.def("crop_resize", &crop_resize);
    module.def("to_uint8", &to_uint8);
}

}  // namespace posert::bindings
