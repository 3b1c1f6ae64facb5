// What makes a pixel a peak (specs K12).
#pragma once

#include <cstdint>

#include "dispatch.hpp"

namespace posert {

struct Pixel {
    std::int64_t row, column;
};

struct Frame {
    std::int64_t height, width;
};

// Pixels of a frame: those of a window, of `row_step` values a row, whose first lies at (top, left).
template <typename Value>
struct Window {
    const Value* values;
    std::int64_t row_step, top, left;

    POSERT_INLINE Value at(std::int64_t row, std::int64_t column) const {
        return values[(row - top) * row_step + column - left];
    }
};

// Whether a pixel is a peak. The window must hold it and its neighbours inside the frame.
template <typename Value>
POSERT_INLINE bool is_peak(const Window<Value>& window, Frame frame, Value threshold, Pixel pixel) {
    const std::int64_t row = pixel.row, column = pixel.column;
    const Value value = window.at(row, column);
    if (!(value > threshold)) return false;
    if (row > 1 && row < frame.height - 2 && column > 1 && column < frame.width - 2) {
        const Value* centre = window.values + (row - window.top) * window.row_step + column - window.left;
        const Value *above = centre - window.row_step, *below = centre + window.row_step;
        return value > centre[-1] && value > centre[1] && value > above[0] && value > below[0] && value > above[-1] &&
               value > above[1] && value > below[-1] && value > below[1];
    }
    if (row != 1 && row != frame.height - 2 && column != 1 && column != frame.width - 2) return false;
    for (std::int64_t y = row - 1; y <= row + 1; ++y) {
        for (std::int64_t x = column - 1; x <= column + 1; ++x) {
            if (y >= 0 && y < frame.height && x >= 0 && x < frame.width && !(value >= window.at(y, x))) return false;
        }
    }
    return true;
}

}  // namespace posert
