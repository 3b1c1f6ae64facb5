// 8-bit levels of pictures in [-1, 1] (specs K-post).
#pragma once

#include <cstdint>

#include "dispatch.hpp"

namespace posert {

// Written so that NaN, for which every comparison is false, becomes 0.
POSERT_INLINE std::uint8_t level(float value) {
    const float scaled = (value + 1.0F) * 127.5F;
    const float positive = scaled > 0.0F ? scaled : 0.0F;
    return static_cast<std::uint8_t>(static_cast<std::int32_t>(positive < 255.0F ? positive : 255.0F));
}

}  // namespace posert
