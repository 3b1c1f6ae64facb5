// The Gaussians of specs K4, on a logarithmic scale. Definition: posert/ops/limb_priors/reference.py.
//
// On a row of pixels the logarithm (here to base 2) of a mask is a parabola. It is counted from the pixel where it is
// largest, so that all that is subtracted from there is negative, and float32 keeps its relative accuracy (about 4e-7).
#pragma once

#include <cstdint>
#include <vector>

#include "dispatch.hpp"

namespace posert {

constexpr int kLimbs = 10;
constexpr std::int64_t kLimbJoints = 14;
constexpr int kLayers = kLimbs + 1;

// A coordinate as a function of the pixel: x * column + (y * row + origin).
struct Line {
    double x, y, origin;
};

struct Limb {
    bool present;
    Line along, across;  // both 1 at sqrt(2) standard deviations
    double shift;        // ln mask = shift - along^2 - across^2
};

// The base-2 logarithm of a mask at column `column + d` of a row: top - d * (curve * d + slope).
struct LimbRow {
    float column, top, curve, slope;
};

// Pixels that are computed one plane after the other: so many that planes are written in long runs, so few that all of
// what is computed of them stays in the first cache.
constexpr int kBandPixels = 256;

// Pixels that follow each other in memory: whole rows, or a part of a single one. At most kBandPixels.
struct Band {
    std::int64_t row, rows;
    std::int64_t column, columns;
};

constexpr int kBandRows = 16;  // at most
using BandLimbs = LimbRow[kBandRows][kLimbs];

// The bands of a frame, by number.
class Bands {
  public:
    Bands(std::int64_t height, std::int64_t width);

    std::int64_t count() const { return across_ * down_; }
    Band at(std::int64_t number) const;

  private:
    std::int64_t height_, width_, rows_, across_, down_;
};

// keypoints: (items, 14, 3), CPM-14. Gives kLimbs for each item.
std::vector<Limb> find_limbs(const float* keypoints, std::int64_t items, std::int64_t height, std::int64_t width);

// limbs: kLimbs of them. Writes those of the rows of a band.
void find_limb_rows(const Limb* limbs, const Band& band, std::int64_t width, BandLimbs& rows);

// What the largest mask leaves for the background at a pixel, in double.
double background(const Limb* limbs, std::int64_t row, std::int64_t column);

// What the largest mask leaves for the background is not precise in float32 where it is less than this.
float background_limit(std::int64_t height);

POSERT_INLINE float log2_mask(const LimbRow& limb, float column) {
    const float d = column - limb.column;
    return limb.top - d * (limb.curve * d + limb.slope);
}

}  // namespace posert
