#include "peak_blocks.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "dispatch.hpp"

namespace posert {
namespace {

// Rounding of control points, and of the pixels that they bound, as a share of the greatest magnitude in the map.
constexpr float kRounding = 4e-6F;

// Beyond this magnitude control points may not be finite.
constexpr float kGreatest = 1e37F;

// Blocks whose halves are looked at together.
constexpr std::int64_t kBatch = 16;

// The control points between the second and the third of four values.
struct Curve {
    float first, second, third, fourth;
};

// The control points of a block or of a half of one, as curves along one axis.
struct Net {
    Curve a, b, c, d;
};

POSERT_INLINE float greater(float a, float b) {
    return a > b ? a : b;
}

POSERT_INLINE float lesser(float a, float b) {
    return a < b ? a : b;
}

POSERT_INLINE float greatest(float a, float b, float c, float d) {
    return greater(greater(a, b), greater(c, d));
}

POSERT_INLINE float greatest(const Net& n) {
    return greatest(
        greatest(n.a.first, n.a.second, n.a.third, n.a.fourth), greatest(n.b.first, n.b.second, n.b.third, n.b.fourth),
        greatest(n.c.first, n.c.second, n.c.third, n.c.fourth), greatest(n.d.first, n.d.second, n.d.third, n.d.fourth));
}

POSERT_INLINE float second_control(float a, float b, float c) {
    return b + 0.25F * (c - a);
}

POSERT_INLINE Curve curve(float a, float b, float c, float d) {
    return {b, second_control(a, b, c), second_control(d, c, b), c};
}

// The first half of a curve; that of the reversed one is the second half, reversed.
POSERT_INLINE Curve half(Curve c) {
    const float near = 0.5F * (c.first + c.second), middle = 0.5F * (c.second + c.third);
    const float far = 0.5F * (c.third + c.fourth), next = 0.5F * (near + middle);
    return {c.first, near, next, 0.5F * (next + 0.5F * (middle + far))};
}

POSERT_INLINE Curve reversed(Curve c) {
    return {c.fourth, c.third, c.second, c.first};
}

POSERT_INLINE Net half(const Net& n) {
    return {half(n.a), half(n.b), half(n.c), half(n.d)};
}

POSERT_INLINE Net reversed(const Net& n) {
    return {reversed(n.a), reversed(n.b), reversed(n.c), reversed(n.d)};
}

POSERT_INLINE Net transposed(const Net& n) {
    return {{n.a.first, n.b.first, n.c.first, n.d.first},
            {n.a.second, n.b.second, n.c.second, n.d.second},
            {n.a.third, n.b.third, n.c.third, n.d.third},
            {n.a.fourth, n.b.fourth, n.c.fourth, n.d.fourth}};
}

// Bounds of one step of four curves.
struct Step {
    float least, most;

    POSERT_INLINE Step(float a, float b, float c, float d)
        : least(lesser(lesser(a, b), lesser(c, d))), most(greatest(a, b, c, d)) {}
};

// Whether some curve may rise and then fall where it is above the limit. The slope changes its sign at most as often as
// the steps do, and from rising to falling only if they do. What is not a number may do anything.
POSERT_INLINE std::int32_t may_peak(const Net& n, float limit, float slack) {
    const Step first(n.a.second - n.a.first, n.b.second - n.b.first, n.c.second - n.c.first, n.d.second - n.d.first);
    const Step second(n.a.third - n.a.second, n.b.third - n.b.second, n.c.third - n.c.second, n.d.third - n.d.second);
    const Step third(n.a.fourth - n.a.third, n.b.fourth - n.b.third, n.c.fourth - n.c.third, n.d.fourth - n.d.third);
    const bool falls_first = first.most < -slack, falls_second = second.most < -slack;
    const bool rises_second = second.least > slack, rises_third = third.least > slack;
    const bool never = (falls_first | rises_second) & (falls_first | rises_third) & (falls_second | rises_third);
    return (greatest(n) <= limit) | never ? 0 : 1;
}

// Extremes of the control points in x of four rows of a map.
struct FourRows {
    const float *most[4], *least[4];
};

// Whether each block of a row may exceed the limit.
POSERT_CLONES void flag_above(const FourRows& rows, std::int64_t count, float limit,
                              std::uint8_t* POSERT_RESTRICT flags) {
    const float *before = rows.least[0], *upper = rows.most[1], *lower = rows.most[2], *after = rows.least[3];
    for (std::int64_t i = 0; i < count; ++i) {
        const float second = second_control(before[i], upper[i], lower[i]);
        const float third = second_control(after[i], lower[i], upper[i]);
        flags[i] = greatest(upper[i], second, third, lower[i]) <= limit ? 0 : kAbove;
    }
}

// The sixteen cells around each block of a batch.
struct Batch {
    float cells[4][4][kBatch];

    POSERT_INLINE Curve along(int row, std::int64_t i) const {
        return curve(cells[row][0][i], cells[row][1][i], cells[row][2][i], cells[row][3][i]);
    }
};

POSERT_CLONES void flag_halves(const Batch& batch, float limit, float slack, std::int32_t* POSERT_RESTRICT flags) {
    for (std::int64_t i = 0; i < kBatch; ++i) {
        const Net lines = transposed({batch.along(0, i), batch.along(1, i), batch.along(2, i), batch.along(3, i)});
        const Net down{curve(lines.a.first, lines.a.second, lines.a.third, lines.a.fourth),
                       curve(lines.b.first, lines.b.second, lines.b.third, lines.b.fourth),
                       curve(lines.c.first, lines.c.second, lines.c.third, lines.c.fourth),
                       curve(lines.d.first, lines.d.second, lines.d.third, lines.d.fourth)};
        const Net across = transposed(down);
        flags[i] = may_peak(half(across), limit, slack) * kLeft |
                   may_peak(reversed(half(reversed(across))), limit, slack) * kRight |
                   may_peak(half(down), limit, slack) * kUpper |
                   may_peak(reversed(half(reversed(down))), limit, slack) * kLower;
    }
}

POSERT_CLONES void find_extremes(const float* POSERT_RESTRICT cells, std::int64_t count, float* POSERT_RESTRICT most,
                                 float* POSERT_RESTRICT least) {
    for (std::int64_t i = 0; i < count; ++i) {
        const Curve c = curve(cells[i], cells[i + 1], cells[i + 2], cells[i + 3]);
        most[i] = greatest(c.first, c.second, c.third, c.fourth);
        least[i] = lesser(lesser(c.first, c.second), lesser(c.third, c.fourth));
    }
}

}  // namespace

PeakBlocks::PeakBlocks(std::int64_t height, std::int64_t width)
    : height_(height),
      width_(width),
      padded_(width + 16),
      rows_(static_cast<std::size_t>(4 * 3 * padded_)),
      flags_(static_cast<std::size_t>(3 * padded_)) {}

PeakBlocks::PaddedRow PeakBlocks::padded_row(std::int64_t row) const {
    float* cells = rows_.data() + ((row + 4) % 4) * 3 * padded_;
    return {cells, cells + padded_, cells + 2 * padded_};
}

std::uint8_t* PeakBlocks::flags(std::int64_t row) const {
    return flags_.data() + ((row + 3) % 3) * padded_;
}

void PeakBlocks::start(const float* map, float threshold, float magnitude) {
    map_ = map;
    const bool usable = magnitude < kGreatest;
    slack_ = usable ? kRounding * magnitude : std::numeric_limits<float>::infinity();
    limit_ = usable ? threshold - slack_ : std::numeric_limits<float>::quiet_NaN();
    row_ = -1;
    for (std::int64_t row = -2; row <= 1; ++row) load(row);
    std::fill_n(flags(-2), padded_, std::uint8_t{0});
    classify(-1);
    load(2);
    classify(0);
}

void PeakBlocks::advance() {
    ++row_;
    if (row_ + 1 < height_) {
        load(row_ + 3);
        classify(row_ + 1);
    } else {
        std::fill_n(flags(row_ + 1), padded_, std::uint8_t{0});
    }
}

// Cell c of a row has place c + 2. Rows beyond the map repeat its border.
void PeakBlocks::load(std::int64_t row) {
    const float* from = map_ + std::clamp<std::int64_t>(row, 0, height_ - 1) * width_;
    const PaddedRow to = padded_row(row);
    to.cells[0] = to.cells[1] = from[0];
    std::memcpy(to.cells + 2, from, static_cast<std::size_t>(width_) * sizeof(float));
    to.cells[width_ + 2] = to.cells[width_ + 3] = from[width_ - 1];
    find_extremes(to.cells, width_ + 1, to.most, to.least);
}

void PeakBlocks::classify(std::int64_t row) {
    FourRows four;
    const float* cells[4];
    for (std::int64_t i = 0; i < 4; ++i) {
        const PaddedRow from = padded_row(row - 1 + i);
        cells[i] = from.cells;
        four.most[i] = from.most;
        four.least[i] = from.least;
    }
    std::uint8_t* own = flags(row);
    flag_above(four, width_ + 1, limit_, own);
    places_.clear();
    for (std::int64_t i = -1; (i = next_flagged(own, i + 1, width_ + 1)) <= width_;) places_.push_back(i);
    Batch batch{};
    std::int32_t halves[kBatch];
    const auto count = static_cast<std::int64_t>(places_.size());
    for (std::int64_t first = 0; first < count; first += kBatch) {
        const std::int64_t* places = places_.data() + first;
        const std::int64_t some = std::min(kBatch, count - first);
        for (int y = 0; y < 4; ++y) {
            for (int x = 0; x < 4; ++x) {
                for (std::int64_t i = 0; i < some; ++i) batch.cells[y][x][i] = cells[y][places[i] + x];
            }
        }
        flag_halves(batch, limit_, slack_, halves);
        for (std::int64_t i = 0; i < some; ++i) own[places[i]] |= static_cast<std::uint8_t>(halves[i]);
    }
    // At the frame's edge an end of a slope can be a peak.
    if (own[0]) own[0] |= kLeft | kRight;
    if (own[width_]) own[width_] |= kLeft | kRight;
    if (row == -1 || row == height_ - 1) {
        for (const std::int64_t place : places_) own[place] |= kUpper | kLower;
    }
}

}  // namespace posert
