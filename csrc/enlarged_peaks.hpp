// The peaks of a heatmap enlarged by bicubic interpolation, found without building the enlarged map (specs K12).
#pragma once

#include <cstdint>
#include <vector>

#include "bicubic.hpp"
#include "peak_blocks.hpp"
#include "peak_rules.hpp"

namespace posert {

// Finds peaks in maps of one size. Not to be shared between threads.
class EnlargedPeaks {
  public:
    // Pixels on one axis; `end` is exclusive.
    struct Range {
        std::int64_t begin, end;
    };

    EnlargedPeaks(Frame cells, std::int64_t stride, float threshold);

    // Appends the peaks in row-major order to `found`, until it holds at least `most`. `range` describes the map and
    // says that it is finite.
    void find(const float* map, const MapRange& range, std::int64_t most, std::vector<Pixel>& found);

    // A window that holds the pixels around a peak of the last map, as far as they lie in the frame.
    Window<double> around(Pixel peak, std::int64_t reach);

  private:
    void search_row(std::int64_t row, std::vector<Pixel>& found);
    void search(Range rows, Range columns, std::vector<Pixel>& found);

    Frame cells_, frame_;
    std::int64_t stride_;
    float threshold_;
    PatchReader reader_;
    PeakBlocks blocks_;
};

}  // namespace posert
