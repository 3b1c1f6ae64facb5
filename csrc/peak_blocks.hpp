// Where an enlarged map may have peaks (specs K12).
//
// Between four neighbouring cells the enlarged map is a bicubic polynomial: it lies between the extremes of its Bezier
// control points, and its slope along x between the extremes of their steps along x. A half of such a block holds no
// peak if its points are at most the threshold. Nor does it if at every y the slope along x can only turn from falling
// to rising: then the greatest pixel of a line lies at an end, and as the slope is continuous it is none there
// either, unless the half beyond that end turns. Likewise along y.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace posert {

// Flags of a block. Of its halves, those are flagged whose slope along the axis may turn from rising to falling where
// the map is above the threshold.
constexpr std::uint8_t kAbove = 1;  // some of it may be
constexpr std::uint8_t kLeft = 2, kRight = 4, kUpper = 8, kLower = 16;

// The first place from `place` on that has a flag, or `count`; `flags` has 8 bytes behind that count.
inline std::int64_t next_flagged(const std::uint8_t* flags, std::int64_t place, std::int64_t count) {
    for (; place < count; place += 8) {
        std::uint64_t eight;
        std::memcpy(&eight, flags + place, sizeof eight);
        if (eight == 0) continue;
        while (flags[place] == 0) ++place;
        break;
    }
    return std::min(place, count);
}

// Flags the blocks of a map, row by row. Block c of row r lies between the cells (r, c) and (r + 1, c + 1); row -1 and
// column -1 lie before the first cells. Not to be shared between threads.
class PeakBlocks {
  public:
    PeakBlocks(std::int64_t height, std::int64_t width);

    // Begins with row -1. magnitude: the greatest absolute value of the map, which is finite.
    void start(const float* map, float threshold, float magnitude);

    // Moves on by a row.
    void advance();

    // Flags of the row at which this is, and of those around it: width + 1 flags, of which the first is column -1's.
    const std::uint8_t* own() const { return flags(row_); }
    const std::uint8_t* above() const { return flags(row_ - 1); }
    const std::uint8_t* below() const { return flags(row_ + 1); }

  private:
    // Cells of a row of the map, of which the first and the last are repeated, and the extremes of the control points
    // between each two of them.
    struct PaddedRow {
        float *cells, *most, *least;
    };

    PaddedRow padded_row(std::int64_t row) const;
    std::uint8_t* flags(std::int64_t row) const;
    void load(std::int64_t row);
    void classify(std::int64_t row);

    std::int64_t height_, width_, padded_, row_ = -1;  // padded_: width of a row of either kind, with room behind
    mutable std::vector<float> rows_;                  // (4 rows of the map, 3, padded)
    mutable std::vector<std::uint8_t> flags_;          // (3 rows of blocks, padded)
    std::vector<std::int64_t> places_;                 // blocks of a row that may be above the threshold
    const float* map_ = nullptr;
    float limit_ = 0, slack_ = 0;
};

}  // namespace posert
