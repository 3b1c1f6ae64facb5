// Grey-level morphology with a flat square, windows clipped at the border. Definition:
// posert/ops/morphology/reference.py. Images of two levels, 0 and one other, are computed as bits.
#pragma once

#include <cstdint>

namespace posert {

enum class Morphology { kDilate, kErode, kOpening, kClosing };

// in, out: (count, height, width) bytes, packed but for the first dimension; strides from one image to the next. out
// may be in.
struct MorphologyImages {
    const std::uint8_t* in;
    std::int64_t in_stride;
    std::uint8_t* out;
    std::int64_t out_stride;
    std::int64_t count;
    std::int64_t height;
    std::int64_t width;
};

// size: odd side of the square.
void morphology(Morphology operation, const MorphologyImages& images, std::int64_t size);

}  // namespace posert
