// Keypoints as solid discs, one plane a joint (specs K1). Definition: posert/ops/rasterize_discs/reference.py.
#pragma once

#include <cstdint>
#include <vector>

namespace posert {

// Whether a keypoint (x, y, score) is there.
bool is_present(const float* keypoint);

// A solid disc as spans of pixels: row r0 + i covers the columns c0 - half(i) .. c0 + half(i).
class Disc {
  public:
    explicit Disc(int radius);

    // Calls span(row, first, last) with inclusive columns for every row of the disc around (trunc(x), trunc(y)) inside
    // the frame.
    template <typename Span>
    void each_span(double x, double y, std::int64_t height, std::int64_t width, Span span) const {
        const double reach = static_cast<double>(half_.size()) - 1;
        // Compared as float64, because a far centre does not fit an integer.
        if (!(x > -reach - 1 && x < static_cast<double>(width) + reach)) return;
        if (!(y > -reach - 1 && y < static_cast<double>(height) + reach)) return;
        const auto column = static_cast<std::int64_t>(x), row = static_cast<std::int64_t>(y);
        const auto radius = static_cast<std::int64_t>(half_.size()) - 1;
        const std::int64_t top = row - radius < 0 ? -row : -radius;
        const std::int64_t bottom = row + radius >= height ? height - 1 - row : radius;
        for (std::int64_t i = top; i <= bottom; ++i) {
            const std::int64_t half = half_[static_cast<std::size_t>(i < 0 ? -i : i)];
            const std::int64_t first = column - half < 0 ? 0 : column - half;
            const std::int64_t last = column + half >= width ? width - 1 : column + half;
            if (first <= last) span(row + i, first, last);
        }
    }

  private:
    std::vector<std::int64_t> half_;
};

struct DiscTarget {
    float* data;               // (items, joints, height, width), packed but for the first dimension
    std::int64_t item_stride;  // floats from one item to the next
    std::int64_t items;
    std::int64_t joints;
    std::int64_t height;
    std::int64_t width;
};

// keypoints, previous: (items, joints, 3); previous may be null, then all of `out` is written.
void rasterize_discs(const float* keypoints, const float* previous, int radius, float low, float high,
                     const DiscTarget& out);

}  // namespace posert
