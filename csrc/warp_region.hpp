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

// Finds, for the rows of a layer one after the other, which pixels may see something visible: no others do.
class Reach {
  public:
    // A position, in taps, moves by x_step and y_step from one pixel of a row to the next.
    Reach(const Region& region, double x_step, double y_step);

    // Of `width` columns, on a row whose first pixel lies at x, y.
    Interval columns(double x, double y, std::int64_t width) const;

  private:
    // Something that grows by `step` a column and has to lie within the bounds.
    struct Slab {
        double step, inverse;
        Bounds bounds;

        void narrow(Interval& columns, double origin) const;
    };

    Slab x_, y_, sum_, difference_;
};

}  // namespace posert
