// Pictures in [-1, 1], planar, to 8-bit interleaved ones. Definition: posert/ops/to_uint8/reference.py.
#pragma once

#include <cstdint>

namespace posert {

// images: (count, 3, pixels) floats, out: (count, pixels, 3) bytes; strides from one item to the next, in elements.
void to_uint8(const float* images, std::int64_t image_stride, std::int64_t count, std::int64_t pixels,
              std::uint8_t* out, std::int64_t out_stride);

}  // namespace posert
