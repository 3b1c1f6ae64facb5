// Softmax of logits and limb priors (specs K4). Definition: posert/ops/part_masks/reference.py.
#pragma once

#include <cstdint>

namespace posert {

// Both (items, 11, height, width), packed but for the first dimension.
struct MaskPlanes {
    const float* logits;
    std::int64_t logit_stride;  // floats from one item to the next
    float* out;
    std::int64_t out_stride;
    std::int64_t items;
    std::int64_t height;
    std::int64_t width;
    int power;  // that the shares are raised to before they are normalised again, at least 1
};

// keypoints: (items, 14, 3).
void part_masks(const float* keypoints, const MaskPlanes& planes);

}  // namespace posert
