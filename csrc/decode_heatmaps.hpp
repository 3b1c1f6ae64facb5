// Heatmaps to keypoints (specs K16, K10). Definition: posert/ops/decode_heatmaps/reference.py.
#pragma once

#include <cstdint>

namespace posert {

enum class Decode { kArgmax, kQuarter, kSoftargmax, kUpsampled };

struct DecodeOptions {
    Decode method;
    std::int64_t stride;  // network pixels a cell
    double beta;          // soft-argmax
    std::int64_t window;  // soft-argmax: odd side in cells
};

struct Heatmaps {
    const float* data;          // maps of height x width packed floats
    std::int64_t item_stride;   // floats from one item to the next
    std::int64_t joint_stride;  // floats from one joint's map to the next
    std::int64_t items;
    std::int64_t joints;
    std::int64_t height;
    std::int64_t width;
};

// transforms: (items, 2, 3) or null. out: (items, joints, 3), packed but for the first dimension.
void decode_heatmaps(const Heatmaps& maps, const DecodeOptions& options, const float* transforms, float* out,
                     std::int64_t out_stride);

// A peak in network pixels; value <= 0 means that there is none.
struct Peak {
    double x, y, value;
};

}  // namespace posert
