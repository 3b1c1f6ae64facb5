#include "warp_region.hpp"

#include <algorithm>
#include <limits>

#include "dispatch.hpp"

namespace posert {
namespace {

constexpr std::int64_t kBlock = 64;
constexpr double kInfinite = std::numeric_limits<double>::infinity();

POSERT_CLONES bool any_visible(const float* mask, std::int64_t count, float threshold) {
    int found = 0;
    for (std::int64_t i = 0; i < count; ++i) found |= mask[i] > threshold ? 1 : 0;
    return found != 0;
}

// From the first to the last visible pixel of a row; what lies between is not read.
Interval visible_columns(const float* row, std::int64_t width, float threshold) {
    std::int64_t begin = 0;
    while (begin < width && !any_visible(row + begin, std::min(kBlock, width - begin), threshold)) begin += kBlock;
    if (begin >= width) return {0, 0};
    while (!(row[begin] > threshold)) ++begin;
    std::int64_t end = width;
    while (!any_visible(row + std::max(end - kBlock, begin), end - std::max(end - kBlock, begin), threshold))
        end -= kBlock;
    while (!(row[end - 1] > threshold)) --end;
    return {begin, end};
}

// `first` and `last` are visible pixels.
Axis make_axis(std::int64_t side, std::int64_t first, std::int64_t last) {
    const std::int64_t second = std::min<std::int64_t>(1, side - 1), last_but_one = std::max<std::int64_t>(side - 2, 0);
    const bool low = first <= second && second <= last, high = first <= last_but_one && last_but_one <= last;
    return {side, low ? 0 : first, high ? side + 1 : last + 2, low, high};
}

}  // namespace

std::int64_t Axis::pixel(std::int64_t tap) const {
    if (tap == 0) return std::min<std::int64_t>(1, side - 1);
    if (tap == side + 1) return std::max<std::int64_t>(side - 2, 0);
    return tap - 1;
}

Bounds Axis::reach() const {
    return {endless_low ? -kInfinite : static_cast<double>(first),
            endless_high ? kInfinite : static_cast<double>(last)};
}

void Region::find(const float* mask, std::int64_t height, std::int64_t width, float threshold) {
    rows.resize(static_cast<std::size_t>(height));
    std::int64_t left = width, right = -1, top = height, bottom = -1;
    std::int64_t least_sum = height + width, most_sum = 0, least_difference = width, most_difference = -height;
    for (std::int64_t row = 0; row < height; ++row) {
        const Interval columns = visible_columns(mask + row * width, width, threshold);
        rows[static_cast<std::size_t>(row)] = columns;
        if (columns.begin == columns.end) continue;
        const std::int64_t last = columns.end - 1;
        left = std::min(left, columns.begin);
        right = std::max(right, last);
        top = std::min(top, row);
        bottom = row;
        least_sum = std::min(least_sum, columns.begin + row);
        most_sum = std::max(most_sum, last + row);
        least_difference = std::min(least_difference, columns.begin - row);
        most_difference = std::max(most_difference, last - row);
    }
    empty = bottom < 0;
    if (empty) return;
    x = make_axis(width, left, right);
    y = make_axis(height, top, bottom);
    sums = {-kInfinite, kInfinite};
    differences = sums;
    // A border that repeats without end makes the diagonals endless too.
    if (x.endless_low || x.endless_high || y.endless_low || y.endless_high) return;
    // A tap is one more than its pixel on both axes, and is seen from less than one away on both.
    sums = {static_cast<double>(least_sum), static_cast<double>(most_sum + 4)};
    differences = {static_cast<double>(least_difference - 2), static_cast<double>(most_difference + 2)};
}

Reach::Reach(const Region& region, double x_step, double y_step)
    : x_{x_step, 1 / x_step, region.x.reach()},
      y_{y_step, 1 / y_step, region.y.reach()},
      sum_{x_step + y_step, 1 / (x_step + y_step), region.sums},
      difference_{x_step - y_step, 1 / (x_step - y_step), region.differences} {}

Interval Reach::columns(double x, double y, std::int64_t width) const {
    Interval columns{0, width};
    x_.narrow(columns, x);
    y_.narrow(columns, y);
    sum_.narrow(columns, x + y);
    difference_.narrow(columns, x - y);
    return columns;
}

// Up to two more columns are kept on either side, for what is rounded.
void Reach::Slab::narrow(Interval& columns, double origin) const {
    if (step == 0) {
        if (origin < bounds.low || origin > bounds.high) columns.end = columns.begin;
        return;
    }
    const double one = (bounds.low - origin) * inverse, other = (bounds.high - origin) * inverse;
    const auto begin = static_cast<double>(columns.begin), end = static_cast<double>(columns.end);
    columns.begin = static_cast<std::int64_t>(std::clamp(std::min(one, other) - 1, begin, end));
    columns.end = static_cast<std::int64_t>(std::clamp(std::max(one, other) + 3, begin, end));
}

}  // namespace posert
