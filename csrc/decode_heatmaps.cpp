#include "decode_heatmaps.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "decode_upsampled.hpp"
#include "dispatch.hpp"
#include "threads.hpp"

namespace posert {
namespace {

// Floats as integers of the same order (NaN beyond the infinities): an integer maximum needs no rule for NaN, so it is
// vectorised.
POSERT_INLINE std::int32_t ordered(std::int32_t bits) {
    return bits ^ ((bits >> 31) & 0x7FFFFFFF);
}

POSERT_INLINE float from_ordered(std::int32_t key) {
    const std::int32_t bits = ordered(key);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

constexpr std::int32_t kInfinityKey = 0x7F800000;

}  // namespace

POSERT_CLONES MapRange map_range(const float* map, std::int64_t count) {
    std::int32_t most = std::numeric_limits<std::int32_t>::min(), least = std::numeric_limits<std::int32_t>::max();
    for (std::int64_t i = 0; i < count; ++i) {
        std::int32_t bits;
        std::memcpy(&bits, map + i, sizeof bits);
        const std::int32_t key = ordered(bits);
        most = key > most ? key : most;
        least = key < least ? key : least;
    }
    const bool finite = most < kInfinityKey && least > ~kInfinityKey;
    MapRange range{from_ordered(least), from_ordered(most), finite, 0};
    if (!finite || !(range.greatest > 0)) return range;
    // The first block that holds the greatest value, then its place in it.
    constexpr std::int64_t kBlock = 64;
    std::int64_t start = 0;
    for (; start + kBlock <= count; start += kBlock) {
        std::int32_t found = 0;
        for (std::int64_t i = 0; i < kBlock; ++i) found |= map[start + i] == range.greatest;
        if (found != 0) break;
    }
    while (map[start] != range.greatest) ++start;
    range.first = start;
    return range;
}

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
    if (!(peak.value > 0)) {
        out[0] = out[1] = std::numeric_limits<float>::quiet_NaN();
        out[2] = 0;
        return;
    }
    double x = peak.x, y = peak.y;
    if (transform != nullptr) {
        const double a = transform[0], b = transform[1], c = transform[2], d = transform[3], e = transform[4],
                     f = transform[5];
        x = a * peak.x + b * peak.y + c;
        y = d * peak.x + e * peak.y + f;
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
