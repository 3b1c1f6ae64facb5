// Log priors of body parts (specs K4). Definition: posert/ops/limb_priors/reference.py.
#pragma once

#include <cstdint>

namespace posert {

struct PriorTarget {
    float* data;               // (items, 11, height, width), packed but for the first dimension
    std::int64_t item_stride;  // floats from one item to the next
    std::int64_t items;
    std::int64_t height;
    std::int64_t width;
};

// keypoints: (items, 14, 3).
void limb_priors(const float* keypoints, const PriorTarget& out);

}  // namespace posert
