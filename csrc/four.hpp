// Four floats that are computed together, where the compiler does not find them by itself.
#pragma once

#include <cstring>

#include "dispatch.hpp"

namespace posert {

#if defined(__GNUC__)
using Four = float __attribute__((vector_size(16)));
#else
struct Four {
    float values[4];

    float operator[](int i) const { return values[i]; }
};

POSERT_INLINE Four operator+(const Four& a, const Four& b) {
    return {{a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]}};
}

POSERT_INLINE Four operator*(const Four& a, const Four& b) {
    return {{a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]}};
}

POSERT_INLINE Four operator*(float a, const Four& b) {
    return {{a * b[0], a * b[1], a * b[2], a * b[3]}};
}
#endif

POSERT_INLINE Four load_four(const float* values) {
    Four result;
    std::memcpy(&result, values, sizeof result);
    return result;
}

}  // namespace posert
