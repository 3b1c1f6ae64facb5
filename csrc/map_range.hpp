// Bounds of the values of a map, in one pass.
#pragma once

#include <cstdint>

namespace posert {

struct MapRange {
    float least;         // the least value, or 0 if that is less
    float greatest;      // the greatest value, or 0 if that is greater
    bool finite;         // no NaN and no infinity
    std::int64_t first;  // index of the first greatest value; of no meaning if greatest <= 0
};

MapRange map_range(const float* map, std::int64_t count);

}  // namespace posert
