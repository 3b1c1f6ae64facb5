// The peak of a heatmap enlarged by bicubic interpolation, found without building the enlarged map (specs K10, one
// scale).
#pragma once

#include <cstdint>
#include <vector>

#include "decode_heatmaps.hpp"
#include "map_range.hpp"

namespace posert {

// Finds peaks in maps of one size. Not to be shared between threads.
class UpsampledPeak {
  public:
    UpsampledPeak(std::int64_t height, std::int64_t width, std::int64_t stride);

    // The first maximum in row-major order of the enlarged map, in its pixels. `range` describes the map and says that
    // it is finite.
    Peak find(const float* map, const MapRange& range);

  private:
    // The pixels between four neighbouring cells, of which (row, column) is the upper left; -1 lies before the first.
    struct Block {
        std::int64_t row, column;
    };

    // The four blocks that meet at a cell.
    struct Around {
        std::int64_t row, column;
        bool holds(Block block) const {
            return row - 1 <= block.row && block.row <= row && column - 1 <= block.column && block.column <= column;
        }
    };

    float at(std::int64_t row, std::int64_t column) const;
    double bound(Block block, double slack) const;
    float threshold(const MapRange& range, double slack) const;
    void evaluate(Block block);

    std::int64_t height_, width_, stride_;
    std::vector<double> weights_;                // (4 taps, stride phases)
    std::vector<double> lines_;                  // (4 map rows, stride): interpolated in x
    std::vector<double> values_;                 // (stride): one row of enlarged pixels
    std::vector<unsigned char> row_may_matter_;  // (height): whether a row holds a value above the threshold
    const float* map_ = nullptr;
    double best_ = 0;
    std::int64_t best_y_ = 0, best_x_ = 0;
};

}  // namespace posert
