#include "find_peaks.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <vector>

#include "dispatch.hpp"
#include "enlarged_peaks.hpp"
#include "map_range.hpp"
#include "peak_rules.hpp"
#include "threads.hpp"

namespace posert {
namespace {

constexpr std::int64_t kReach = 3;   // of the centroid
constexpr std::int64_t kPiece = 64;  // pixels that are looked at together

// Whether any of the pixels is above the threshold; if so, marks those that are greater than their neighbours, too.
POSERT_CLONES bool mark_peaks(const float* POSERT_RESTRICT line, std::int64_t row_step, std::int64_t count,
                              float threshold, std::uint8_t* POSERT_RESTRICT marks) {
    std::int32_t any = 0;
    for (std::int64_t i = 0; i < count; ++i) any |= line[i] > threshold;
    if (any == 0) return false;
    const float *above = line - row_step, *below = line + row_step;
    for (std::int64_t i = 0; i < count; ++i) {
        const float value = line[i];
        const bool beside = (value > threshold) & (value > line[i - 1]) & (value > line[i + 1]);
        const bool over = (value > above[i - 1]) & (value > above[i]) & (value > above[i + 1]);
        const bool under = (value > below[i - 1]) & (value > below[i]) & (value > below[i + 1]);
        marks[i] = beside & over & under;
    }
    return true;
}

// Appends the peaks of a map in row-major order, until there are at least `most`.
void find_in_map(const float* map, Frame frame, float threshold, std::int64_t most, std::vector<Pixel>& found) {
    const Window<float> window{map, frame.width, 0, 0};
    std::uint8_t marks[kPiece];
    const auto look = [&](std::int64_t row, std::int64_t first, std::int64_t end) {
        for (std::int64_t column = std::max<std::int64_t>(first, 0); column < std::min(end, frame.width); ++column) {
            if (is_peak(window, frame, threshold, {row, column})) found.push_back({row, column});
        }
    };
    for (std::int64_t row = 0; row < frame.height && static_cast<std::int64_t>(found.size()) < most; ++row) {
        const bool inside = row > 1 && row < frame.height - 2 && frame.width > 4;
        look(row, 0, inside ? 2 : frame.width);
        if (!inside) continue;
        for (std::int64_t column = 2; column < frame.width - 2; column += kPiece) {
            const std::int64_t count = std::min(kPiece, frame.width - 2 - column);
            if (!mark_peaks(map + row * frame.width + column, frame.width, count, threshold, marks)) continue;
            for (std::int64_t i = 0; i < count; ++i) {
                if (marks[i]) found.push_back({row, column + i});
            }
        }
        look(row, frame.width - 2, frame.width);
    }
}

// Writes x, y and score of a peak. Sums row by row, as the definition does.
template <typename Value>
void write_peak(const Window<Value>& window, Frame frame, Pixel peak, double offset, float* out) {
    const std::int64_t bottom = std::min(peak.row + kReach, frame.height - 1);
    const std::int64_t right = std::min(peak.column + kReach, frame.width - 1);
    double total = 0, sum_x = 0, sum_y = 0;
    for (std::int64_t y = std::max<std::int64_t>(peak.row - kReach, 0); y <= bottom; ++y) {
        for (std::int64_t x = std::max<std::int64_t>(peak.column - kReach, 0); x <= right; ++x) {
            const double value = std::max(static_cast<double>(window.at(y, x)), 0.0);
            total += value;
            sum_x += value * static_cast<double>(x);
            sum_y += value * static_cast<double>(y);
        }
    }
    out[0] = static_cast<float>(sum_x / total + offset);
    out[1] = static_cast<float>(sum_y / total + offset);
    out[2] = static_cast<float>(window.at(peak.row, peak.column));
}

void write_missing(float* out, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
        out[3 * i] = out[3 * i + 1] = std::numeric_limits<float>::quiet_NaN();
        out[3 * i + 2] = 0;
    }
}

}  // namespace

void find_peaks(const Heatmaps& maps, const PeakOptions& options, const PeakTarget& out) {
    const Frame cells{maps.height, maps.width};
    const Frame frame{maps.height * options.stride, maps.width * options.stride};
    const std::int64_t area = cells.height * cells.width;
    const std::int64_t grain = std::max<std::int64_t>(1, (1 << 14) / std::max<std::int64_t>(area, 1));
    parallel_for(maps.items * maps.joints, grain, [&](std::int64_t begin, std::int64_t end) {
        std::optional<EnlargedPeaks> enlarged;
        if (options.stride > 1) enlarged.emplace(cells, options.stride, options.threshold);
        std::vector<Pixel> found;
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t item = index / maps.joints, joint = index % maps.joints;
            const float* map = maps.data + item * maps.item_stride + joint * maps.joint_stride;
            float* to = out.data + item * out.item_stride + 3 * out.max_peaks * joint;
            const MapRange range = area == 0 ? MapRange{0, 0, false, 0} : map_range(map, area);
            found.clear();
            if (range.finite && enlarged) enlarged->find(map, range, out.max_peaks, found);
            if (range.finite && !enlarged && range.greatest > options.threshold)
                find_in_map(map, frame, options.threshold, out.max_peaks, found);
            const std::int64_t count = std::min(static_cast<std::int64_t>(found.size()), out.max_peaks);
            for (std::int64_t i = 0; i < count; ++i) {
                const Pixel peak = found[static_cast<std::size_t>(i)];
                if (enlarged) {
                    write_peak(enlarged->around(peak, kReach), frame, peak, options.offset, to + 3 * i);
                } else {
                    write_peak(Window<float>{map, frame.width, 0, 0}, frame, peak, options.offset, to + 3 * i);
                }
            }
            write_missing(to + 3 * count, out.max_peaks - count);
        }
    });
}

}  // namespace posert
