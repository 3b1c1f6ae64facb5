#include "to_uint8.hpp"

#include <algorithm>

#include "dispatch.hpp"
#include "levels.hpp"
#include "threads.hpp"

namespace posert {
namespace {

constexpr std::int64_t kTile = 512;

// One tile of at most kTile pixels; `plane` is the distance between the planes of `from`.
POSERT_CLONES void to_uint8_tile(const float* POSERT_RESTRICT from, std::int64_t plane, std::int64_t pixels,
                                 std::uint8_t* POSERT_RESTRICT to) {
    std::uint8_t levels[3][kTile];
    for (int channel = 0; channel < 3; ++channel) {
        for (std::int64_t i = 0; i < pixels; ++i) levels[channel][i] = level(from[channel * plane + i]);
    }
    for (std::int64_t i = 0; i < pixels; ++i) {
        to[3 * i] = levels[0][i];
        to[3 * i + 1] = levels[1][i];
        to[3 * i + 2] = levels[2][i];
    }
}

}  // namespace

void to_uint8(const float* images, std::int64_t image_stride, std::int64_t count, std::int64_t pixels,
              std::uint8_t* out, std::int64_t out_stride) {
    const std::int64_t tiles = (pixels + kTile - 1) / kTile;
    parallel_for(count * tiles, 64, [=](std::int64_t begin, std::int64_t end) {
        for (std::int64_t task = begin; task < end; ++task) {
            const std::int64_t item = task / tiles, first = (task % tiles) * kTile;
            to_uint8_tile(images + item * image_stride + first, pixels, std::min(kTile, pixels - first),
                          out + item * out_stride + 3 * first);
        }
    });
}

}  // namespace posert
