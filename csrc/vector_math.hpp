// Exponentials and logarithms in float32 as plain arithmetic, so that loops over them are vectorised and every machine
// gives the same bytes. tests/ops/vector_math_test.cpp holds them to the errors that are stated here.
#pragma once

#include <bit>
#include <cstdint>

#include "dispatch.hpp"

namespace posert {

// Added to a number up to 2^21, this rounds it to an integer and leaves that in the lowest bits.
constexpr float kRounder = 12582912.0F;

// 2^x - 1 for x in [-0.5, 0.5], relative error below 6e-7.
POSERT_INLINE float exp2_fraction(float x) {
    const float tail = 0.055505004F + x * (0.009666247F + x * 0.0013333538F);
    return x * (0.6931471F + x * (0.24022351F + x * tail));
}

// 2^n, of a number that was rounded by adding kRounder.
POSERT_INLINE float exp2_of_rounded(float shifted) {
    return std::bit_cast<float>((std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3F800000U);
}

// 2^x for x up to 127, relative error below 3e-7; what is less than -126 counts as -126.
POSERT_INLINE float exp2_float(float x) {
    const float from = x > -126.0F ? x : -126.0F;
    const float shifted = from + kRounder;
    const float mantissa = 1.0F + exp2_fraction(from - (shifted - kRounder));
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(mantissa) + (std::bit_cast<std::uint32_t>(shifted) << 23));
}

// 2^x - 1 for x <= 0, relative error below 8e-7 (of results that are no denormal numbers).
POSERT_INLINE float exp2_minus_1(float x) {
    const float from = x > -126.0F ? x : -126.0F;
    const float shifted = from + kRounder;
    const float power = exp2_of_rounded(shifted);
    return power * exp2_fraction(from - (shifted - kRounder)) + (power - 1.0F);
}

// e^x for x up to 88, relative error below 4e-7; what is less than -87 counts as -87, and NaN gives NaN.
POSERT_INLINE float exp_float(float x) {
    const float from = x < -87.0F ? -87.0F : x;
    const float shifted = from * 1.44269504F + kRounder;
    const float power = shifted - kRounder;
    // ln 2 in two parts: power times the first is exact.
    const float rest = (from - power * 0.693359375F) + power * 2.12194440e-4F;
    return exp2_of_rounded(shifted) * (1.0F + exp2_fraction(rest * 1.44269504F));
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
