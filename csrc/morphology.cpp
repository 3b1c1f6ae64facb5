#include "morphology.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "dispatch.hpp"
#include "threads.hpp"

namespace posert {

// line[i] = pick(line[i], line[i + shift]) for i in [0, count): forwards, so that it reads what is not yet written.
template <bool kLargest>
POSERT_INLINE void merge_shifted(std::uint8_t* line, std::int64_t shift, std::int64_t count) {
    // Both pointers may name the same bytes, but what is read at i + shift is written only later: no iteration depends
    // on another.
    std::uint8_t* to = line;
    const std::uint8_t* from = line + shift;
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#elif defined(__GNUC__)
#pragma GCC ivdep
#endif
    for (std::int64_t i = 0; i < count; ++i) to[i] = kLargest ? std::max(to[i], from[i]) : std::min(to[i], from[i]);
}

// The extremum of the `window` bytes from each on, for `count` bytes of a line of count + window - 1: by doubling,
// log2(window) passes.
template <bool kLargest>
POSERT_INLINE void running_line(std::uint8_t* line, std::int64_t window, std::int64_t step, std::int64_t count) {
    std::int64_t covered = 1;
    while (2 * covered <= window) {
        merge_shifted<kLargest>(line, covered * step, (count + window - 2 * covered) * step);
        covered *= 2;
    }
    if (covered < window) merge_shifted<kLargest>(line, (window - covered) * step, count * step);
}

// One dilation or erosion of a height x width image in `in`, into `out`. scratch: (height + 2 reach_y) * width + width
// + 2 reach_x bytes.
template <bool kLargest>
POSERT_INLINE void running_image(const std::uint8_t* in, std::uint8_t* out, std::int64_t height, std::int64_t width,
                                 std::int64_t reach, std::uint8_t* scratch) {
    const std::int64_t reach_x = std::min(reach, width), reach_y = std::min(reach, height);
    const std::uint8_t neutral = kLargest ? 0 : 255;
    std::uint8_t* line = scratch + (height + 2 * reach_y) * width;
    std::memset(scratch, neutral, static_cast<std::size_t>(reach_y * width));
    std::memset(scratch + (height + reach_y) * width, neutral, static_cast<std::size_t>(reach_y * width));
    for (std::int64_t y = 0; y < height; ++y) {
        std::memset(line, neutral, static_cast<std::size_t>(reach_x));
        std::memcpy(line + reach_x, in + y * width, static_cast<std::size_t>(width));
        std::memset(line + reach_x + width, neutral, static_cast<std::size_t>(reach_x));
        running_line<kLargest>(line, 2 * reach_x + 1, 1, width);
        std::memcpy(scratch + (reach_y + y) * width, line, static_cast<std::size_t>(width));
    }
    running_line<kLargest>(scratch, 2 * reach_y + 1, width, height);
    std::memcpy(out, scratch, static_cast<std::size_t>(height * width));
}

POSERT_CLONES void dilate_image(const std::uint8_t* in, std::uint8_t* out, std::int64_t height, std::int64_t width,
                                std::int64_t reach, std::uint8_t* scratch) {
    running_image<true>(in, out, height, width, reach, scratch);
}

POSERT_CLONES void erode_image(const std::uint8_t* in, std::uint8_t* out, std::int64_t height, std::int64_t width,
                               std::int64_t reach, std::uint8_t* scratch) {
    running_image<false>(in, out, height, width, reach, scratch);
}

void morphology(Morphology operation, const MorphologyImages& images, std::int64_t size) {
    const std::int64_t reach = size / 2, height = images.height, width = images.width;
    if (height * width == 0) return;
    const std::int64_t bytes = (height + 2 * std::min(reach, height)) * width + width + 2 * std::min(reach, width);
    const bool dilates_first = operation == Morphology::kDilate || operation == Morphology::kClosing;
    const bool twice = operation == Morphology::kOpening || operation == Morphology::kClosing;
    parallel_for(images.count, std::max<std::int64_t>(1, (1 << 15) / (height * width)),
                 [&](std::int64_t begin, std::int64_t end) {
                     std::vector<std::uint8_t> scratch(static_cast<std::size_t>(bytes));
                     for (std::int64_t image = begin; image < end; ++image) {
                         const std::uint8_t* in = images.in + image * images.in_stride;
                         std::uint8_t* out = images.out + image * images.out_stride;
                         (dilates_first ? dilate_image : erode_image)(in, out, height, width, reach, scratch.data());
                         if (twice)
                             (dilates_first ? erode_image : dilate_image)(out, out, height, width, reach,
                                                                          scratch.data());
                     }
                 });
}

}  // namespace posert
