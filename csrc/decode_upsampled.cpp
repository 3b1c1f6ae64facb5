#include "decode_upsampled.hpp"

#include <algorithm>
#include <cmath>

#include "bicubic.hpp"
#include "dispatch.hpp"

namespace posert {
namespace {

// The outer two taps have weights of 0 or less that sum to -n, the inner two sum to 1 + n, with n = 0.75 t (1 - t) <=
// this.
constexpr double kOuter = 0.1875;

// out[i] = ((w0 a + w1 b) + w2 c) + w3 d, in the order of the definition so that ties fall alike. weights: (4, count).
POSERT_CLONES void cubic_from_scalars(const double* POSERT_RESTRICT weights, const float taps[4], std::int64_t count,
                                      double* POSERT_RESTRICT out) {
    const double a = taps[0], b = taps[1], c = taps[2], d = taps[3];
    for (std::int64_t i = 0; i < count; ++i) {
        out[i] = ((weights[i] * a + weights[count + i] * b) + weights[2 * count + i] * c) + weights[3 * count + i] * d;
    }
}

// The same for four lines of `count` values and one weight each.
POSERT_CLONES void cubic_from_lines(const double* POSERT_RESTRICT lines, const double weights[4], std::int64_t count,
                                    double* POSERT_RESTRICT out) {
    const double a = weights[0], b = weights[1], c = weights[2], d = weights[3];
    for (std::int64_t i = 0; i < count; ++i) {
        out[i] = ((a * lines[i] + b * lines[count + i]) + c * lines[2 * count + i]) + d * lines[3 * count + i];
    }
}

POSERT_CLONES bool any_at_least(const float* POSERT_RESTRICT values, std::int64_t count, float limit) {
    std::int32_t found = 0;
    for (std::int64_t i = 0; i < count; ++i) found |= values[i] >= limit;
    return found != 0;
}

}  // namespace

UpsampledPeak::UpsampledPeak(std::int64_t height, std::int64_t width, std::int64_t stride)
    : height_(height),
      width_(width),
      stride_(stride),
      weights_(cubic_weights(stride)),
      lines_(static_cast<std::size_t>(4 * stride)),
      values_(static_cast<std::size_t>(stride)),
      row_may_matter_(static_cast<std::size_t>(height)) {}

float UpsampledPeak::at(std::int64_t row, std::int64_t column) const {
    row = std::clamp<std::int64_t>(row, 0, height_ - 1);
    return map_[row * width_ + std::clamp<std::int64_t>(column, 0, width_ - 1)];
}

// No pixel of a block is greater than this. With the sums of the outer weights -p in x and -q in y a pixel is at most
// (1 + p)(1 + q) inner + p q corner - p (1 + q) side - (1 + p) q cap, where inner and corner are the largest, and side
// and cap the smallest, values that have such weights. That is linear in p and in q, so its largest value lies at an
// end of both ranges.
double UpsampledPeak::bound(Block block, double slack) const {
    float inner = at(block.row, block.column), corner = at(block.row - 1, block.column - 1);
    float side = at(block.row, block.column - 1), cap = at(block.row - 1, block.column);
    for (std::int64_t i = 0; i < 2; ++i) {
        for (std::int64_t j = 0; j < 2; ++j) {
            inner = std::max(inner, at(block.row + i, block.column + j));
            corner = std::max(corner, at(block.row - 1 + 3 * i, block.column - 1 + 3 * j));
            side = std::min(side, at(block.row + i, block.column - 1 + 3 * j));
            cap = std::min(cap, at(block.row - 1 + 3 * i, block.column + j));
        }
    }
    const double a = inner, only_x = (1 + kOuter) * a - kOuter * side, only_y = (1 + kOuter) * a - kOuter * cap;
    const double both = (1 + kOuter) * (1 + kOuter) * a + kOuter * kOuter * corner -
                        kOuter * (1 + kOuter) * (static_cast<double>(side) + cap);
    return std::max(std::max(a, both), std::max(only_x, only_y)) + slack;
}

// No block whose inner four values are all below this can beat the best so far: `bound` solved for `inner`, with the
// map's extremes.
float UpsampledPeak::threshold(const MapRange& range, double slack) const {
    const double most = range.greatest, least = range.least, goal = best_ - slack;
    const double one = (goal + kOuter * least) / (1 + kOuter);
    const double both =
        (goal - kOuter * kOuter * most + 2 * kOuter * (1 + kOuter) * least) / ((1 + kOuter) * (1 + kOuter));
    // One step towards smaller numbers, for the rounding to float.
    return std::nextafter(static_cast<float>(std::min(goal, std::min(one, both))), -INFINITY);
}

// Compares all pixels of a block with the best so far; of equal ones the first in row-major order wins.
void UpsampledPeak::evaluate(Block block) {
    for (std::int64_t line = 0; line < 4; ++line) {
        float taps[4];
        for (std::int64_t tap = 0; tap < 4; ++tap) taps[tap] = at(block.row - 1 + line, block.column - 1 + tap);
        cubic_from_scalars(weights_.data(), taps, stride_, lines_.data() + line * stride_);
    }
    const std::int64_t origin_y = stride_ * block.row + stride_ / 2, origin_x = stride_ * block.column + stride_ / 2;
    const std::int64_t first_y = std::max<std::int64_t>(-origin_y, 0), first_x = std::max<std::int64_t>(-origin_x, 0);
    const std::int64_t end_y = std::min(stride_, stride_ * height_ - origin_y);
    const std::int64_t end_x = std::min(stride_, stride_ * width_ - origin_x);
    for (std::int64_t y = first_y; y < end_y; ++y) {
        double weights[4];
        for (std::int64_t tap = 0; tap < 4; ++tap) weights[tap] = weights_[static_cast<std::size_t>(tap * stride_ + y)];
        cubic_from_lines(lines_.data(), weights, stride_, values_.data());
        for (std::int64_t x = first_x; x < end_x; ++x) {
            const double value = values_[static_cast<std::size_t>(x)];
            if (value < best_) continue;
            const std::int64_t at_y = origin_y + y, at_x = origin_x + x;
            if (value > best_ || at_y < best_y_ || (at_y == best_y_ && at_x < best_x_)) {
                best_ = value;
                best_y_ = at_y;
                best_x_ = at_x;
            }
        }
    }
}

Peak UpsampledPeak::find(const float* map, const MapRange& range) {
    if (range.greatest == 0 && range.least == 0) return {0, 0, 0};
    map_ = map;
    // Far beyond what the sums of sixteen rounded products can be off.
    const double slack =
        1e-12 * std::max(std::fabs(static_cast<double>(range.least)), std::fabs(static_cast<double>(range.greatest)));
    // Nothing that is not above 0 counts. Overshoot can lift a pixel above 0 where no cell is.
    best_ = 0;
    best_y_ = best_x_ = -1;
    // The best is most often next to the greatest cell: begun there, few other blocks are left to look at.
    Around seen{-2, -2};
    if (range.greatest > 0) {
        seen = {range.first / width_, range.first % width_};
        for (std::int64_t i = -1; i <= 0; ++i) {
            for (std::int64_t j = -1; j <= 0; ++j) evaluate({seen.row + i, seen.column + j});
        }
    }
    float limit = threshold(range, slack);
    for (std::int64_t row = 0; row < height_; ++row) {
        row_may_matter_[static_cast<std::size_t>(row)] = any_at_least(map + row * width_, width_, limit);
    }
    for (std::int64_t row = -1; row < height_; ++row) {
        const std::int64_t upper = std::max<std::int64_t>(row, 0), lower = std::min(row + 1, height_ - 1);
        if (!row_may_matter_[static_cast<std::size_t>(upper)] && !row_may_matter_[static_cast<std::size_t>(lower)])
            continue;
        for (std::int64_t column = -1; column < width_; ++column) {
            const float inner = std::max(std::max(at(row, column), at(row, column + 1)),
                                         std::max(at(row + 1, column), at(row + 1, column + 1)));
            if (inner < limit || seen.holds({row, column}) || bound({row, column}, slack) < best_) continue;
            evaluate({row, column});
            limit = threshold(range, slack);
        }
    }
    return {static_cast<double>(best_x_), static_cast<double>(best_y_), best_};
}

}  // namespace posert
