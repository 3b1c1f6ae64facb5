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
// Columns of the result that are computed together; all but the last of a row come in steps.
constexpr std::int64_t kRun = 128, kStep = 16;

// A position on one row, as a function of the column.
struct Position {
    double step, origin;
};

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

// The masked picture around what is visible of it, kLanes channels a pixel, with specs K7's border.
struct Cutout {
    const float* pixels;
    std::int64_t width;  // pixels
};

// Where a run of pixels samples the cutout: the first of 2 x 2 pixels, and the weights of all.
struct Taps {
    std::int32_t index[kRun];
    float weights[4][kRun];
};

// A position on one axis of the cutout. The product and the origin, which may be huge, are added first, as in the
// definition: what is left of them then is the same.
POSERT_INLINE double limited(Position position, double column, const Axis& axis) {
    const double at = position.step * column + position.origin + static_cast<double>(1 - axis.first);
    const double above = at > 0.0 ? at : 0.0, last = static_cast<double>(axis.last - axis.first);
    return above < last ? above : last;
}

POSERT_CLONES void find_taps(Position x, Position y, const Axis& x_axis, const Axis& y_axis, double column,
                             std::int32_t count, std::int32_t width, Taps& taps) {
    const Axis across = x_axis, down = y_axis;
    for (std::int32_t i = 0; i < count; ++i) {
        const double at_x = limited(x, column + i, across), at_y = limited(y, column + i, down);
        const auto left = static_cast<std::int32_t>(at_x), top = static_cast<std::int32_t>(at_y);
        const auto right_share = static_cast<float>(at_x - left), lower_share = static_cast<float>(at_y - top);
        const float left_share = 1.0F - right_share, upper_share = 1.0F - lower_share;
        taps.index[i] = top * width + left;
        taps.weights[0][i] = left_share * upper_share;
        taps.weights[1][i] = right_share * upper_share;
        taps.weights[2][i] = left_share * lower_share;
        taps.weights[3][i] = right_share * lower_share;
    }
}

// Samples of a run: kLanes floats a pixel.
POSERT_CLONES void sample_run(Cutout cutout, const Taps& taps, std::int64_t count, float* POSERT_RESTRICT out) {
    for (std::int64_t i = 0; i < count; ++i) {
        const float* upper = cutout.pixels + taps.index[i] * kLanes;
        const float* lower = upper + cutout.width * kLanes;
        for (int c = 0; c < kLanes; ++c) {
            const float above = upper[c] * taps.weights[0][i] + upper[c + kLanes] * taps.weights[1][i];
            const float below = lower[c] * taps.weights[2][i] + lower[c + kLanes] * taps.weights[3][i];
            out[i * kLanes + c] = above + below;
        }
    }
}

// Writes `lanes` of the channels of a run to planes of their own, `plane` floats apart.
POSERT_CLONES void take_lanes(const float* POSERT_RESTRICT from, std::int64_t count, std::int64_t lanes,
                              float* POSERT_RESTRICT out, std::int64_t plane) {
    if (lanes == 3) {  // at once, as every pixel is loaded whole
        float *POSERT_RESTRICT second = out + plane, *POSERT_RESTRICT third = out + 2 * plane;
        for (std::int64_t i = 0; i < count; ++i) {
            out[i] = from[i * kLanes];
            second[i] = from[i * kLanes + 1];
            third[i] = from[i * kLanes + 2];
        }
        return;
    }
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
        for (std::int64_t i = 0; i < count; ++i) out[lane * plane + i] = from[i * kLanes + lane];
    }
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
            const std::int64_t lanes = std::min(kLanes, planes_.channels - channel);
            warp(cut(mask, image + channel * area, lanes), matrix, lanes, out + channel * area);
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
        return {pixels_.data(), pitch / kLanes};
    }

    void warp(Cutout cutout, const float* matrix, std::int64_t lanes, float* out) {
        const std::int64_t area = planes_.height * planes_.width;
        const Reach reach(region_, matrix[0], matrix[3]);
        std::int64_t written = 0;  // of every plane; what follows is invisible up to the next run
        for (std::int64_t row = 0; row < planes_.height; ++row) {
            const auto line = static_cast<double>(row);
            const Position x{matrix[0], static_cast<double>(matrix[1]) * line + matrix[2]};
            const Position y{matrix[3], static_cast<double>(matrix[4]) * line + matrix[5]};
            const Interval columns = reach.columns(x.origin + 1, y.origin + 1, planes_.width);
            if (columns.begin == columns.end) continue;
            const std::int64_t start = row * planes_.width;
            clear_planes(out, lanes, written, start + columns.begin);
            for (std::int64_t column = columns.begin; column < columns.end; column += kRun)
                warp_run(cutout, x, y, column, std::min(kRun, columns.end - column), lanes, out + start + column);
            written = start + columns.end;
        }
        clear_planes(out, lanes, written, area);
    }

    void clear_planes(float* out, std::int64_t lanes, std::int64_t begin, std::int64_t end) const {
        for (std::int64_t lane = 0; lane < lanes; ++lane)
            clear(out + lane * planes_.height * planes_.width + begin, end - begin);
    }

    // May also write up to kStep - 1 columns behind the run: these are written again later.
    void warp_run(Cutout cutout, Position x, Position y, std::int64_t column, std::int64_t count, std::int64_t lanes,
                  float* out) {
        const auto first = static_cast<double>(column);
        const std::int64_t whole_steps = (count + kStep - 1) / kStep * kStep;
        find_taps(x, y, region_.x, region_.y, first, static_cast<std::int32_t>(whole_steps),
                  static_cast<std::int32_t>(cutout.width), taps_);
        sample_run(cutout, taps_, count, samples_);
        take_lanes(samples_, std::min(whole_steps, planes_.width - column), lanes, out, planes_.height * planes_.width);
    }

    const WarpPlanes& planes_;
    const float threshold_;
    Region region_{};
    std::vector<float> pixels_;
    Taps taps_;
    float samples_[kRun * kLanes] = {};
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
