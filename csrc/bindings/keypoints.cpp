// Kernels that draw keypoints.

#include <pybind11/stl.h>

#include <limits>
#include <optional>

#include "bindings/arrays.hpp"
#include "pose_mask.hpp"
#include "rasterize_discs.hpp"
#include "rasterize_gaussians.hpp"

namespace posert::bindings {
namespace {

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

}  // namespace

void bind_keypoints(py::module_& module) {
    module.def("rasterize_discs", &rasterize_discs);
    module.def("rasterize_gaussians", &rasterize_gaussians);
    module.def("pose_mask", &pose_mask);
}

}  // namespace posert::bindings
