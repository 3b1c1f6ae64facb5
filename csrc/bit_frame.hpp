// Images of two levels as bits, 64 pixels a word: how masks are packed, dilated and written out.
//
// An erosion is the dilation of the complement, so functions that move an image take or leave its complement on the
// way, and dilation is the only operation on bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace posert {

// How an image lies in `total_words()` words: bit x of a row is bit x % 64 of its word x / 64. An image lies either at
// the origin or, as a dilation needs it, right and down by the reach, with zeros around.
struct BitFrame {
    using Word = std::uint64_t;
    static constexpr std::int64_t kBits = 64;

    std::int64_t height, width, reach_x, reach_y, words;

    // A window that reaches beyond the far border sees the whole line, whatever its size.
    BitFrame(std::int64_t rows, std::int64_t columns, std::int64_t reach)
        : height(rows),
          width(columns),
          reach_x(std::min(reach, columns)),
          reach_y(std::min(reach, rows)),
          words((columns + 2 * reach_x + kBits - 1) / kBits) {}

    std::int64_t total_words() const { return (height + 2 * reach_y) * words; }
};

// Packs bytes of two levels, 0 and one other, at the origin; bits right of the image are not written. Returns the other
// level (0 where there is none), or nothing once it meets a third.
std::optional<std::uint8_t> pack_levels(const BitFrame& frame, const std::uint8_t* in, BitFrame::Word* bits);

// Moves the image at the origin of `from`, or its complement, right and down by the reach in `to`, with zeros around.
// Bits of `from` right of its image are lost.
void place_bits(const BitFrame& frame, bool complement, BitFrame::Word* from, BitFrame::Word* to);

// OR over the square of each pixel. Reads the image right and down by the reach, with zeros around; leaves it at the
// origin, where the window begins, with other bits right of it and rows below.
void dilate_bits(const BitFrame& frame, BitFrame::Word* bits);

// Writes the image at the origin, or its complement, as bytes of 0 and `level`.
void expand_levels(const BitFrame& frame, bool complement, std::uint8_t level, const BitFrame::Word* bits,
                   std::uint8_t* out);

}  // namespace posert
