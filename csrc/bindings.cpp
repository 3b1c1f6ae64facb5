// The Python module posert._native: NumPy arrays in, kernels without the GIL. The public functions of posert.ops check
// what users pass; the checks here keep a mistake in posert itself from reading or writing outside an array.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpus.hpp"
#include "crop_resize.hpp"
#include "decode_heatmaps.hpp"
#include "morphology.hpp"
#include "pose_mask.hpp"
#include "rasterize_discs.hpp"
#include "rasterize_gaussians.hpp"
#include "threads.hpp"
#include "to_uint8.hpp"

namespace py = pybind11;

namespace {

// What the kernels' own arithmetic takes without overflow; posert.ops is stricter.
constexpr std::int64_t kMaxRadius = 1 << 20, kMaxStride = 1 << 20;

// An array's memory; strides in elements. Dimensions from `packed_from` on follow each other without gaps.
template <typename T>
struct View {
    T* data;
    std::vector<std::int64_t> shape;
    std::vector<std::int64_t> strides;
};

[[noreturn]] void refuse(const char* name, const std::string& why) {
    throw std::invalid_argument(std::string(name) + ": " + why);
}

template <typename T>
View<T> view(const py::array& array, const char* name, py::ssize_t dims, py::ssize_t packed_from,
             bool writable = false) {
    using Element = std::remove_const_t<T>;
    if (!py::isinstance<py::array_t<Element>>(array)) refuse(name, "wrong dtype");
    if (array.ndim() != dims) refuse(name, "needs " + std::to_string(dims) + " dimensions");
    if (writable && !array.writeable()) refuse(name, "is read-only");
    View<T> result{const_cast<T*>(static_cast<const T*>(array.data())), {}, {}};
    if (array.size() > 0 && reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0)
        refuse(name, "is not aligned");
    const auto bytes = static_cast<std::int64_t>(sizeof(T));
    for (py::ssize_t d = 0; d < dims; ++d) {
        result.shape.push_back(array.shape(d));
        result.strides.push_back(array.strides(d) / bytes);
        if (array.shape(d) > 1 && array.strides(d) % bytes != 0) refuse(name, "is not aligned");
    }
    std::int64_t step = 1;
    for (py::ssize_t d = dims - 1; d >= packed_from && array.size() > 0; --d) {
        const auto at = static_cast<std::size_t>(d);
        if (result.shape[at] > 1 && result.strides[at] != step) refuse(name, "is not packed");
        step *= result.shape[at];
    }
    return result;
}

void need_shape(const char* name, const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& wanted) {
    if (shape != wanted) refuse(name, "wrong shape");
}

void need_range(const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
    if (value < low || value > high) refuse(name, "out of range");
}

// The side of a square that has a centre.
void need_odd(const char* name, std::int64_t side) {
    if (side < 1 || side % 2 == 0) refuse(name, "is not odd and positive");
}

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

void rasterize_discs(const py::array& keypoints, int radius, float low, float high,
                     const std::optional<py::array>& previous, const py::array& out) {
    const auto to = view<float>(out, "out", 4, 1, true);
    const auto points = view<const float>(keypoints, "keypoints", 3, 0);
    need_shape("keypoints", points.shape, {to.shape[0], to.shape[1], 3});
    const float* before = nullptr;
    if (previous) {
        const auto old = view<const float>(*previous, "previous", 3, 0);
        need_shape("previous", old.shape, points.shape);
        before = old.data;
    }
    need_range("radius", radius, 0, kMaxRadius);
    const posert::DiscTarget target{to.data, to.strides[0], to.shape[0], to.shape[1], to.shape[2], to.shape[3]};
    const py::gil_scoped_release release;
    posert::rasterize_discs(points.data, before, radius, low, high, target);
}

void rasterize_gaussians(const py::array& keypoints, double sigma, double stride, double offset,
                         std::optional<double> cutoff, bool inside_only, const py::array& out) {
    const auto to = view<float>(out, "out", 4, 1, true);
    const auto points = view<const float>(keypoints, "keypoints", 3, 0);
    need_shape("keypoints", points.shape, {to.shape[0], to.shape[1], 3});
    const posert::GaussianOptions options{sigma, stride, offset,
                                          cutoff.value_or(std::numeric_limits<double>::infinity()), inside_only};
    const posert::GaussianTarget target{to.data, to.strides[0], to.shape[0], to.shape[1], to.shape[2], to.shape[3]};
    const py::gil_scoped_release release;
    posert::rasterize_gaussians(points.data, options, target);
}

void pose_mask(const py::array& keypoints, const py::array& limbs, int radius, std::int64_t closing,
               const py::array& out) {
    const auto to = view<std::uint8_t>(out, "out", 4, 1, true);
    const auto points = view<const float>(keypoints, "keypoints", 3, 0);
    const auto pairs = view<const std::int32_t>(limbs, "limbs", 2, 0);
    const std::int64_t joints = points.shape[1];
    need_shape("keypoints", points.shape, {to.shape[0], joints, 3});
    need_shape("out", to.shape, {to.shape[0], 1, to.shape[2], to.shape[3]});
    need_shape("limbs", pairs.shape, {pairs.shape[0], 2});
    need_range("radius", radius, 1, kMaxRadius);
    need_odd("closing", closing);
    for (std::int64_t i = 0; i < 2 * pairs.shape[0]; ++i) {
        if (pairs.data[i] < 0 || pairs.data[i] >= joints) refuse("limbs", "out of range");
    }
    const posert::MaskTarget target{to.data, to.strides[0], to.shape[0], to.shape[2], to.shape[3]};
    const py::gil_scoped_release release;
    posert::pose_mask(points.data, joints, pairs.data, pairs.shape[0], radius, closing, target);
}

void morphology(posert::Morphology operation, const py::array& mask, std::int64_t size, const py::array& out) {
    const auto from = view<const std::uint8_t>(mask, "mask", 3, 1);
    const auto to = view<std::uint8_t>(out, "out", 3, 1, true);
    need_shape("out", to.shape, from.shape);
    need_odd("size", size);
    const posert::MorphologyImages images{from.data,     from.strides[0], to.data,      to.strides[0],
                                          from.shape[0], from.shape[1],   from.shape[2]};
    const py::gil_scoped_release release;
    posert::morphology(operation, images, size);
}

void decode_heatmaps(const py::array& heatmaps, posert::Decode method, std::int64_t stride,
                     const std::optional<py::array>& transforms, double beta, std::int64_t window,
                     const py::array& out) {
    const auto from = view<const float>(heatmaps, "heatmaps", 4, 2);
    const auto to = view<float>(out, "out", 3, 1, true);
    need_shape("out", to.shape, {from.shape[0], from.shape[1], 3});
    need_range("stride", stride, 1, kMaxStride);
    need_odd("window", window);
    const float* matrices = nullptr;
    if (transforms) {
        const auto given = view<const float>(*transforms, "transforms", 3, 0);
        need_shape("transforms", given.shape, {from.shape[0], 2, 3});
        matrices = given.data;
    }
    const posert::Heatmaps maps{from.data,     from.strides[0], from.strides[1], from.shape[0],
                                from.shape[1], from.shape[2],   from.shape[3]};
    const posert::DecodeOptions options{method, stride, beta, window};
    const py::gil_scoped_release release;
    posert::decode_heatmaps(maps, options, matrices, to.data, to.strides[0]);
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "C++ kernels of posert; use posert.ops, which checks its arguments.";
    py::enum_<posert::Morphology>(module, "Morphology")
        .value("DILATE", posert::Morphology::kDilate)
        .value("ERODE", posert::Morphology::kErode)
        .value("OPENING", posert::Morphology::kOpening)
        .value("CLOSING", posert::Morphology::kClosing);
    py::enum_<posert::Decode>(module, "Decode")
        .value("ARGMAX", posert::Decode::kArgmax)
        .value("QUARTER", posert::Decode::kQuarter)
        .value("SOFTARGMAX", posert::Decode::kSoftargmax)
        .value("UPSAMPLED", posert::Decode::kUpsampled);
    module.def("crop_resize", &crop_resize);
    module.def("to_uint8", &to_uint8);
    module.def("rasterize_discs", &rasterize_discs);
    module.def("rasterize_gaussians", &rasterize_gaussians);
    module.def("pose_mask", &pose_mask);
    module.def("morphology", &morphology);
    module.def("decode_heatmaps", &decode_heatmaps);
    module.def("set_num_threads", &posert::set_num_threads);
    module.def("get_num_threads", &posert::get_num_threads);
    module.def("available_cpus", &posert::available_cpus, py::arg("root") = "");
    module.def("quota_cpus", &posert::quota_cpus, py::arg("root") = "");
    module.def("instruction_set", &posert::instruction_set);
}
