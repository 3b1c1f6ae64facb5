#include "pose_mask.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "bit_frame.hpp"
#include "rasterize_discs.hpp"
#include "threads.hpp"

namespace posert {
namespace {

using Word = BitFrame::Word;
constexpr std::int64_t kBits = BitFrame::kBits;
constexpr double kMaxSteps = 1099511627776.0;  // 2^40, see the definition

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
        : frame_(frame), disc_(radius), radius_(radius), side_(2 * std::int64_t{radius} + 1), bits_(bits) {
        if (side_ > kBits) return;
        stamp_.assign(static_cast<std::size_t>(side_), 0);
        disc_.each_span(radius, radius, side_, side_, [this](std::int64_t row, std::int64_t first, std::int64_t last) {
            set_span(stamp_.data() + row, first, last);
        });
    }

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
        if (stamped(x, y)) return;
        disc_.each_span(
            x, y, frame_.height, frame_.width, [this](std::int64_t row, std::int64_t first, std::int64_t last) {
                set_span(bits_ + (row + frame_.reach_y) * frame_.words, first + frame_.reach_x, last + frame_.reach_x);
            });
    }

    // Draws a disc that the border does not cut, and that no row is too short for, as whole words; false if it is not
    // one.
    bool stamped(double x, double y) const {
        const double radius = radius_;
        if (stamp_.empty() || !(x >= radius && x < static_cast<double>(frame_.width) - radius) ||
            !(y >= radius && y < static_cast<double>(frame_.height) - radius))
            return false;
        const std::int64_t left = static_cast<std::int64_t>(x) - side_ / 2 + frame_.reach_x;
        const std::int64_t top = static_cast<std::int64_t>(y) - side_ / 2 + frame_.reach_y;
        if (left / kBits + 1 >= frame_.words) return false;
        const std::int64_t shift = left % kBits;
        Word* word = bits_ + top * frame_.words + left / kBits;
        for (const Word line : stamp_) {
            word[0] |= line << shift;
            word[1] |= (line >> 1) >> (kBits - 1 - shift);
            word += frame_.words;
        }
        return true;
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
    std::int64_t side_;
    std::vector<Word> stamp_;  // the disc as a word a row, where that holds it
    Word* bits_;
};

}  // namespace

void pose_mask(const float* keypoints, std::int64_t joints, const std::int32_t* limbs, std::int64_t limb_count,
               int radius, std::int64_t closing, const MaskTarget& out) {
    const BitFrame frame(out.height, out.width, closing / 2);
    const std::int64_t area = out.height * out.width;
    if (area == 0) return;
    parallel_for(out.items, std::max<std::int64_t>(1, (1 << 17) / area), [&](std::int64_t begin, std::int64_t end) {
        std::vector<Word> bits(static_cast<std::size_t>(frame.total_words())), dilated(bits);
        const Painter painter(frame, radius, bits.data());
        for (std::int64_t item = begin; item < end; ++item) {
            std::fill(bits.begin(), bits.end(), Word{0});
            const float* points = keypoints + 3 * joints * item;
            for (std::int64_t limb = 0; limb < limb_count; ++limb) {
                const float* start = points + std::int64_t{3} * limbs[2 * limb];
                const float* stop = points + std::int64_t{3} * limbs[2 * limb + 1];
                if (is_present(start) && is_present(stop)) painter.limb(start, stop);
            }
            dilate_bits(frame, bits.data());
            place_bits(frame, true, bits.data(), dilated.data());
            dilate_bits(frame, dilated.data());
            expand_levels(frame, true, 1, dilated.data(), out.data + item * out.item_stride);
        }
    });
}

}  // namespace posert
