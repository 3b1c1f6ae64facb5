// Enlarging a map by bicubic interpolation: a = -0.75, half-pixel centres, the border repeated (specs R-4).
//
// Pixel stride * g + stride / 2 + phase of the enlarged map, with 0 <= phase < stride, lies between the cells g and g +
// 1 (or on g). It is the sum of the cells g - 1, g, g + 1 and g + 2, in that order, times their weights.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "map_range.hpp"

namespace posert {

// (4 taps, stride phases), as the definition computes them.
std::vector<double> cubic_weights(std::int64_t stride);

// Where a pixel lies.
struct CellPhase {
    std::int64_t cell, phase;
};

inline CellPhase cell_phase(std::int64_t pixel, std::int64_t stride) {
    const std::int64_t shifted = pixel - stride / 2;  // at least -stride
    const std::int64_t cell = (shifted + stride) / stride - 1;
    return {cell, shifted - stride * cell};
}

// Pixels of an enlarged map; of equal map, they are equal to the last bit to those that `UpsampledPeak` compares. Not
// to be shared between threads.
class PatchReader {
  public:
    // `most`: the greatest height and width of a patch.
    PatchReader(std::int64_t height, std::int64_t width, std::int64_t stride, std::int64_t most);

    void set_map(const float* map) { map_ = map; }

    // Pixels of the enlarged map, all inside it, row by row; each row takes padded_width(columns). They stay until the
    // next call.
    const double* read(std::int64_t top, std::int64_t left, std::int64_t rows, std::int64_t columns);

    static std::int64_t padded_width(std::int64_t columns);

  private:
    std::int64_t height_, width_, stride_;
    std::vector<double> weights_;
    std::vector<double> tile_;    // the cells that a patch is made of
    std::vector<double> lines_;   // interpolated in x
    std::vector<double> values_;  // interpolated in x and y
    const float* map_ = nullptr;
};

}  // namespace posert
