// The region that a pose's body covers: discs along the limbs, then a closing (specs K2). Definition:
// posert/ops/pose_mask/reference.py.
#pragma once

#include <cstdint>

namespace posert {

struct MaskTarget {
    std::uint8_t* data;        // (items, height, width), packed but for the first dimension
    std::int64_t item_stride;  // bytes from one mask to the next
    std::int64_t items;
    std::int64_t height;
    std::int64_t width;
};

// keypoints: (items, joints, 3). limbs: (limb_count, 2) joint indices. closing: odd side of the square.
void pose_mask(const float* keypoints, std::int64_t joints, const std::int32_t* limbs, std::int64_t limb_count,
               int radius, std::int64_t closing, const MaskTarget& out);

}  // namespace posert
