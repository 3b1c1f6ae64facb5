#include "part_masks.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "dispatch.hpp"
#include "limbs.hpp"
#include "threads.hpp"
#include "vector_math.hpp"

namespace posert {
namespace {

// The weight of a layer is e^logit times its prior: no logarithm is needed on the way.

// Priors of all layers on a block of columns. Says whether less than `limit` is left for the background somewhere.
POSERT_CLONES bool prior_block(const LimbRow* limbs, float column, float limit,
                               float (*POSERT_RESTRICT priors)[kLimbBlock]) {
    float largest[kLimbBlock];
    for (int i = 0; i < kLimbBlock; ++i) largest[i] = -1e30F;
    for (int part = 0; part < kLimbs; ++part) {
        const LimbRow limb = limbs[part];
        for (int i = 0; i < kLimbBlock; ++i) {
            const float mask = log_mask(limb, column + static_cast<float>(i));
            largest[i] = mask > largest[i] ? mask : largest[i];
            priors[part + 1][i] = exp_float(mask) + 1e-10F;
        }
    }
    int below = 0;
    for (int i = 0; i < kLimbBlock; ++i) {
        priors[0][i] = 1e-10F - exp_minus_1(largest[i]);
        below |= priors[0][i] < limit ? 1 : 0;
    }
    return below != 0;
}

// Softmax of a block; `plane` is the distance between the planes of `logits` and of `out`.
POSERT_CLONES void softmax_block(const float* POSERT_RESTRICT logits, const float (*POSERT_RESTRICT priors)[kLimbBlock],
                                 float* POSERT_RESTRICT out, std::int64_t plane) {
    float largest[kLimbBlock], total[kLimbBlock], weights[kLayers][kLimbBlock];
    for (int i = 0; i < kLimbBlock; ++i) {
        largest[i] = logits[i];
        total[i] = 0;
    }
    for (int layer = 1; layer < kLayers; ++layer) {
        const float* from = logits + layer * plane;
        for (int i = 0; i < kLimbBlock; ++i) largest[i] = from[i] > largest[i] ? from[i] : largest[i];
    }
    for (int layer = 0; layer < kLayers; ++layer) {
        const float* from = logits + layer * plane;
        for (int i = 0; i < kLimbBlock; ++i) {
            const float weight = exp_float(from[i] - largest[i]) * priors[layer][i];
            weights[layer][i] = weight;
            total[i] += weight;
        }
    }
    for (int i = 0; i < kLimbBlock; ++i) total[i] = 1.0F / total[i];
    for (int layer = 0; layer < kLayers; ++layer) {
        float* to = out + layer * plane;
        for (int i = 0; i < kLimbBlock; ++i) to[i] = weights[layer][i] * total[i];
    }
}

// The background of a block once more, in double where less than `limit` is left for it.
void refine_background(const Limb* limbs, float limit, std::int64_t row, std::int64_t column, float* prior) {
    for (int i = 0; i < kLimbBlock; ++i) {
        if (prior[i] < limit) prior[i] = static_cast<float>(background(limbs, row, column + i) + 1e-10);
    }
}

void mask_row(const Limb* limbs, std::int64_t row, float limit, const float* logits, float* out,
              const MaskPlanes& planes) {
    const std::int64_t area = planes.height * planes.width;
    LimbRow rows[kLimbs];
    find_limb_rows(limbs, row, planes.width, rows);
    float priors[kLayers][kLimbBlock];
    for (std::int64_t column = 0; column < planes.width; column += kLimbBlock) {
        const std::int64_t count = std::min<std::int64_t>(kLimbBlock, planes.width - column);
        if (prior_block(rows, static_cast<float>(column), limit, priors))
            refine_background(limbs, limit, row, column, priors[0]);
        if (count == kLimbBlock) {
            softmax_block(logits + column, priors, out + column, area);
            continue;
        }
        float from[kLayers * kLimbBlock] = {}, to[kLayers * kLimbBlock];
        for (int layer = 0; layer < kLayers; ++layer)
            std::copy_n(logits + layer * area + column, count, from + layer * kLimbBlock);
        softmax_block(from, priors, to, kLimbBlock);
        for (int layer = 0; layer < kLayers; ++layer)
            std::copy_n(to + layer * kLimbBlock, count, out + layer * area + column);
    }
}

}  // namespace

void part_masks(const float* keypoints, const MaskPlanes& planes) {
    if (planes.height == 0 || planes.width == 0) return;
    const std::vector<Limb> limbs = find_limbs(keypoints, planes.items, planes.height, planes.width);
    const float limit = background_limit(planes.height);
    parallel_for(planes.items * planes.height, std::max<std::int64_t>(1, 4096 / planes.width),
                 [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t task = begin; task < end; ++task) {
                         const std::int64_t item = task / planes.height, row = task % planes.height;
                         const std::int64_t offset = row * planes.width;
                         mask_row(limbs.data() + item * kLimbs, row, limit,
                                  planes.logits + item * planes.logit_stride + offset,
                                  planes.out + item * planes.out_stride + offset, planes);
                     }
                 });
}

}  // namespace posert
