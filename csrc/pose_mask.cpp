#include "pose_mask.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "dispatch.hpp"
#include "rasterize_discs.hpp"
#include "threads.hpp"

namespace posert {
namespace {

using Word = std::uint64_t;
constexpr std::int64_t kBits = 64;
constexpr double kMaxSteps = 1099511627776.0;  // 2^40, see the definition

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

// A bit image with `reach` spare columns on the left and rows above and below. Bits outside the frame are 0 before a
// dilation.
struct BitFrame {
    std::int64_t height, width, reach_x, reach_y, words;

    BitFrame(std::int64_t rows, std::int64_t columns, std::int64_t reach)
        : height(rows),
          width(columns),
          reach_x(std::min(reach, columns)),
          reach_y(std::min(reach, rows)),
          words((columns + 2 * reach_x + kBits - 1) / kBits) {}

    std::int64_t total_words() const { return (height + 2 * reach_y) * words; }
};

// OR over the square of each pixel. Reads the frame shifted right and down by the reach; leaves it at the origin, where
// the window begins.
POSERT_INLINE void dilate_bits(const BitFrame& frame, Word* bits) {
    // In one go over all rows: what spills from a row into the one above stays right of its last pixel.
    or_window(bits + frame.reach_y * frame.words, frame.height * frame.words, 2 * frame.reach_x + 1);
    or_rows(bits, frame.words, frame.height, 2 * frame.reach_y + 1);
}

// Complements the image that a dilation left at the origin and moves it right and down by the reach, with zeros around.
POSERT_INLINE void invert_bits(const BitFrame& frame, Word* bits) {
    const std::int64_t words = frame.words, skip = frame.reach_x / kBits, shift = frame.reach_x % kBits;
    for (std::int64_t y = frame.height - 1; y >= 0; --y) {
        Word* from = bits + y * words;
        for (std::int64_t i = 0; i < words; ++i) {
            const std::int64_t left = std::clamp<std::int64_t>(frame.width - i * kBits, 0, kBits);
            from[i] = ~from[i] & (left == kBits ? ~Word{0} : (Word{1} << left) - 1);
        }
        Word* to = bits + (y + frame.reach_y) * words;
        for (std::int64_t i = words - 1; i >= 0; --i) {
            const Word low = i - skip >= 0 ? from[i - skip] : 0;
            const Word lower = i - skip - 1 >= 0 ? from[i - skip - 1] : 0;
            to[i] = shift == 0 ? low : (low << shift) | (lower >> (kBits - shift));
        }
    }
    std::memset(bits, 0, static_cast<std::size_t>(frame.reach_y * words) * sizeof(Word));
    std::memset(bits + (frame.height + frame.reach_y) * words, 0,
                static_cast<std::size_t>(frame.reach_y * words) * sizeof(Word));
}

// Eight bits to eight bytes of 0 or 1, the lowest bit first in memory.
POSERT_INLINE Word spread(Word eight_bits) {
    const Word copies = (eight_bits & 0xFF) * 0x0101010101010101U;
    const Word picked = copies & 0x8040201008040201U;
    return ((picked + 0x7F7F7F7F7F7F7F7FU) >> 7) & 0x0101010101010101U;
}

// Writes the complement of a row of bits as bytes of 0 or 1.
POSERT_INLINE void expand_row(const Word* row, std::int64_t width, std::uint8_t* line) {
    std::int64_t x = 0;
    if constexpr (std::endian::native == std::endian::little) {
        for (; x + kBits <= width; x += kBits) {
            const Word word = ~row[x / kBits];
            if (word == 0) {  // most of a picture is not body
                std::memset(line + x, 0, kBits);
                continue;
            }
            for (std::int64_t i = 0; i < kBits; i += 8) {
                const Word bytes = spread(word >> i);
                std::memcpy(line + x + i, &bytes, sizeof bytes);
            }
        }
    }
    for (; x < width; ++x) line[x] = static_cast<std::uint8_t>(~(row[x / kBits] >> (x % kBits)) & 1);
}

// Closes the image that lies shifted by the reach in `bits`, and writes it as bytes.
// The erosion is the dilation of the complement, so what is left in `bits` is the complement of the result.
POSERT_CLONES void close_and_expand(const BitFrame& frame, Word* bits, std::uint8_t* out) {
    dilate_bits(frame, bits);
    invert_bits(frame, bits);
    dilate_bits(frame, bits);
    for (std::int64_t y = 0; y < frame.height; ++y)
        expand_row(bits + y * frame.words, frame.width, out + y * frame.width);
}

// Sets the bits first .. last of a row.
void set_span(Word* row, std::int64_t first, std::int64_t last) {
    const std::int64_t begin = first / kBits, end = last / kBits;
    const Word from = ~Word{0} << (first % kBits), to = ~Word{0} >> (kBits - 1 - last % kBits);
    if (begin == end) {
        row[begin] |= from & to;
        return;
    }
    row[begin] |= from;
    for (std::int64_t i = begin + 1; i < end; ++i) row[i] = ~Word{0};
    row[end] |= to;
}

class Painter {
  public:
    Painter(const BitFrame& frame, int radius, Word* bits)
        : frame_(frame), disc_(radius), radius_(radius), bits_(bits) {}

    void limb(const float* start, const float* end) const {
        const double x0 = start[0], y0 = start[1], x1 = end[0], y1 = end[1];
        dot(x0, y0);
        dot(x1, y1);
        const double steps = std::trunc(std::sqrt((y1 - y0) * (y1 - y0) + (x1 - x0) * (x1 - x0)) / radius_);
        if (!(steps > 1 && steps <= kMaxSteps)) return;
        double first = 1, last = steps - 1;
        if (!clip(x0, x1 - x0, steps, frame_.width, first, last) ||
            !clip(y0, y1 - y0, steps, frame_.height, first, last))
            return;
        for (double step = first; step <= last; step += 1)
            dot(x0 + ((x1 - x0) * step) / steps, y0 + ((y1 - y0) * step) / steps);
    }

  private:
    void dot(double x, double y) const {
        disc_.each_span(
            x, y, frame_.height, frame_.width, [this](std::int64_t row, std::int64_t first, std::int64_t last) {
                set_span(bits_ + (row + frame_.reach_y) * frame_.words, first + frame_.reach_x, last + frame_.reach_x);
            });
    }

    // Narrows first .. last to the steps whose discs may be seen, as the definition does; false if none is.
    bool clip(double origin, double delta, double steps, std::int64_t side, double& first, double& last) const {
        const double near = -radius_ - 2.0 - origin, far = static_cast<double>(side) + radius_ + 1.0 - origin;
        if (delta == 0) return near <= 0 && far >= 0;
        const double a = near * steps / delta, b = far * steps / delta;
        first = std::max(first, std::floor(std::clamp(std::min(a, b), -1e15, 1e15)) - 2);
        last = std::min(last, std::ceil(std::clamp(std::max(a, b), -1e15, 1e15)) + 2);
        return true;
    }

    const BitFrame& frame_;
    Disc disc_;
    double radius_;
    Word* bits_;
};

}  // namespace

void pose_mask(const float* keypoints, std::int64_t joints, const std::int32_t* limbs, std::int64_t limb_count,
               int radius, std::int64_t closing, const MaskTarget& out) {
    const BitFrame frame(out.height, out.width, closing / 2);
    const std::int64_t area = out.height * out.width;
    if (area == 0) return;
    parallel_for(out.items, std::max<std::int64_t>(1, (1 << 17) / area), [&](std::int64_t begin, std::int64_t end) {
        std::vector<Word> bits(static_cast<std::size_t>(frame.total_words()));
        const Painter painter(frame, radius, bits.data());
        for (std::int64_t item = begin; item < end; ++item) {
            std::fill(bits.begin(), bits.end(), Word{0});
            const float* points = keypoints + 3 * joints * item;
            for (std::int64_t limb = 0; limb < limb_count; ++limb) {
                const float* start = points + std::int64_t{3} * limbs[2 * limb];
                const float* stop = points + std::int64_t{3} * limbs[2 * limb + 1];
                if (is_present(start) && is_present(stop)) painter.limb(start, stop);
            }
            close_and_expand(frame, bits.data(), out.data + item * out.item_stride);
        }
    });
}

}  // namespace posert
