#include "warp_parts.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "dispatch.hpp"
#include "threads.hpp"
#include "warp_region.hpp"

namespace posert {
namespace {

// Pixels of the masked picture hold this many channels side by side, so that a tap is one load.
constexpr std::int64_t kLanes = 4;
// Columns of the result that are computed together.
constexpr std::int64_t kRun = 128;

// NaN, infinite values and what overflows count as invisible: with them, a weight of 0 would not mean nothing.
POSERT_INLINE float masked(float mask, float value, float threshold) {
    const float product = mask * value;
    const bool finite = std::abs(product) <= std::numeric_limits<float>::max();
    return (mask > threshold) & finite ? product : 0.0F;
}

POSERT_CLONES void mask_row(const float* POSERT_RESTRICT mask, const float* POSERT_RESTRICT image, std::int64_t count,
                            float threshold, float* POSERT_RESTRICT out) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = masked(mask[i], image[i], threshold);
}

// Interleaves the masked rows of kLanes channels.
POSERT_CLONES void mask_pixels(const float* POSERT_RESTRICT mask, const float* const* image, std::int64_t count,
                               float threshold, float* POSERT_RESTRICT out) {
    const float *a = image[0], *b = image[1], *c = image[2], *d = image[3];
    for (std::int64_t i = 0; i < count; ++i) {
        out[4 * i] = masked(mask[i], a[i], threshold);
        out[4 * i + 1] = masked(mask[i], b[i], threshold);
        out[4 * i + 2] = masked(mask[i], c[i], threshold);
        out[4 * i + 3] = masked(mask[i], d[i], threshold);
    }
}

// Where a run of pixels samples an axis: the first of two taps, and the weight of the second.
struct Taps {
    std::int32_t index[kRun];
    float weight[kRun];
};

POSERT_CLONES void find_taps(Position position, double column, std::int64_t count, double low, double high,
                             Taps& taps) {
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(count); ++i) {
        // One is added last, as in the definition, so that both fall on the same side of an integer.
        const double at = position.x * (column + i) + position.origin + 1;
        const double above = at > low ? at : low;
        const double inside = above < high ? above : high;
        const auto index = static_cast<std::int32_t>(inside);
        taps.index[i] = index;
        taps.weight[i] = static_cast<float>(inside - index);
    }
}

// The masked picture around what is visible of it, kLanes channels a pixel, with specs K7's border.
struct Cutout {
    const float* pixels;  // of tap (0, 0), which need not be inside
    std::int64_t pitch;   // floats from one row to the next
};

// Samples of a run: kLanes floats a pixel.
POSERT_CLONES void sample_run(Cutout cutout, const Taps& x, const Taps& y, std::int64_t count,
                              float* POSERT_RESTRICT out) {
    for (std::int64_t i = 0; i < count; ++i) {
        const float* upper = cutout.pixels + y.index[i] * cutout.pitch + x.index[i] * kLanes;
        const float* lower = upper + cutout.pitch;
        const float down = y.weight[i], up = 1.0F - down, right = x.weight[i], left = 1.0F - right;
        float both[2 * kLanes];
        for (int c = 0; c < 2 * kLanes; ++c) both[c] = upper[c] * up + lower[c] * down;
        for (int c = 0; c < kLanes; ++c) out[i * kLanes + c] = both[c] * left + both[c + kLanes] * right;
    }
}

POSERT_CLONES void take_lane(const float* POSERT_RESTRICT from, std::int64_t count, float* POSERT_RESTRICT out) {
    for (std::int64_t i = 0; i < count; ++i) out[i] = from[i * kLanes];
}

void clear(float* data, std::int64_t count) {
    if (count > 0) std::memset(data, 0, static_cast<std::size_t>(count) * sizeof(float));
}

// Working memory of a thread, and one layer after the other in it.
class Warper {
  public:
    Warper(const WarpPlanes& planes, float threshold) : planes_(planes), threshold_(threshold) {}

    void layer(std::int64_t item, std::int64_t part) {
        const std::int64_t area = planes_.height * planes_.width;
        const float* image = planes_.image + item * planes_.image_stride;
        const float* mask = planes_.masks + item * planes_.mask_stride + part * area;
        const float* matrix = planes_.transforms + (item * planes_.parts + part) * 6;
        float* out = planes_.out + item * planes_.out_stride + part * planes_.channels * area;
        constexpr float kIdentity[6] = {1, 0, 0, 0, 1, 0};
        if (std::equal(matrix, matrix + 6, kIdentity)) {
            for (std::int64_t channel = 0; channel < planes_.channels; ++channel)
                mask_row(mask, image + channel * area, area, threshold_, out + channel * area);
            return;
        }
        region_.find(mask, planes_.height, planes_.width, threshold_);
        if (region_.empty) {
            clear(out, planes_.channels * area);
            return;
        }
        for (std::int64_t channel = 0; channel < planes_.channels; channel += kLanes) {
            const std::int64_t count = std::min(kLanes, planes_.channels - channel);
            const Cutout cutout = cut(mask, image + channel * area, count);
            for (std::int64_t row = 0; row < planes_.height; ++row)
                warp_row(cutout, matrix, row, count, out + channel * area + row * planes_.width);
        }
    }

  private:
    // The visible part of `count` channels.
    Cutout cut(const float* mask, const float* image, std::int64_t count) {
        const Axis &x = region_.x, &y = region_.y;
        const std::int64_t area = planes_.height * planes_.width;
        // A position at the last tap reads one more, with weight 0.
        const std::int64_t pitch = (x.last - x.first + 2) * kLanes, rows = y.last - y.first + 2;
        if (static_cast<std::int64_t>(pixels_.size()) < rows * pitch)
            pixels_.resize(static_cast<std::size_t>(rows * pitch));
        for (std::int64_t row = 0; row < rows; ++row) {
            float* to = pixels_.data() + row * pitch;
            const std::int64_t tap = y.first + row;
            if (tap > y.side + 1) {
                clear(to, pitch);
                continue;
            }
            const std::int64_t from = y.pixel(tap);
            const Interval columns = region_.rows[static_cast<std::size_t>(from)];
            if (columns.begin == columns.end) {
                clear(to, pitch);
                continue;
            }
            const float* lanes[kLanes];
            for (std::int64_t lane = 0; lane < kLanes; ++lane)  // lanes without a channel repeat one, and are not used
                lanes[lane] = image + std::min(lane, count - 1) * area + from * planes_.width + columns.begin;
            const std::int64_t before = (columns.begin + 1 - x.first) * kLanes;
            const std::int64_t inside = (columns.end - columns.begin) * kLanes;
            clear(to, before);
            mask_pixels(mask + from * planes_.width + columns.begin, lanes, columns.end - columns.begin, threshold_,
                        to + before);
            clear(to + before + inside, pitch - before - inside);
            if (x.endless_low) std::copy_n(to + (x.pixel(0) + 1 - x.first) * kLanes, kLanes, to);
            if (x.endless_high)
                std::copy_n(to + (x.pixel(x.side + 1) + 1 - x.first) * kLanes, kLanes,
                            to + (x.last - x.first) * kLanes);
        }
        return {pixels_.data() - y.first * pitch - x.first * kLanes, pitch};
    }

    void warp_row(Cutout cutout, const float* matrix, std::int64_t row, std::int64_t count, float* out) {
        const std::int64_t area = planes_.height * planes_.width;
        const auto line = static_cast<double>(row);
        const Position x{matrix[0], static_cast<double>(matrix[1]) * line + matrix[2]};
        const Position y{matrix[3], static_cast<double>(matrix[4]) * line + matrix[5]};
        const Interval columns = reached(region_, {x.x, x.origin + 1}, {y.x, y.origin + 1}, planes_.width);
        for (std::int64_t channel = 0; channel < count; ++channel) {
            clear(out + channel * area, columns.begin);
            clear(out + channel * area + columns.end, planes_.width - columns.end);
        }
        for (std::int64_t column = columns.begin; column < columns.end; column += kRun) {
            const std::int64_t run = std::min(kRun, columns.end - column);
            const auto first = static_cast<double>(column);
            find_taps(x, first, run, static_cast<double>(region_.x.first), static_cast<double>(region_.x.last),
                      x_taps_);
            find_taps(y, first, run, static_cast<double>(region_.y.first), static_cast<double>(region_.y.last),
                      y_taps_);
            sample_run(cutout, x_taps_, y_taps_, run, samples_);
            for (std::int64_t channel = 0; channel < count; ++channel)
                take_lane(samples_ + channel, run, out + channel * area + column);
        }
    }

    const WarpPlanes& planes_;
    const float threshold_;
    Region region_{};
    std::vector<float> pixels_;
    Taps x_taps_, y_taps_;
    float samples_[kRun * kLanes];
};

}  // namespace

void warp_parts(const WarpPlanes& planes, float visible_above) {
    const std::int64_t area = planes.height * planes.width * planes.channels;
    if (area == 0) return;
    parallel_for(planes.items * planes.parts, std::max<std::int64_t>(1, (1 << 14) / area),
                 [&](std::int64_t begin, std::int64_t end) {
                     Warper warper(planes, visible_above);
                     for (std::int64_t index = begin; index < end; ++index)
                         warper.layer(index / planes.parts, index % planes.parts);
                 });
}

}  // namespace posert
