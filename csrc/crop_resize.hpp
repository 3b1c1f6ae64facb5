// Cut boxes out of 8-bit images, resize them bilinearly, normalise: one pass. Definition:
// posert/ops/crop_resize/reference.py.
#pragma once

#include <cstdint>

namespace posert {

struct ImageView {
    const std::uint8_t* data;  // RGB pixels, packed within a row
    std::int64_t row_stride;   // bytes from one row to the next; may be negative
    std::int64_t height;
    std::int64_t width;
};

struct CropTarget {
    float* data;               // (people, 3, height, width), packed but for the first dimension
    std::int64_t item_stride;  // floats from one person to the next
    std::int64_t people;
    std::int64_t height;
    std::int64_t width;
};

struct CropOptions {
    float mean[3];   // of the output channels, in grey levels
    float scale[3];  // of the output channels
    float fill;      // grey level outside the image, where has_fill
    bool has_fill;   // else the edge pixels are repeated
    bool swap;       // reverse the channel order
};

// images: one view for each person. boxes: (people, 4) x0, y0, x1, y1 as pixel edges. flip: (people).
void crop_resize(const ImageView* images, const float* boxes, const bool* flip, const CropOptions& options,
                 const CropTarget& out);

}  // namespace posert
