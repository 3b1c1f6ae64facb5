// The errors that vector_math.hpp states, against the C library in double, over the ranges it states.

#include "vector_math.hpp"

#include <cmath>
#include <cstdio>
#include <limits>

namespace {

int failures = 0;

void at_most(const char* what, double error, double bound) {
    if (error <= bound) return;
    std::fprintf(stderr, "%s: error %.3g, stated %.3g\n", what, error, bound);
    ++failures;
}

// The largest of error(x) for x from `low` to `high`, both included, in steps that are no round numbers.
template <typename Error>
double largest(double low, double high, const Error& error) {
    constexpr int kSteps = 3'000'017;
    double result = 0;
    for (int i = 0; i <= kSteps; ++i)
        result = std::fmax(result, error(static_cast<float>(low + (high - low) * i / kSteps)));
    return result;
}

double exp_error(float x) { return std::abs(posert::exp_float(x) / std::exp(static_cast<double>(x)) - 1); }

double exp2_error(float x) { return std::abs(posert::exp2_float(x) / std::exp2(static_cast<double>(x)) - 1); }

double exp2_minus_1_error(float x) {
    const double exact = std::expm1(x * std::log(2.0));
    // Denormal numbers have no relative accuracy.
    return std::abs(posert::exp2_minus_1(x) - exact) / std::fmax(std::abs(exact), 1e-37);
}

// Less half a step between neighbouring floats.
double log_error(float x) {
    const double exact = std::log(static_cast<double>(x));
    const auto rounded = static_cast<float>(std::abs(exact));
    const double step = std::nextafter(rounded, std::numeric_limits<float>::infinity()) - rounded;
    return std::abs(posert::log_float(x) - exact) - step / 2;
}

double log_1_plus_error(float x) { return std::abs(posert::log_1_plus(x) - std::log1p(static_cast<double>(x))); }

}  // namespace

int main() {
    at_most("exp_float", largest(-87, 88, exp_error), 4e-7);
    at_most("exp_float near 0", largest(-1, 1, exp_error), 4e-7);
    at_most("exp2_float", largest(-126, 127, exp2_error), 3e-7);
    at_most("exp2_float near 0", largest(-1, 1, exp2_error), 3e-7);
    at_most("exp2_minus_1", largest(-126, 0, exp2_minus_1_error), 8e-7);
    for (double scale = 1; scale > 1e-30; scale /= 7)
        at_most("exp2_minus_1 near 0", largest(-scale, 0, exp2_minus_1_error), 8e-7);
    at_most("log_float", largest(0.4, 3, log_error), 2e-7);
    for (double scale = 1.2e-38; scale < 1e38; scale *= 13) at_most("log_float", largest(scale, 13 * scale, log_error), 2e-7);
    at_most("log_1_plus", largest(0, 1, log_1_plus_error), 4e-7);
    at_most("log_1_plus(0)", std::abs(posert::log_1_plus(0)), 0);
    at_most("exp2_float(0)", std::abs(posert::exp2_float(0) - 1), 0);
    at_most("exp2_float(-1e30)", posert::exp2_float(-1e30F), 1.2e-38);
    at_most("exp_float(0)", std::abs(posert::exp_float(0) - 1), 0);
    at_most("log_float(1)", std::abs(posert::log_float(1)), 0);
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
    if (!std::isnan(posert::exp_float(nan))) at_most("exp_float(NaN)", 1, 0);
    at_most("exp_float(-infinity)", posert::exp_float(-infinite), 1.7e-38);
    return failures == 0 ? 0 : 1;
}
