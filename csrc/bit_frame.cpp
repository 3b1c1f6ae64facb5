#include "bit_frame.hpp"

#include <bit>
#include <cstring>

#include "dispatch.hpp"

namespace posert {
namespace {

using Word = BitFrame::Word;
constexpr std::int64_t kBits = BitFrame::kBits;
constexpr bool kLittleEndian = std::endian::native == std::endian::little;
constexpr Word kOnes = 0x0101010101010101U;

// Bit x |= bit x + shift, over all bits of `count` words and without regard to rows; from the front, so that it reads
// what is not yet written. There are shift / 64 + 1 more words to read.
POSERT_INLINE void or_shifted(Word* words, std::int64_t count, std::int64_t shift) {
    const Word* from = words + shift / kBits;
    const std::int64_t right = shift % kBits, left = kBits - right;
    if (right == 0) {
        POSERT_READS_AHEAD
        for (std::int64_t i = 0; i < count; ++i) words[i] |= from[i];
        return;
    }
    POSERT_READS_AHEAD
    for (std::int64_t i = 0; i < count; ++i) words[i] |= (from[i] >> right) | (from[i + 1] << left);
}

// Bit x becomes the OR of the bits x .. x + window - 1, by doubling.
POSERT_INLINE void or_window(Word* words, std::int64_t count, std::int64_t window) {
    std::int64_t covered = 1;
    for (; 2 * covered <= window; covered *= 2) or_shifted(words, count, covered);
    if (covered < window) or_shifted(words, count, window - covered);
}

// Row y becomes the OR of the rows y .. y + window - 1, for rows of `words` words; `rows` of them have that many after
// them.
POSERT_INLINE void or_rows(Word* bits, std::int64_t words, std::int64_t rows, std::int64_t window) {
    std::int64_t covered = 1;
    for (; 2 * covered <= window; covered *= 2)
        or_shifted(bits, (rows + window - 2 * covered) * words, covered * words * kBits);
    if (covered < window) or_shifted(bits, rows * words, (window - covered) * words * kBits);
}

// Bytes of 0 or 1 to bits, the first byte lowest; and back. Like `choose`, plain arithmetic that compilers vectorise.
POSERT_INLINE std::uint8_t gather(Word bytes) {
    bytes |= bytes >> 28;
    bytes |= bytes >> 14;
    bytes |= bytes >> 7;
    return static_cast<std::uint8_t>(bytes);
}

POSERT_INLINE Word spread(Word eight_bits) {
    const Word picked = (eight_bits * kOnes) & 0x8040201008040201U;
    return ((picked + 0x7F7F7F7F7F7F7F7FU) >> 7) & kOnes;
}

// Bytes of 0 or 1 to bytes of 0 or those of `levels`.
POSERT_INLINE Word choose(Word set, Word levels) {
    return ((set << 8) - set) & levels;  // set * 255 is a mask
}

// Packs a row; false if it holds other bytes than 0 and `level`.
POSERT_INLINE bool pack_row(const std::uint8_t* POSERT_RESTRICT line, std::int64_t width, std::uint8_t level,
                            Word* POSERT_RESTRICT row) {
    const int lowest = std::countr_zero(level);
    const Word levels = kOnes * level;
    Word other = 0;
    const std::int64_t whole = kLittleEndian ? width >> 3 : 0;  // pixels by the eight
    auto* POSERT_RESTRICT eights = reinterpret_cast<std::uint8_t*>(row);
    for (std::int64_t i = 0; i < whole; ++i) {
        Word bytes;
        std::memcpy(&bytes, line + 8 * i, sizeof bytes);
        const Word set = (bytes >> lowest) & kOnes;
        other |= bytes ^ choose(set, levels);
        eights[i] = gather(set);
    }
    for (std::int64_t x = 8 * whole; x < width; ++x) {
        const Word set = (line[x] >> lowest) & 1;
        other |= line[x] ^ choose(set, level);
        Word& word = row[x / kBits];
        word = (x % kBits == 0 ? 0 : word & ~(Word{1} << (x % kBits))) | (set << (x % kBits));
    }
    return other == 0;
}

// Writes a row, flipped where `flip` has ones, as bytes of 0 and `level`.
POSERT_INLINE void expand_row(const Word* POSERT_RESTRICT row, std::int64_t width, Word flip, std::uint8_t level,
                              std::uint8_t* POSERT_RESTRICT line) {
    const Word levels = kOnes * level;
    const std::int64_t whole = kLittleEndian ? width >> 3 : 0;  // pixels by the eight
    const auto* POSERT_RESTRICT eights = reinterpret_cast<const std::uint8_t*>(row);
    const auto flipped = static_cast<std::uint8_t>(flip);
    for (std::int64_t i = 0; i < whole; ++i) {
        const Word bytes = choose(spread(static_cast<std::uint8_t>(eights[i] ^ flipped)), levels);
        std::memcpy(line + 8 * i, &bytes, sizeof bytes);
    }
    for (std::int64_t x = 8 * whole; x < width; ++x) {
        const Word set = ((row[x / kBits] ^ flip) >> (x % kBits)) & 1;
        line[x] = static_cast<std::uint8_t>(choose(set, level));
    }
}

// A level of the row that is not 0, or 0.
POSERT_INLINE std::uint8_t find_level(const std::uint8_t* line, std::int64_t width) {
    std::uint8_t any = 0;
    for (std::int64_t x = 0; x < width; ++x) any |= line[x];
    return any == 0 ? any : *std::find_if(line, line + width, [](std::uint8_t value) { return value != 0; });
}

}  // namespace

POSERT_CLONES std::optional<std::uint8_t> pack_levels(const BitFrame& frame, const std::uint8_t* in, Word* bits) {
    const BitFrame size = frame;  // which no byte written may alter
    std::uint8_t level = 0;
    for (std::int64_t y = 0; y < size.height; ++y) {
        const std::uint8_t* line = in + y * size.width;
        Word* row = bits + y * size.words;
        if (level == 0) level = find_level(line, size.width);
        if (level == 0) {
            std::memset(row, 0, static_cast<std::size_t>((size.width + kBits - 1) / kBits) * sizeof(Word));
        } else if (!pack_row(line, size.width, level, row)) {
            return std::nullopt;
        }
    }
    return level;
}

POSERT_CLONES void place_bits(const BitFrame& frame, bool complement, Word* POSERT_RESTRICT from,
                              Word* POSERT_RESTRICT to) {
    const std::int64_t words = frame.words, count = frame.height * words, last = frame.width / kBits;
    const Word flip = complement ? ~Word{0} : 0;
    for (std::int64_t y = 0; y < frame.height && last < words; ++y) {  // right of the image: what becomes 0
        Word* row = from + y * words;
        const Word image = (Word{1} << (frame.width % kBits)) - 1;
        row[last] = (row[last] & image) | (flip & ~image);
        for (std::int64_t i = last + 1; i < words; ++i) row[i] = flip;
    }
    // All rows at once: an image and its reach fit a row, so none spills into the next.
    const std::int64_t shift = frame.reach_x % kBits, first = frame.reach_y * words + frame.reach_x / kBits;
    std::fill(to, to + first, Word{0});
    to[first] = (from[0] ^ flip) << shift;
    for (std::int64_t i = 1; i < count; ++i) {
        const Word before = (from[i - 1] ^ flip) >> 1;  // a shift by 64 in two steps, where `shift` is 0
        to[first + i] = ((from[i] ^ flip) << shift) | (before >> (kBits - 1 - shift));
    }
    std::fill(to + first + count, to + frame.total_words(), Word{0});
}

POSERT_CLONES void dilate_bits(const BitFrame& frame, Word* bits) {
    // In one go over all rows: what spills from a row into the one above stays right of its last pixel.
    or_window(bits + frame.reach_y * frame.words, frame.height * frame.words, 2 * frame.reach_x + 1);
    or_rows(bits, frame.words, frame.height, 2 * frame.reach_y + 1);
}

POSERT_CLONES void expand_levels(const BitFrame& frame, bool complement, std::uint8_t level, const Word* bits,
                                 std::uint8_t* out) {
    const BitFrame size = frame;  // which no byte written may alter
    const Word flip = complement ? ~Word{0} : 0;
    for (std::int64_t y = 0; y < size.height; ++y)
        expand_row(bits + y * size.words, size.width, flip, level, out + y * size.width);
}

}  // namespace posert
