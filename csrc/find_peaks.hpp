// All peaks of heatmaps (specs K12). Definition: posert/ops/find_peaks/reference.py.
#pragma once

#include <cstdint>

#include "decode_heatmaps.hpp"

namespace posert {

struct PeakOptions {
    float threshold;      // smallest value of a peak, exclusive; positive
    std::int64_t stride;  // pixels a cell
    double offset;        // added to x and y
};

// (items, joints, max_peaks, 3), packed but for the first dimension.
struct PeakTarget {
    float* data;
    std::int64_t item_stride;  // floats from one item to the next
    std::int64_t max_peaks;
};

void find_peaks(const Heatmaps& maps, const PeakOptions& options, const PeakTarget& out);

}  // namespace posert
