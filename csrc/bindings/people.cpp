// Kernels that find people: fields, peaks, limbs and their assembly, and the distance transform.

#include <pybind11/stl.h>

#include <limits>
#include <optional>

#include "assemble_people.hpp"
#include "bindings/arrays.hpp"
#include "distance_transform.hpp"
#include "find_peaks.hpp"
#include "limb_scores.hpp"
#include "rasterize_pafs.hpp"

namespace posert::bindings {
namespace {

// Pairs of joint indices that exist.
View<const std::int32_t> limb_view(const py::array& limbs, std::int64_t joints) {
    auto pairs = view<const std::int32_t>(limbs, "limbs", 2, 0);
    need_shape("limbs", pairs.shape, {pairs.shape[0], 2});
    for (std::int64_t i = 0; i < 2 * pairs.shape[0]; ++i) need_range("limbs", pairs.data[i], 0, joints - 1);
    return pairs;
}

void need_positive(const char* name, double value) {
    if (!(value > 0 && value < std::numeric_limits<double>::infinity())) refuse(name, "is not finite and positive");
}

void rasterize_pafs(const py::array& keypoints, const py::array& limbs, double stride, double width, bool average,
                    const py::array& out) {
    const auto points = view<const float>(keypoints, "keypoints", 4, 0);
    const auto to = view<float>(out, "out", 4, 1, true);
    need_shape("keypoints", points.shape, {to.shape[0], points.shape[1], points.shape[2], 3});
    const auto pairs = limb_view(limbs, points.shape[2]);
    need_shape("out", to.shape, {to.shape[0], 2 * pairs.shape[0], to.shape[2], to.shape[3]});
    need_positive("stride", stride);
    need_positive("width", width);
    const posert::PafOptions options{pairs.data, pairs.shape[0], stride, width, average};
    const posert::PafTarget target{to.data, to.strides[0], to.shape[0], to.shape[2], to.shape[3]};
    const py::gil_scoped_release release;
    posert::rasterize_pafs(points.data, points.shape[1], points.shape[2], options, target);
}

void find_peaks(const py::array& heatmaps, float threshold, std::int64_t stride, double offset, const py::array& out) {
    const auto from = view<const float>(heatmaps, "heatmaps", 4, 2);
    const auto to = view<float>(out, "out", 4, 1, true);
    need_shape("out", to.shape, {from.shape[0], from.shape[1], to.shape[2], 3});
    need_range("stride", stride, 1, kMaxStride);
    need_positive("threshold", threshold);
    const posert::Heatmaps maps{from.data,     from.strides[0], from.strides[1], from.shape[0],
                                from.shape[1], from.shape[2],   from.shape[3]};
    const py::gil_scoped_release release;
    posert::find_peaks(maps, {threshold, stride, offset}, {to.data, to.strides[0], to.shape[2]});
}

void limb_scores(const py::array& peaks, const py::array& pafs, const py::array& limbs, std::int64_t stride,
                 std::optional<int> samples, float sample_threshold, float accepted_fraction, float near_score,
                 std::optional<float> length_limit, const py::array& out) {
    const auto points = view<const float>(peaks, "peaks", 4, 0);
    const auto from = view<const float>(pafs, "pafs", 4, 2);
    const auto to = view<float>(out, "out", 4, 1, true);
    const auto pairs = limb_view(limbs, points.shape[1]);
    const std::int64_t items = points.shape[0], most = points.shape[2];
    need_shape("peaks", points.shape, {items, points.shape[1], most, 3});
    need_shape("pafs", from.shape, {items, 2 * pairs.shape[0], from.shape[2], from.shape[3]});
    need_shape("out", to.shape, {items, pairs.shape[0], most, most});
    need_range("stride", stride, 1, kMaxStride);
    if (samples) need_range("samples", *samples, 2, posert::kMaxSamples);
    const posert::LimbScoreOptions options{
        pairs.data,       pairs.shape[0],    stride,     samples.value_or(0),
        sample_threshold, accepted_fraction, near_score, length_limit.value_or(std::numeric_limits<float>::infinity())};
    const posert::FieldMaps maps{from.data, from.strides[0], from.strides[1], from.shape[2], from.shape[3]};
    const py::gil_scoped_release release;
    posert::limb_scores(points.data, points.shape[1], maps, options, {to.data, to.strides[0], items, most});
}

void assemble_people(const py::array& peaks, const py::array& scores, const py::array& limbs, const py::array& order,
                     const py::array& redundant, std::int64_t min_joints, double min_score, const py::array& people,
                     const py::array& totals) {
    const auto points = view<const float>(peaks, "peaks", 4, 0);
    const auto from = view<const float>(scores, "scores", 4, 0);
    const auto turns = view<const std::int32_t>(order, "order", 1, 0);
    const auto fillers = view<const bool>(redundant, "redundant", 1, 0);
    const auto to = view<float>(people, "people", 4, 1, true);
    const auto sums = view<float>(totals, "totals", 2, 0, true);
    const std::int64_t items = points.shape[0], joints = points.shape[1], most = points.shape[2];
    const auto pairs = limb_view(limbs, joints);
    need_shape("peaks", points.shape, {items, joints, most, 3});
    need_shape("scores", from.shape, {items, pairs.shape[0], most, most});
    need_shape("redundant", fillers.shape, {pairs.shape[0]});
    need_shape("people", to.shape, {items, to.shape[1], joints, 3});
    need_shape("totals", sums.shape, {items, to.shape[1]});
    for (std::int64_t i = 0; i < turns.shape[0]; ++i) need_range("order", turns.data[i], 0, pairs.shape[0] - 1);
    const posert::AssemblyOptions options{pairs.data,   pairs.shape[0], turns.data, turns.shape[0],
                                          fillers.data, min_joints,     min_score};
    const posert::PeopleTarget target{to.data, to.strides[0], sums.data, items, to.shape[1]};
    const py::gil_scoped_release release;
    posert::assemble_people(points.data, joints, most, from.data, options, target);
}

void distance_transform(const py::array& scores, double weight_x, double weight_y, const py::array& offsets,
                        const py::array& best, const py::array& location) {
    const auto from = view<const float>(scores, "scores", 4, 2);
    const auto shifts = view<const float>(offsets, "offsets", 2, 0);
    const auto to = view<float>(best, "best", 4, 1, true);
    const auto places = view<std::int32_t>(location, "location", 5, 0, true);
    need_shape("offsets", shifts.shape, {from.shape[1], 2});
    need_shape("best", to.shape, from.shape);
    need_shape("location", places.shape, {from.shape[0], from.shape[1], from.shape[2], from.shape[3], 2});
    need_positive("weight_x", weight_x);
    need_positive("weight_y", weight_y);
    const posert::ScoreMaps maps{from.data,     from.strides[0], from.strides[1], from.shape[0],
                                 from.shape[1], from.shape[2],   from.shape[3]};
    const py::gil_scoped_release release;
    posert::distance_transform(maps, {weight_x, weight_y, shifts.data}, to.data, to.strides[0], places.data);
}

}  // namespace

void bind_people(py::module_& module) {
    module.def("rasterize_pafs", &rasterize_pafs);
    module.def("find_peaks", &find_peaks);
    module.def("limb_scores", &limb_scores);
    module.def("assemble_people", &assemble_people);
    module.def("distance_transform", &distance_transform);
}

}  // namespace posert::bindings
