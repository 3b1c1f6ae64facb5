#include "map_range.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "dispatch.hpp"

namespace posert {
namespace {

constexpr std::int64_t kBlock = 256;
constexpr std::int32_t kSign = std::numeric_limits<std::int32_t>::min(), kInfinity = 0x7F800000;

// As signed integers the bits of positive floats, infinity and NaN order like the floats, and all negative floats lie
// below. With the sign bit flipped the largest is the negative float farthest from 0, if there is one. Two integer
// maxima a value: that is vectorised, while a float maximum would need a rule for NaN.
struct Extremes {
    std::int32_t greatest, farthest;
};

POSERT_INLINE Extremes extremes(const float* values, std::int64_t count) {
    std::int32_t greatest = kSign, farthest = kSign;
    for (std::int64_t i = 0; i < count; ++i) {
        std::int32_t bits;
        std::memcpy(&bits, values + i, sizeof bits);
        const std::int32_t flipped = bits ^ kSign;
        greatest = bits > greatest ? bits : greatest;
        farthest = flipped > farthest ? flipped : farthest;
    }
    return {greatest, farthest};
}

// Index of the first value that equals `wanted`, without a branch a value.
POSERT_INLINE std::int32_t first_equal(const float* values, std::int32_t count, float wanted) {
    std::int32_t first = count;
    for (std::int32_t i = 0; i < count; ++i) {
        const std::int32_t index = values[i] == wanted ? i : count;
        first = index < first ? index : first;
    }
    return first;
}

}  // namespace

POSERT_CLONES MapRange map_range(const float* map, std::int64_t count) {
    Extremes all{kSign, kSign};
    std::int64_t begin = 0, best = 0;
    for (; begin + kBlock <= count; begin += kBlock) {
        const Extremes block = extremes(map + begin, kBlock);
        best = block.greatest > all.greatest ? begin : best;
        all = {std::max(all.greatest, block.greatest), std::max(all.farthest, block.farthest)};
    }
    const Extremes rest = extremes(map + begin, count - begin);
    best = rest.greatest > all.greatest ? begin : best;
    all = {std::max(all.greatest, rest.greatest), std::max(all.farthest, rest.farthest)};

    MapRange range{0, 0, all.greatest < kInfinity && all.farthest < kInfinity, 0};
    if (all.farthest > 0) {
        const std::int32_t bits = all.farthest ^ kSign;
        std::memcpy(&range.least, &bits, sizeof bits);
    }
    if (all.greatest > 0) std::memcpy(&range.greatest, &all.greatest, sizeof all.greatest);
    if (!range.finite || !(range.greatest > 0)) return range;
    range.first =
        best + first_equal(map + best, static_cast<std::int32_t>(std::min(kBlock, count - best)), range.greatest);
    return range;
}

}  // namespace posert
