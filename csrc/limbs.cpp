#include "limbs.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "rasterize_discs.hpp"
#include "threads.hpp"

namespace posert {
namespace {

constexpr double kHeight = 256;
constexpr double kLeastVarianceAlong = 5, kDeviationAcross = 11, kTorsoDeviationAcross = 13;
// Of what float32 holds, and so far from anything visible that products with columns stay finite.
constexpr double kFar = 1e30;

// The joints of each part; those of the torso are averaged in pairs.
constexpr int kJoints[kLimbs][4] = {{0, 1}, {2, 3},  {3, 4},   {5, 6},   {6, 7},
                                    {8, 9}, {9, 10}, {11, 12}, {12, 13}, {2, 5, 8, 11}};
constexpr int kTorso = 9;

struct Point {
    double x, y;
};

Point middle(const float* keypoints, int first, int second) {
    const float *a = keypoints + 3 * first, *b = keypoints + 3 * second;
    return {(static_cast<double>(a[0]) + b[0]) / 2, (static_cast<double>(a[1]) + b[1]) / 2};
}

Line line(double x, double y, Point centre, double unit) {
    x /= unit;
    y /= unit;
    return {x, y, -(x * centre.x + y * centre.y)};
}

// Written as the definition is, so that coordinates far from the frame are rounded alike.
void set_axes(Point start, Point end, double deviation, double scale, Limb& limb) {
    const Point centre{(start.x + end.x) / 2, (start.y + end.y) / 2};
    double x = end.x - start.x, y = end.y - start.y;
    const double squared = x * x + y * y, length = std::sqrt(squared);
    x = length > 0 ? x / length : 1;
    y = length > 0 ? y / length : 0;
    deviation *= scale;
    const double variance = std::max(kLeastVarianceAlong * scale * scale, squared / 1.5);
    limb.along = line(x, y, centre, std::sqrt(2 * variance));
    limb.across = line(-y, x, centre, std::sqrt(2 * deviation * deviation));
}

// What a limb is on one row: where it is strongest, and how it falls off from there.
struct Section {
    double column, exponent, slope;
};

Section section(const Limb& limb, double row, double last_column, double inverse_curve) {
    const double along = limb.along.y * row + limb.along.origin, across = limb.across.y * row + limb.across.origin;
    const double peak = -(limb.along.x * along + limb.across.x * across) * inverse_curve;
    const double inside = std::min(std::max(peak, 0.0), last_column);
    const auto column = static_cast<double>(static_cast<std::int64_t>(inside + 0.5));
    const double a = limb.along.x * column + along, b = limb.across.x * column + across;
    return {column, a * a + b * b, 2 * (limb.along.x * a + limb.across.x * b)};
}

double curve(const Limb& limb) {
    return limb.along.x * limb.along.x + limb.across.x * limb.across.x;
}

float narrow(double value) {
    return static_cast<float>(std::min(std::max(value, -kFar), kFar));
}

void find_limb(const float* keypoints, int part, std::int64_t height, std::int64_t width, Limb& limb) {
    const int* joints = kJoints[part];
    const int count = part == kTorso ? 4 : 2;
    limb.present = std::all_of(joints, joints + count, [=](int joint) { return is_present(keypoints + 3 * joint); });
    if (!limb.present) return;
    const double scale = static_cast<double>(height) / kHeight, last_column = static_cast<double>(width - 1);
    if (part == kTorso) {
        set_axes(middle(keypoints, joints[0], joints[1]), middle(keypoints, joints[2], joints[3]),
                 kTorsoDeviationAcross, scale, limb);
    } else {
        set_axes(middle(keypoints, joints[0], joints[0]), middle(keypoints, joints[1], joints[1]), kDeviationAcross,
                 scale, limb);
    }
    const double inverse = 1 / curve(limb);
    double least = section(limb, 0, last_column, inverse).exponent;
    for (std::int64_t row = 1; row < height; ++row)
        least = std::min(least, section(limb, static_cast<double>(row), last_column, inverse).exponent);
    limb.shift = -std::log(std::exp(-least) + 1e-6);
}

}  // namespace

std::vector<Limb> find_limbs(const float* keypoints, std::int64_t items, std::int64_t height, std::int64_t width) {
    std::vector<Limb> limbs(static_cast<std::size_t>(items * kLimbs));
    const std::int64_t grain = std::max<std::int64_t>(1, 4096 / height);
    parallel_for(items * kLimbs, grain, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t index = begin; index < end; ++index) {
            find_limb(keypoints + (index / kLimbs) * kLimbJoints * 3, static_cast<int>(index % kLimbs), height, width,
                      limbs[static_cast<std::size_t>(index)]);
        }
    });
    return limbs;
}

Bands::Bands(std::int64_t height, std::int64_t width)
    : height_(height),
      width_(width),
      rows_(std::clamp<std::int64_t>(kBandPixels / width, 1, kBandRows)),
      across_((width + kBandPixels - 1) / kBandPixels),
      down_((height + rows_ - 1) / rows_) {}

Band Bands::at(std::int64_t number) const {
    const std::int64_t row = number / across_ * rows_, column = number % across_ * kBandPixels;
    return {row, std::min(rows_, height_ - row), column, std::min<std::int64_t>(kBandPixels, width_ - column)};
}

void find_limb_rows(const Limb* limbs, const Band& band, std::int64_t width, BandLimbs& rows) {
    constexpr double kLog2E = std::numbers::log2e;
    const double last_column = static_cast<double>(width - 1);
    for (int part = 0; part < kLimbs; ++part) {
        const Limb& limb = limbs[part];
        const double curvature = curve(limb), inverse = 1 / curvature;
        for (std::int64_t row = 0; row < band.rows; ++row) {
            if (!limb.present) {
                rows[row][part] = {0, narrow(-kFar), 0, 0};
                continue;
            }
            const Section at = section(limb, static_cast<double>(band.row + row), last_column, inverse);
            rows[row][part] = {static_cast<float>(at.column), narrow((limb.shift - at.exponent) * kLog2E),
                               narrow(curvature * kLog2E), narrow(at.slope * kLog2E)};
        }
    }
}

double background(const Limb* limbs, std::int64_t row, std::int64_t column) {
    const auto x = static_cast<double>(column), y = static_cast<double>(row);
    double largest = -kFar;
    for (int part = 0; part < kLimbs; ++part) {
        const Limb& limb = limbs[part];
        if (!limb.present) continue;
        const double along = limb.along.x * x + (limb.along.y * y + limb.along.origin);
        const double across = limb.across.x * x + (limb.across.y * y + limb.across.origin);
        largest = std::max(largest, limb.shift - (along * along + across * across));
    }
    return -std::expm1(largest);
}

float background_limit(std::int64_t height) {
    // Masks of a smaller frame are narrower, and their steps from pixel to pixel larger, by the square of the scale.
    const double scale = static_cast<double>(height) / kHeight;
    return narrow(1e-3 / (scale * scale));
}

}  // namespace posert
