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

// All layers of a band.
using Layers = float[kLayers][kBandPixels];

// The weight of a layer is e^logit times its prior: no logarithm is needed on the way.

// Priors of all layers on a band. Says whether less than `limit` is left for the background somewhere.
POSERT_CLONES bool find_priors(const BandLimbs& limbs, const Band& band, float limit, Layers& priors) {
    float largest[kBandPixels];
    for (int i = 0; i < kBandPixels; ++i) largest[i] = -1e30F;
    const auto first = static_cast<float>(band.column);
    const int columns = static_cast<int>(band.columns), pixels = static_cast<int>(band.rows) * columns;
    for (int part = 0; part < kLimbs; ++part) {
        for (std::int64_t row = 0; row < band.rows; ++row) {
            const LimbRow limb = limbs[row][part];
            float* POSERT_RESTRICT to = priors[part + 1] + row * columns;
            float* POSERT_RESTRICT most = largest + row * columns;
            for (int i = 0; i < columns; ++i) {
                const float mask = log2_mask(limb, first + static_cast<float>(i));
                most[i] = mask > most[i] ? mask : most[i];
                to[i] = exp2_float(mask) + 1e-10F;
            }
        }
    }
    int below = 0;
    for (int i = 0; i < pixels; ++i) {
        priors[0][i] = 1e-10F - exp2_minus_1(largest[i]);
        below |= priors[0][i] < limit ? 1 : 0;
    }
    return below != 0;
}

// The background of a band once more, in double where less than `limit` is left for it.
void refine_background(const Limb* limbs, float limit, const Band& band, float* prior) {
    for (std::int64_t i = 0; i < band.rows * band.columns; ++i) {
        if (prior[i] >= limit) continue;
        const double rest = background(limbs, band.row + i / band.columns, band.column + i % band.columns);
        prior[i] = static_cast<float>(rest + 1e-10);
    }
}

// Raises the weights of the first `count` pixels to a power and adds them up anew. The largest becomes 1, so that none
// of a pixel's weights is lost that its shares would show.
POSERT_CLONES void raise(Layers& weights, int count, int power, float* POSERT_RESTRICT total) {
    float largest[kBandPixels];
    for (int i = 0; i < count; ++i) {
        largest[i] = weights[0][i];
        total[i] = 0;
    }
    for (int layer = 1; layer < kLayers; ++layer) {
        const float* POSERT_RESTRICT weight = weights[layer];
        for (int i = 0; i < count; ++i) largest[i] = weight[i] > largest[i] ? weight[i] : largest[i];
    }
    for (int i = 0; i < count; ++i) largest[i] = 1.0F / largest[i];
    for (int layer = 0; layer < kLayers; ++layer) {
        float* POSERT_RESTRICT weight = weights[layer];
        for (int i = 0; i < count; ++i) {
            const float once = weight[i] * largest[i];
            float raised = once;
            for (int factor = 1; factor < power; ++factor) raised *= once;
            weight[i] = raised;
            total[i] += raised;
        }
    }
}

// Softmax of the first `count` pixels of a band; `plane` is the distance between the planes of `logits` and of `out`.
POSERT_CLONES void softmax(const float* POSERT_RESTRICT logits, const Layers& priors, int count, int power,
                           float* POSERT_RESTRICT out, std::int64_t plane) {
    float largest[kBandPixels], total[kBandPixels];
    Layers weights;
    for (int i = 0; i < count; ++i) {
        largest[i] = logits[i];
        total[i] = 0;
    }
    for (int layer = 1; layer < kLayers; ++layer) {
        const float* POSERT_RESTRICT from = logits + layer * plane;
        for (int i = 0; i < count; ++i) {
            largest[i] = from[i] > largest[i] ? from[i] : largest[i];
        }
    }
    for (int layer = 0; layer < kLayers; ++layer) {
        float* POSERT_RESTRICT weight = weights[layer];
        const float* POSERT_RESTRICT from = logits + layer * plane;
        for (int i = 0; i < count; ++i) {
            weight[i] = exp_float(from[i] - largest[i]) * priors[layer][i];
            total[i] += weight[i];
        }
    }
    if (power > 1) raise(weights, count, power, total);
    for (int i = 0; i < count; ++i) total[i] = 1.0F / total[i];
    for (int layer = 0; layer < kLayers; ++layer) {
        float* to = out + layer * plane;
        for (int i = 0; i < count; ++i) to[i] = weights[layer][i] * total[i];
    }
}

}  // namespace

void part_masks(const float* keypoints, const MaskPlanes& planes) {
    const std::int64_t area = planes.height * planes.width;
    if (area == 0) return;
    const std::vector<Limb> all = find_limbs(keypoints, planes.items, planes.height, planes.width);
    const float limit = background_limit(planes.height);
    const Bands bands(planes.height, planes.width);
    parallel_for(planes.items * bands.count(), 4, [&](std::int64_t begin, std::int64_t end) {
        BandLimbs rows;
        Layers priors;
        for (std::int64_t task = begin; task < end; ++task) {
            const std::int64_t item = task / bands.count();
            const Band band = bands.at(task % bands.count());
            const Limb* limbs = all.data() + item * kLimbs;
            const std::int64_t first = band.row * planes.width + band.column;
            find_limb_rows(limbs, band, planes.width, rows);
            if (find_priors(rows, band, limit, priors)) refine_background(limbs, limit, band, priors[0]);
            softmax(planes.logits + item * planes.logit_stride + first, priors,
                    static_cast<int>(band.rows * band.columns), planes.power,
                    planes.out + item * planes.out_stride + first, area);
        }
    });
}

}  // namespace posert
