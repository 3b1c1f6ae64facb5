#include "bicubic.hpp"

#include "dispatch.hpp"

namespace posert {
namespace {

constexpr double kCubic = -0.75;

double near_weight(double t) {
    return ((kCubic + 2) * t - (kCubic + 3)) * t * t + 1;
}

double far_weight(double t) {
    return ((kCubic * t - 5 * kCubic) * t + 8 * kCubic) * t - 4 * kCubic;
}

// Lines are padded to a multiple of these, so that loops over them have no rest.
constexpr std::int64_t kLanes = 4;

// Pixels that follow each other on an axis, from a phase of the first cell on.
struct Span {
    std::int64_t phase, count;
};

// One line of pixels from one line of cells, of which the first is a tap of the first pixel.
POSERT_INLINE void cubic_line(const double* weights, std::int64_t stride, Span span, const double* cells,
                              double* POSERT_RESTRICT out) {
    std::int64_t done = 0, phase = span.phase;
    while (done < span.count) {
        const std::int64_t some = std::min(stride - phase, span.count - done);
        const double a = cells[0], b = cells[1], c = cells[2], d = cells[3];
        const double* POSERT_RESTRICT w = weights + phase;
        for (std::int64_t i = 0; i < some; ++i) {
            out[done + i] = ((w[i] * a + w[stride + i] * b) + w[2 * stride + i] * c) + w[3 * stride + i] * d;
        }
        done += some;
        phase = 0;
        ++cells;
    }
}

// tile: lines of tile_columns cells; lines: as many of `width` pixels, of which columns.count matter; out: (rows.count,
// width).
POSERT_CLONES void cubic_patch(const double* weights, std::int64_t stride, Span rows, Span columns, const double* tile,
                               std::int64_t tile_rows, std::int64_t tile_columns, std::int64_t width,
                               double* POSERT_RESTRICT lines, double* POSERT_RESTRICT out) {
    for (std::int64_t row = 0; row < tile_rows; ++row)
        cubic_line(weights, stride, columns, tile + row * tile_columns, lines + row * width);
    std::int64_t phase = rows.phase;
    const double* line = lines;
    for (std::int64_t y = 0; y < rows.count; ++y) {
        const double a = weights[phase], b = weights[stride + phase], c = weights[2 * stride + phase],
                     d = weights[3 * stride + phase];
        for (std::int64_t block = 0; block < width; block += kLanes) {
            const double* from = line + block;
            double* POSERT_RESTRICT to = out + y * width + block;
            for (std::int64_t i = 0; i < kLanes; ++i)
                to[i] = ((a * from[i] + b * from[width + i]) + c * from[2 * width + i]) + d * from[3 * width + i];
        }
        if (++phase == stride) {
            phase = 0;
            line += width;
        }
    }
}

}  // namespace

std::int64_t PatchReader::padded_width(std::int64_t columns) {
    return (columns + kLanes - 1) / kLanes * kLanes;
}

std::vector<double> cubic_weights(std::int64_t stride) {
    std::vector<double> weights(static_cast<std::size_t>(4 * stride));
    for (std::int64_t phase = 0; phase < stride; ++phase) {
        const double rest = static_cast<double>(2 * (stride / 2 + phase) + 1 - stride);
        const double t = rest / static_cast<double>(2 * stride);
        const double taps[4] = {far_weight(t + 1), near_weight(t), near_weight(1 - t), far_weight(2 - t)};
        for (std::int64_t tap = 0; tap < 4; ++tap) weights[static_cast<std::size_t>(tap * stride + phase)] = taps[tap];
    }
    return weights;
}

PatchReader::PatchReader(std::int64_t height, std::int64_t width, std::int64_t stride, std::int64_t most)
    : height_(height), width_(width), stride_(stride), weights_(cubic_weights(stride)) {
    const std::int64_t cells = (most + stride - 2) / stride + 4;  // of a line of pixels, with the taps of its ends
    tile_.resize(static_cast<std::size_t>(cells * cells));
    const std::int64_t padded = padded_width(most);
    lines_.resize(static_cast<std::size_t>(cells * padded));
    values_.resize(static_cast<std::size_t>(most * padded));
}

const double* PatchReader::read(std::int64_t top, std::int64_t left, std::int64_t rows, std::int64_t columns) {
    const CellPhase upper = cell_phase(top, stride_), lower = cell_phase(top + rows - 1, stride_);
    const CellPhase first = cell_phase(left, stride_), last = cell_phase(left + columns - 1, stride_);
    const std::int64_t tile_rows = lower.cell - upper.cell + 4, tile_columns = last.cell - first.cell + 4;
    double* tile = tile_.data();
    for (std::int64_t i = 0; i < tile_rows; ++i) {
        const float* line = map_ + std::clamp<std::int64_t>(upper.cell - 1 + i, 0, height_ - 1) * width_;
        for (std::int64_t j = 0; j < tile_columns; ++j)
            *tile++ = line[std::clamp<std::int64_t>(first.cell - 1 + j, 0, width_ - 1)];
    }
    cubic_patch(weights_.data(), stride_, {upper.phase, rows}, {first.phase, columns}, tile_.data(), tile_rows,
                tile_columns, padded_width(columns), lines_.data(), values_.data());
    return values_.data();
}

}  // namespace posert
