#include "rasterize_gaussians.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "dispatch.hpp"
#include "rasterize_discs.hpp"
#include "threads.hpp"

namespace posert {
namespace {

// out[x] = columns[x] * row
POSERT_CLONES void gaussian_row(const float* POSERT_RESTRICT columns, float row, std::int64_t width,
                                float* POSERT_RESTRICT out) {
    for (std::int64_t x = 0; x < width; ++x) out[x] = columns[x] * row;
}

// The Gaussian is a product of one factor a column and one a row.
struct Axis {
    std::vector<double> squares;  // squared distance to the keypoint, image pixels
    std::vector<float> factors;
    double first = 0, last = 0;  // outermost cell centres

    void prepare(double centre, std::int64_t cells, const GaussianOptions& options) {
        squares.resize(static_cast<std::size_t>(cells));
        factors.resize(static_cast<std::size_t>(cells));
        for (std::size_t g = 0; g < squares.size(); ++g) {
            const double distance = options.stride * static_cast<double>(g) + options.offset - centre;
            squares[g] = distance * distance;
            const double factor = std::exp(-squares[g] / (2 * options.sigma * options.sigma));
            // Smaller factors would only make denormal products, on which some CPUs are slow.
            factors[g] = factor < 1.1e-19 ? 0.0F : static_cast<float>(factor);
        }
        first = options.offset;
        last = options.stride * static_cast<double>(cells - 1) + options.offset;
    }
};

void draw_map(const float* keypoint, const GaussianOptions& options, const GaussianTarget& out, Axis& columns,
              Axis& rows, float* map) {
    const double x = keypoint[0], y = keypoint[1];
    columns.prepare(x, out.width, options);
    rows.prepare(y, out.height, options);
    if (options.inside_only && !(columns.first < x && x < columns.last && rows.first < y && y < rows.last)) {
        std::fill_n(map, out.height * out.width, 0.0F);
        return;
    }
    const double variance = 2 * (options.sigma * options.sigma);
    for (std::int64_t row = 0; row < out.height; ++row) {
        const auto r = static_cast<std::size_t>(row);
        float* line = map + row * out.width;
        if (rows.squares[r] / variance > options.cutoff) {
            std::fill_n(line, out.width, 0.0F);
            continue;
        }
        gaussian_row(columns.factors.data(), rows.factors[r], out.width, line);
        if (std::isinf(options.cutoff)) continue;
        for (std::int64_t column = 0; column < out.width; ++column) {
            if ((columns.squares[static_cast<std::size_t>(column)] + rows.squares[r]) / variance > options.cutoff)
                line[column] = 0;
        }
    }
}

}  // namespace

void rasterize_gaussians(const float* keypoints, const GaussianOptions& options, const GaussianTarget& out) {
    const std::int64_t area = out.height * out.width;
    if (area == 0) return;
    parallel_for(out.items * out.joints, std::max<std::int64_t>(1, (1 << 15) / area),
                 [&](std::int64_t begin, std::int64_t end) {
                     Axis columns, rows;
                     for (std::int64_t index = begin; index < end; ++index) {
                         float* map = out.data + (index / out.joints) * out.item_stride + (index % out.joints) * area;
                         if (is_present(keypoints + 3 * index)) {
                             draw_map(keypoints + 3 * index, options, out, columns, rows, map);
                         } else {
                             std::fill_n(map, area, 0.0F);
                         }
                     }
                 });
}

}  // namespace posert
