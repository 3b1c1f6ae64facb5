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

constexpr float kFloor = -23.0258509F;  // log(1e-10)
// Masks that differ by this factor (as a logarithm) from 1e-10 are the sum of both, to float32's accuracy.
constexpr float kBand = 16.0F;

// One part on a block of columns from `column` on: logarithms of its mask + 1e-10; `largest` keeps the largest mask.
POSERT_INLINE void part_block(const LimbRow& limb, float column, float* POSERT_RESTRICT largest,
                              float* POSERT_RESTRICT out) {
    constexpr float kLast = kLimbBlock - 1;
    const float first = log_mask(limb, column), last = log_mask(limb, column + kLast);
    const bool peaks = limb.column >= column && limb.column <= column + kLast;
    if ((peaks ? limb.top : std::max(first, last)) < kFloor - kBand) {
        for (int i = 0; i < kLimbBlock; ++i) out[i] = kFloor;
        return;
    }
    if (std::min(first, last) > kFloor + kBand) {
        for (int i = 0; i < kLimbBlock; ++i) {
            const float mask = log_mask(limb, column + static_cast<float>(i));
            largest[i] = mask > largest[i] ? mask : largest[i];
            out[i] = mask;
        }
        return;
    }
    for (int i = 0; i < kLimbBlock; ++i) {
        const float mask = log_mask(limb, column + static_cast<float>(i));
        largest[i] = mask > largest[i] ? mask : largest[i];
        const float difference = mask - kFloor;
        const float smaller = difference > 0 ? -difference : difference;
        out[i] = (difference > 0 ? mask : kFloor) + log_1_plus(exp_float(smaller));
    }
}

// All layers on a block of columns; `plane` is the distance between the planes of `out`. Says whether less than
// `limit` is left for the background somewhere.
POSERT_CLONES bool prior_block(const LimbRow* limbs, float column, float limit, float* POSERT_RESTRICT out,
                               std::int64_t plane) {
    float largest[kLimbBlock];
    for (int i = 0; i < kLimbBlock; ++i) largest[i] = -1e30F;
    for (int part = 0; part < kLimbs; ++part) part_block(limbs[part], column, largest, out + (part + 1) * plane);
    int below = 0;
    for (int i = 0; i < kLimbBlock; ++i) {
        const float rest = -exp_minus_1(largest[i]);
        out[i] = log_float(rest + 1e-10F);
        below |= rest < limit ? 1 : 0;
    }
    return below != 0;
}

// The background of a block once more, in double where less than `limit` is left for it.
void refine_background(const Limb* limbs, float limit, std::int64_t row, std::int64_t column, std::int64_t count,
                       float* out) {
    const float highest = std::log(1.01F * limit);
    for (std::int64_t i = 0; i < count; ++i) {
        if (out[i] < highest) out[i] = static_cast<float>(std::log(background(limbs, row, column + i) + 1e-10));
    }
}

void prior_row(const Limb* limbs, std::int64_t row, float limit, float* out, const PriorTarget& target) {
    const std::int64_t area = target.height * target.width;
    LimbRow rows[kLimbs];
    find_limb_rows(limbs, row, target.width, rows);
    for (std::int64_t column = 0; column < target.width; column += kLimbBlock) {
        const std::int64_t count = std::min<std::int64_t>(kLimbBlock, target.width - column);
        const auto first = static_cast<float>(column);
        bool below;
        if (count == kLimbBlock) {
            below = prior_block(rows, first, limit, out + column, area);
        } else {
            float block[kLayers * kLimbBlock];
            below = prior_block(rows, first, limit, block, kLimbBlock);
            for (int layer = 0; layer < kLayers; ++layer)
                std::copy_n(block + layer * kLimbBlock, count, out + layer * area + column);
        }
        if (below) refine_background(limbs, limit, row, column, count, out + column);
    }
}

}  // namespace

void limb_priors(const float* keypoints, const PriorTarget& out) {
    if (out.height == 0 || out.width == 0) return;
    const std::vector<Limb> limbs = find_limbs(keypoints, out.items, out.height, out.width);
    const float limit = background_limit(out.height);
    parallel_for(out.items * out.height, std::max<std::int64_t>(1, 4096 / out.width),
                 [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t task = begin; task < end; ++task) {
                         const std::int64_t item = task / out.height, row = task % out.height;
                         prior_row(limbs.data() + item * kLimbs, row, limit,
                                   out.data + item * out.item_stride + row * out.width, out);
                     }
                 });
}

}  // namespace posert
