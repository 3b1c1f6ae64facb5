// Peaks and scored connections to people (specs K14). Definition: posert/ops/assemble_people/reference.py.
#pragma once

#include <cstdint>

namespace posert {

struct AssemblyOptions {
    const std::int32_t* limbs;  // (limb_count, 2) joint indices
    std::int64_t limb_count;
    const std::int32_t* order;  // (order_count) limbs, in the order in which they are taken
    std::int64_t order_count;
    const bool* redundant;  // (limb_count)
    std::int64_t min_joints;
    double min_score;
};

struct PeopleTarget {
    float* people;             // (items, max_people, joints, 3), packed but for the first dimension
    std::int64_t item_stride;  // floats from one item to the next
    float* totals;             // (items, max_people)
    std::int64_t items;
    std::int64_t max_people;
};

// peaks: (items, joints, most_peaks, 3). scores: (items, limb_count, most_peaks, most_peaks).
void assemble_people(const float* peaks, std::int64_t joints, std::int64_t most_peaks, const float* scores,
                     const AssemblyOptions& options, const PeopleTarget& out);

}  // namespace posert
