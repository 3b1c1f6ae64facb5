// The generalised distance transform (specs K15). Definition: posert/ops/distance_transform/reference.py.
#pragma once

#include <cstdint>

namespace posert {

struct ScoreMaps {
    const float* data;            // maps of height x width packed floats
    std::int64_t item_stride;     // floats from one item to the next
    std::int64_t channel_stride;  // floats from one map to the next
    std::int64_t items;
    std::int64_t channels;
    std::int64_t height;
    std::int64_t width;
};

struct DeformationCost {
    double weight_x, weight_y;  // of the square of a cell
    const float* offsets;       // (channels, 2) x, y
};

// best: (items, channels, height, width), packed but for the first dimension. location: (items, channels, height,
// width, 2).
void distance_transform(const ScoreMaps& scores, const DeformationCost& cost, float* best, std::int64_t best_stride,
                        std::int32_t* location);

}  // namespace posert
