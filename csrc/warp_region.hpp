// Which pixels of a mask are visible, and which pixels of a warped layer they can reach.
#pragma once

#include <cstdint>
#include <vector>

namespace posert {

// Half-open.
struct Interval {
    std::int64_t begin, end;
};

struct Bounds {
    double low, high;
};

// Taps are counted on the frame with its border of one reflected pixel (specs K7): pixel i is tap i + 1.
struct Axis {
    std::int64_t side;               // pixels
    std::int64_t first, last;        // taps between which every visible tap lies, with a ring of invisible ones
    bool endless_low, endless_high;  // what lies beyond the frame repeats a visible tap

    // The pixel that a tap shows.
    std::int64_t pixel(std::int64_t tap) const;
    // Positions (counted in taps) that see something visible.
    Bounds reach() const;
};

// From a mask's pixels to what is visible of it.
struct Region {
    bool empty;
    Axis x, y;
    std::vector<Interval> rows;  // of every row, the columns between its first and its last visible pixel
    // x + y and x - y (counted in taps) of positions that see something visible.
    Bounds sums, differences;

    // mask: (height, width), packed; visible is what is above the threshold.
    void find(const float* mask, std::int64_t height, std::int64_t width, float threshold);
};

// The position of a pixel of the warped layer, in taps: x * column + origin, on one row.
struct Position {
    double x, origin;
};

// The columns of a row, of `width`, whose positions may see something visible: no others do.
Interval reached(const Region& region, Position x, Position y, std::int64_t width);

}  // namespace posert
