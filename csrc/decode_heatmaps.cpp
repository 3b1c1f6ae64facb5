#include "decode_heatmaps.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "decode_upsampled.hpp"
#include "map_range.hpp"
#include "threads.hpp"

namespace posert {
namespace {

double sign(float value) {
    return value > 0 ? 1.0 : (value < 0 ? -1.0 : 0.0);
}

// Mean position in the window around the peak, weighted by exp(beta * (value - peak)); in cells.
Peak soft_argmax(const float* map, const Heatmaps& maps, std::int64_t row, std::int64_t column,
                 const DecodeOptions& options, float peak) {
    const std::int64_t reach = options.window / 2;
    const std::int64_t top = std::max<std::int64_t>(row - reach, 0), bottom = std::min(row + reach, maps.height - 1);
    const std::int64_t left = std::max<std::int64_t>(column - reach, 0),
                       right = std::min(column + reach, maps.width - 1);
    double total = 0, sum_x = 0, sum_y = 0;
    for (std::int64_t y = top; y <= bottom; ++y) {
        for (std::int64_t x = left; x <= right; ++x) {
            const double weight = std::exp(options.beta * (static_cast<double>(map[y * maps.width + x]) - peak));
            total += weight;
            sum_x += weight * static_cast<double>(x);
            sum_y += weight * static_cast<double>(y);
        }
    }
    return {sum_x / total, sum_y / total, peak};
}

// The peak of one map by any method but the upsampled one; in network pixels.
Peak refine(const float* map, const Heatmaps& maps, const MapRange& range, const DecodeOptions& options) {
    const std::int64_t width = maps.width, row = range.first / width, column = range.first % width;
    Peak peak{static_cast<double>(column), static_cast<double>(row), range.greatest};
    if (options.method == Decode::kQuarter && column > 0 && column < width - 1 && row > 0 && row < maps.height - 1) {
        const float* centre = map + range.first;
        peak.x += 0.25 * sign(centre[1] - centre[-1]);
        peak.y += 0.25 * sign(centre[width] - centre[-width]);
    } else if (options.method == Decode::kSoftargmax) {
        peak = soft_argmax(map, maps, row, column, options, range.greatest);
    }
    const double stride = static_cast<double>(options.stride), middle = (stride - 1) / 2;
    return {stride * peak.x + middle, stride * peak.y + middle, peak.value};
}

void write_joint(const Peak& peak, const float* transform, float* out) {
    constexpr float kMax = std::numeric_limits<float>::max();
    double x = peak.x, y = peak.y;
    if (transform != nullptr) {
        const double a = transform[0], b = transform[1], c = transform[2], d = transform[3], e = transform[4],
                     f = transform[5];
        x = a * peak.x + b * peak.y + c;
        y = d * peak.x + e * peak.y + f;
    }
    // A place that float32 cannot hold is none.
    if (!(peak.value > 0 && std::fabs(x) <= kMax && std::fabs(y) <= kMax)) {
        out[0] = out[1] = std::numeric_limits<float>::quiet_NaN();
        out[2] = 0;
        return;
    }
    out[0] = static_cast<float>(x);
    out[1] = static_cast<float>(y);
    out[2] = static_cast<float>(std::min(peak.value, 1.0));
}

}  // namespace

void decode_heatmaps(const Heatmaps& maps, const DecodeOptions& options, const float* transforms, float* out,
                     std::int64_t out_stride) {
    const std::int64_t area = maps.height * maps.width;
    const std::int64_t grain = std::max<std::int64_t>(1, (1 << 16) / std::max<std::int64_t>(area, 1));
    parallel_for(maps.items * maps.joints, grain, [&](std::int64_t begin, std::int64_t end) {
        std::optional<UpsampledPeak> upsampled;
        if (options.method == Decode::kUpsampled) upsampled.emplace(maps.height, maps.width, options.stride);
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t item = index / maps.joints, joint = index % maps.joints;
            const float* map = maps.data + item * maps.item_stride + joint * maps.joint_stride;
            Peak peak{0, 0, 0};
            const MapRange range = area == 0 ? MapRange{0, 0, false, 0} : map_range(map, area);
            if (range.finite && upsampled) {
                peak = upsampled->find(map, range);
            } else if (range.finite && range.greatest > 0) {
                peak = refine(map, maps, range, options);
            }
            write_joint(peak, transforms == nullptr ? nullptr : transforms + 6 * item,
                        out + item * out_stride + 3 * joint);
        }
    });
}

}  // namespace posert
