#include "limb_priors.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "dispatch.hpp"
#include "limbs.hpp"
#include "threads.hpp"
#include "vector_math.hpp"

namespace posert {
namespace {

constexpr float kFloor = -23.0258509F, kFloor2 = -33.2192809F;  // logarithms of 1e-10, to bases e and 2
constexpr float kLn2 = 0.693147181F;
constexpr float kNothing = -1e30F;  // the logarithm of no mask
// Of a mask and 1e-10, if one is 2^kBand times the other, their sum is the greater one to float32's accuracy.
constexpr float kBand = 23.0F;
// Columns of which all are computed in the same way.
constexpr int kBlock = 64;

// One part on a block of columns from `column` on: ln(mask + 1e-10); `largest` keeps the largest log2(mask).
POSERT_INLINE void part_block(const LimbRow& limb, float column, float* POSERT_RESTRICT largest,
                              float* POSERT_RESTRICT out) {
    constexpr float kLast = kBlock - 1;
    const float first = log2_mask(limb, column), last = log2_mask(limb, column + kLast);
    const bool peaks = limb.column >= column && limb.column <= column + kLast;
    if ((peaks ? limb.top : std::max(first, last)) < kFloor2 - kBand) {
        for (int i = 0; i < kBlock; ++i) out[i] = kFloor;
        return;
    }
    if (std::min(first, last) > kFloor2 + kBand) {
        for (int i = 0; i < kBlock; ++i) {
            const float mask = log2_mask(limb, column + static_cast<float>(i));
            largest[i] = mask > largest[i] ? mask : largest[i];
            out[i] = mask * kLn2;
        }
        return;
    }
    for (int i = 0; i < kBlock; ++i) {
        const float mask = log2_mask(limb, column + static_cast<float>(i));
        largest[i] = mask > largest[i] ? mask : largest[i];
        const float greater = mask > kFloor2 ? mask : kFloor2;
        const float ratio = -std::abs(mask - kFloor2);
        out[i] = greater * kLn2 + log_1_plus(exp2_float(ratio));
    }
}

// The same for less than a block.
POSERT_INLINE void part_of_block(const LimbRow& limb, float column, std::int64_t count, float* largest, float* out) {
    float block[kBlock], block_largest[kBlock];
    for (int i = 0; i < kBlock; ++i) block_largest[i] = kNothing;
    part_block(limb, column, block_largest, block);
    for (std::int64_t i = 0; i < count; ++i) {
        largest[i] = std::max(largest[i], block_largest[i]);
        out[i] = block[i];
    }
}

// All layers on a band; `plane` is the distance between the planes of `out`. Says whether less than `limit` is left for
// the background somewhere.
POSERT_CLONES bool prior_band(const BandLimbs& limbs, const Band& band, float limit, float* POSERT_RESTRICT out,
                              std::int64_t plane) {
    float largest[kBandPixels];
    for (int i = 0; i < kBandPixels; ++i) largest[i] = kNothing;
    for (int part = 0; part < kLimbs; ++part) {
        float* to = out + (part + 1) * plane;
        for (std::int64_t row = 0; row < band.rows; ++row) {
            const LimbRow limb = limbs[row][part];
            for (std::int64_t at = 0; at < band.columns; at += kBlock) {
                const std::int64_t pixel = row * band.columns + at, count = band.columns - at;
                const auto column = static_cast<float>(band.column + at);
                if (count >= kBlock) {
                    part_block(limb, column, largest + pixel, to + pixel);
                } else {
                    part_of_block(limb, column, count, largest + pixel, to + pixel);
                }
            }
        }
    }
    int below = 0;
    for (int i = 0; i < static_cast<int>(band.rows * band.columns); ++i) {
        const float rest = -exp2_minus_1(largest[i]);
        out[i] = log_float(rest + 1e-10F);
        below |= rest < limit ? 1 : 0;
    }
    return below != 0;
}

// The background of a band once more, in double where less than `limit` is left for it.
void refine_background(const Limb* limbs, float limit, const Band& band, float* out) {
    const float highest = std::log(1.01F * limit);
    for (std::int64_t i = 0; i < band.rows * band.columns; ++i) {
        if (out[i] >= highest) continue;
        const double rest = background(limbs, band.row + i / band.columns, band.column + i % band.columns);
        out[i] = static_cast<float>(std::log(rest + 1e-10));
    }
}

}  // namespace

void limb_priors(const float* keypoints, const PriorTarget& out) {
    const std::int64_t area = out.height * out.width;
    if (area == 0) return;
    const std::vector<Limb> all = find_limbs(keypoints, out.items, out.height, out.width);
    const float limit = background_limit(out.height);
    const Bands bands(out.height, out.width);
    parallel_for(out.items * bands.count(), 4, [&](std::int64_t begin, std::int64_t end) {
        BandLimbs rows;
        for (std::int64_t task = begin; task < end; ++task) {
            const std::int64_t item = task / bands.count();
            const Band band = bands.at(task % bands.count());
            const Limb* limbs = all.data() + item * kLimbs;
            float* to = out.data + item * out.item_stride + band.row * out.width + band.column;
            find_limb_rows(limbs, band, out.width, rows);
            if (prior_band(rows, band, limit, to, area)) refine_background(limbs, limit, band, to);
        }
    });
}

}  // namespace posert
