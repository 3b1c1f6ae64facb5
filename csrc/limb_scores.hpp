// Line integrals of part affinity fields between all pairs of peaks (specs K13). Definition:
// posert/ops/limb_scores/reference.py.
#pragma once

#include <cstdint>

namespace posert {

struct LimbScoreOptions {
    const std::int32_t* limbs;  // (limb_count, 2) joint indices
    std::int64_t limb_count;
    std::int64_t stride;      // pixels a cell
    int samples;              // of a line, with both ends; 0: as many as its length asks for, without the second end
    float sample_threshold;   // exclusive
    float accepted_fraction;  // exclusive
    float near_score;         // of peaks almost on each other
    float length_limit;       // pixels beyond which limbs lose score; infinite for none
};

// Most samples of a line.
constexpr int kMaxSamples = 64;

struct FieldMaps {
    const float* data;            // (items, 2 limb_count) maps of height x width packed floats
    std::int64_t item_stride;     // floats from one item to the next
    std::int64_t channel_stride;  // floats from one map to the next
    std::int64_t height;
    std::int64_t width;
};

struct LimbScoreTarget {
    float* data;               // (items, limb_count, most_peaks, most_peaks), packed but for the first dimension
    std::int64_t item_stride;  // floats from one item to the next
    std::int64_t items;
    std::int64_t most_peaks;
};

// peaks: (items, joints, most_peaks, 3).
void limb_scores(const float* peaks, std::int64_t joints, const FieldMaps& fields, const LimbScoreOptions& options,
                 const LimbScoreTarget& out);

}  // namespace posert
