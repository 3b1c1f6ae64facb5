#include "rasterize_discs.hpp"

#include <algorithm>
#include <cmath>

#include "threads.hpp"

namespace posert {
namespace {

void draw(const float* keypoint, const Disc& disc, float value, const DiscTarget& out, float* plane) {
    if (!is_present(keypoint)) return;
    disc.each_span(keypoint[0], keypoint[1], out.height, out.width,
                   [&](std::int64_t row, std::int64_t first, std::int64_t last) {
                       std::fill(plane + row * out.width + first, plane + row * out.width + last + 1, value);
                   });
}

}  // namespace

bool is_present(const float* keypoint) {
    return keypoint[2] > 0 && !std::isnan(keypoint[0]) && !std::isnan(keypoint[1]);
}

Disc::Disc(int radius) {
    const std::int64_t square = std::int64_t{radius} * radius;
    std::int64_t half = radius;
    for (std::int64_t i = 0; i <= radius; ++i) {
        while (i * i + half * half > square) --half;
        half_.push_back(half);
    }
}

void rasterize_discs(const float* keypoints, const float* previous, int radius, float low, float high,
                     const DiscTarget& out) {
    const std::int64_t area = out.height * out.width, planes = out.items * out.joints;
    if (area == 0) return;
    const Disc disc(radius);
    // Without `previous` a task writes a plane, with it two discs.
    const std::int64_t work = previous == nullptr ? area : std::int64_t{2} * (2 * radius + 1) * (2 * radius + 1);
    parallel_for(planes, std::max<std::int64_t>(1, (1 << 16) / work), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t index = begin; index < end; ++index) {
            float* plane = out.data + (index / out.joints) * out.item_stride + (index % out.joints) * area;
            if (previous != nullptr) {
                draw(previous + 3 * index, disc, low, out, plane);
            } else {
                std::fill_n(plane, area, low);
            }
            draw(keypoints + 3 * index, disc, high, out, plane);
        }
    });
}

}  // namespace posert
