// Limbs as fields of unit vectors (specs K11). Definition: posert/ops/rasterize_pafs/reference.py.
#pragma once

#include <cstdint>

namespace posert {

struct PafOptions {
    const std::int32_t* limbs;  // (limb_count, 2) joint indices
    std::int64_t limb_count;
    double stride;  // image pixels a cell
    double width;   // reach to either side, in cells
    bool average;   // of the people who meet in a cell; else the last counts
};

struct PafTarget {
    float* data;               // (items, 2 limb_count, height, width), packed but for the first dimension
    std::int64_t item_stride;  // floats from one item to the next
    std::int64_t items;
    std::int64_t height;
    std::int64_t width;
};

// keypoints: (items, people, joints, 3).
void rasterize_pafs(const float* keypoints, std::int64_t people, std::int64_t joints, const PafOptions& options,
                    const PafTarget& out);

}  // namespace posert
