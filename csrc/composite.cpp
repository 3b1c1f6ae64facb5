#include "composite.hpp"

#include <algorithm>

#include "dispatch.hpp"
#include "levels.hpp"
#include "threads.hpp"

namespace posert {
namespace {

constexpr std::int64_t kTile = 512;

POSERT_INLINE float blend(float foreground, float background, float mask) {
    return mask * foreground + (1.0F - mask) * background;
}

POSERT_CLONES void blend_tile(const float* POSERT_RESTRICT foreground, const float* POSERT_RESTRICT background,
                              const float* POSERT_RESTRICT mask, std::int64_t pixels, float* POSERT_RESTRICT out) {
    for (std::int64_t i = 0; i < pixels; ++i) out[i] = blend(foreground[i], background[i], mask[i]);
}

// `plane` is the distance between the planes of the inputs.
POSERT_CLONES void level_tile(const float* POSERT_RESTRICT foreground, const float* POSERT_RESTRICT background,
                              const float* POSERT_RESTRICT mask, std::int64_t plane, std::int64_t pixels, bool swap,
                              std::uint8_t* POSERT_RESTRICT out) {
    std::uint8_t levels[3][kTile];
    for (int channel = 0; channel < 3; ++channel) {
        const float* front = foreground + channel * plane;
        const float* back = background + channel * plane;
        std::uint8_t* to = levels[swap ? 2 - channel : channel];
        for (std::int64_t i = 0; i < pixels; ++i) to[i] = level(blend(front[i], back[i], mask[i]));
    }
    for (std::int64_t i = 0; i < pixels; ++i) {
        out[3 * i] = levels[0][i];
        out[3 * i + 1] = levels[1][i];
        out[3 * i + 2] = levels[2][i];
    }
}

// Calls work(foreground, background, mask, item, first pixel, pixels) for every tile, on several threads.
template <typename Work>
void for_each_tile(const CompositeInputs& inputs, const Work& work) {
    const std::int64_t tiles = (inputs.pixels + kTile - 1) / kTile;
    parallel_for(inputs.items * tiles, 32, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t task = begin; task < end; ++task) {
            const std::int64_t item = task / tiles, first = (task % tiles) * kTile;
            work(inputs.foreground + item * inputs.foreground_stride + first,
                 inputs.background + item * inputs.background_stride + first,
                 inputs.mask + item * inputs.mask_stride + first, item, first, std::min(kTile, inputs.pixels - first));
        }
    });
}

}  // namespace

void composite(const CompositeInputs& inputs, float* out, std::int64_t out_stride) {
    for_each_tile(inputs, [&](const float* foreground, const float* background, const float* mask, std::int64_t item,
                              std::int64_t first, std::int64_t pixels) {
        for (std::int64_t channel = 0; channel < 3; ++channel) {
            const std::int64_t from = channel * inputs.pixels;
            const std::int64_t to = (inputs.swap ? 2 - channel : channel) * inputs.pixels;
            blend_tile(foreground + from, background + from, mask, pixels, out + item * out_stride + to + first);
        }
    });
}

void composite_uint8(const CompositeInputs& inputs, std::uint8_t* out, std::int64_t out_stride) {
    for_each_tile(inputs, [&](const float* foreground, const float* background, const float* mask, std::int64_t item,
                              std::int64_t first, std::int64_t pixels) {
        level_tile(foreground, background, mask, inputs.pixels, pixels, inputs.swap,
                   out + item * out_stride + 3 * first);
    });
}

}  // namespace posert
