// Kernels that read heatmaps.

#include <pybind11/stl.h>

#include <optional>

#include "bindings/arrays.hpp"
#include "decode_heatmaps.hpp"

namespace posert::bindings {
namespace {

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

void bind_heatmaps(py::module_& module) {
    py::enum_<posert::Decode>(module, "Decode")
        .value("ARGMAX", posert::Decode::kArgmax)
        .value("QUARTER", posert::Decode::kQuarter)
        .value("SOFTARGMAX", posert::Decode::kSoftargmax)
        .value("UPSAMPLED", posert::Decode::kUpsampled);
    module.def("decode_heatmaps", &decode_heatmaps);
}

}  // namespace posert::bindings
