// Masked parts of a picture, each warped by a matrix of its own (specs K7). Definition:
// posert/ops/warp_parts/reference.py.
#pragma once

#include <cstdint>

namespace posert {

// All packed but for the first dimension; strides from one item to the next, in floats, may be 0 for what is read.
struct WarpPlanes {
    const float* image;  // (items, channels, height, width)
    std::int64_t image_stride;
    const float* masks;  // (items, parts, height, width)
    std::int64_t mask_stride;
    const float* transforms;  // (items, parts, 2, 3)
    float* out;               // (items, parts, channels, height, width)
    std::int64_t out_stride;
    std::int64_t items;
    std::int64_t parts;
    std::int64_t channels;
    std::int64_t height;
    std::int64_t width;
};

// Mask values of visible_above (at least 0) or less count as 0.
void warp_parts(const WarpPlanes& planes, float visible_above);

}  // namespace posert
