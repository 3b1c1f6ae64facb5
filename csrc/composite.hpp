// A foreground over a background (specs K8). Definition: posert/ops/composite/reference.py.
#pragma once

#include <cstdint>

namespace posert {

// Planar floats, packed but for the first dimension; strides from one item to the next, in elements, may be 0.
struct CompositeInputs {
    const float* foreground;  // (items, 3, pixels)
    std::int64_t foreground_stride;
    const float* background;  // (items, 3, pixels)
    std::int64_t background_stride;
    const float* mask;  // (items, 1, pixels)
    std::int64_t mask_stride;
    std::int64_t items;
    std::int64_t pixels;
    bool swap;  // the channels of the result are in reverse order
};

// out: (items, 3, pixels).
void composite(const CompositeInputs& inputs, float* out, std::int64_t out_stride);

// out: (items, pixels, 3), as to_uint8 makes it of the floats.
void composite_uint8(const CompositeInputs& inputs, std::uint8_t* out, std::int64_t out_stride);

}  // namespace posert
