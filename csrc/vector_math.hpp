// exp and log in float32 as plain arithmetic, so that loops over them are vectorised and every machine gives the same
// bytes. The errors stated were measured over all of the range; tests/ops/vector_math_test.cpp holds them to it.
#pragma once

#include <bit>
#include <cstdint>

#include "dispatch.hpp"

namespace posert {

// e^x = scale * (1 + rest), with |rest| below 0.42.
struct ExpParts {
    float scale;
    float rest;
};

// For x in [-87, 88]; what is less counts as -87, and NaN gives NaN.
POSERT_INLINE ExpParts exp_parts(float x) {
    // Added to a number, this rounds it to an integer and leaves that in the lowest bits.
    constexpr float kRound = 12582912.0F;
    const float from = x < -87.0F ? -87.0F : x;
    const float shifted = from * 1.44269504F + kRound;
    const float power = shifted - kRound;
    // ln 2 in two parts: power times the first is exact.
    const float r = (from - power * 0.693359375F) + power * 2.12194440e-4F;
    const float tail = 0.4999923F + r * (0.16667114F + r * (0.041890156F + r * 0.008312521F));
    return {std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3F800000U), r + r * r * tail};
}

// Relative error below 2.5e-7; e^-87 for x < -87; x up to 88.
POSERT_INLINE float exp_float(float x) {
    const ExpParts parts = exp_parts(x);
    return parts.scale * (1.0F + parts.rest);
}

// e^x - 1 for x <= 0, relative error below 9e-7.
POSERT_INLINE float exp_minus_1(float x) {
    const ExpParts parts = exp_parts(x);
    return parts.scale * parts.rest + (parts.scale - 1.0F);
}

// ln x for positive normal x: error below 2e-7 plus half a step of the result.
POSERT_INLINE float log_float(float x) {
    // The bits of sqrt(1/2): the mantissa comes to lie around 1.
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    const std::int32_t power = static_cast<std::int32_t>(bits - 0x3F3504F3U) >> 23;
    const float f = std::bit_cast<float>(bits - (static_cast<std::uint32_t>(power) << 23)) - 1.0F;
    const float head = 0.3333469F + f * (-0.24980573F + f * 0.19910239F);
    const float tail = -0.17166907F + f * (0.16141178F + f * -0.10224204F);
    const float cubed = f * f * f;
    const auto whole = static_cast<float>(power);
    return whole * 0.693359375F + (f + (cubed * (head + cubed * tail) - 0.5F * f * f + whole * -2.12194440e-4F));
}

// ln(1 + x) for x in [0, 1], error below 4e-7.
POSERT_INLINE float log_1_plus(float x) {
    const float tail = -0.22589803F + x * (0.13467455F + x * (-0.055145204F + x * 0.010764515F));
    return x * (0.99998116F + x * (-0.49947178F + x * (0.3282422F + x * tail)));
}

}  // namespace posert
