// The Gaussians of specs K4, on a logarithmic scale. Definition: posert/ops/limb_priors/reference.py.
//
// On a row of pixels the logarithm of a mask is a parabola. It is counted from the pixel where it is largest, so that
// all that is subtracted from there is negative, and float32 keeps its relative accuracy (about 4e-7).
#pragma once

#include <cstdint>
#include <vector>

#include "dispatch.hpp"

namespace posert {

constexpr int kLimbs = 10;
constexpr std::int64_t kLimbJoints = 14;
constexpr int kLayers = kLimbs + 1;
// Columns that are computed together.
constexpr std::int64_t kLimbBlock = 64;

// A coordinate as a function of the pixel: x * column + (y * row + origin).
struct Line {
    double x, y, origin;
};

struct Limb {
    bool present;
    Line along, across;  // both 1 at sqrt(2) standard deviations
    double shift;        // log mask = shift - along^2 - across^2
};

// The logarithm of a mask at column `column + d` of a row: top - d * (curve * d + slope).
struct LimbRow {
    float column, top, curve, slope;
};

// keypoints: (items, 14, 3), CPM-14. Gives kLimbs for each item.
std::vector<Limb> find_limbs(const float* keypoints, std::int64_t items, std::int64_t height, std::int64_t width);

// rows: kLimbs of them.
void find_limb_rows(const Limb* limbs, std::int64_t row, std::int64_t width, LimbRow* rows);

// The largest logarithm of a mask at a pixel, in double.
double largest_log_mask(const Limb* limbs, std::int64_t row, std::int64_t column);

// Where the largest mask is closer to 1 than this, float32 does not tell well how much is left for the background.
float background_limit(std::int64_t height);

POSERT_INLINE float log_mask(const LimbRow& limb, float column) {
    const float d = column - limb.column;
    return limb.top - d * (limb.curve * d + limb.slope);
}

}  // namespace posert
