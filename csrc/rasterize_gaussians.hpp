// Keypoints as Gaussian maps (specs K9, K3). Definition: posert/ops/rasterize_gaussians/reference.py.
#pragma once

#include <cstdint>

namespace posert {

struct GaussianOptions {
    double sigma;      // image pixels
    double stride;     // image pixels a cell
    double offset;     // image coordinate of the centre of cell 0
    double cutoff;     // largest exponent that is drawn; infinite for all
    bool inside_only;  // leave out keypoints on or beyond the outermost cell centres
};

struct GaussianTarget {
    float* data;               // (items, joints, height, width), packed but for the first dimension
    std::int64_t item_stride;  // floats from one item to the next
    std::int64_t items;
    std::int64_t joints;
    std::int64_t height;
    std::int64_t width;
};

// keypoints: (items, joints, 3).
void rasterize_gaussians(const float* keypoints, const GaussianOptions& options, const GaussianTarget& out);

}  // namespace posert
