#include "rasterize_pafs.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "dispatch.hpp"
#include "rasterize_discs.hpp"
#include "threads.hpp"

namespace posert {
namespace {

// A limb in cells: its first joint, its unit vector and its box.
struct Band {
    double x, y, along_x, along_y;
    std::int64_t left, right, top, bottom;  // right and bottom are exclusive
};

std::int64_t box_edge(double edge, std::int64_t length) {
    return static_cast<std::int64_t>(std::clamp(std::round(edge), 0.0, static_cast<double>(length)));
}

// The band of a limb, without cells if the limb has no length.
Band make_band(const float* start, const float* stop, const PafOptions& options, const PafTarget& out) {
    const double ax = start[0] / options.stride, ay = start[1] / options.stride;
    const double bx = stop[0] / options.stride, by = stop[1] / options.stride;
    const double dx = bx - ax, dy = by - ay, length = std::sqrt(dx * dx + dy * dy);
    if (length == 0) return {0, 0, 0, 0, 0, 0, 0, 0};
    const double width = options.width;
    return {ax,
            ay,
            dx / length,
            dy / length,
            box_edge(std::min(ax, bx) - width, out.width),
            box_edge(std::max(ax, bx) + width, out.width),
            box_edge(std::min(ay, by) - width, out.height),
            box_edge(std::max(ay, by) + width, out.height)};
}

// Sets the cells of a row that a band covers.
POSERT_CLONES void set_row(const Band& band, double row, double width, float* POSERT_RESTRICT out_x,
                           float* POSERT_RESTRICT out_y) {
    const double down = (row - band.y) * band.along_x, along_y = band.along_y, x = band.x;
    const float value_x = static_cast<float>(band.along_x), value_y = static_cast<float>(band.along_y);
    for (std::int64_t column = band.left; column < band.right; ++column) {
        const bool covered = std::fabs((static_cast<double>(column) - x) * along_y - down) <= width;
        out_x[column] = covered ? value_x : out_x[column];
        out_y[column] = covered ? value_y : out_y[column];
    }
}

// Sums of one row.
struct Sums {
    std::vector<double> x, y, count;

    explicit Sums(std::int64_t width)
        : x(static_cast<std::size_t>(width)),
          y(static_cast<std::size_t>(width)),
          count(static_cast<std::size_t>(width)) {}

    void add(const Band& band, double row, double width) {
        const double down = (row - band.y) * band.along_x;
        for (std::int64_t column = band.left; column < band.right; ++column) {
            if (!(std::fabs((static_cast<double>(column) - band.x) * band.along_y - down) <= width)) continue;
            const auto at = static_cast<std::size_t>(column);
            x[at] += band.along_x;
            y[at] += band.along_y;
            count[at] += 1;
        }
    }

    // Writes the means and starts again.
    void write(float* out_x, float* out_y) {
        for (std::size_t i = 0; i < x.size(); ++i) {
            if (count[i] == 0) continue;
            out_x[i] = static_cast<float>(x[i] / count[i]);
            out_y[i] = static_cast<float>(y[i] / count[i]);
            x[i] = y[i] = count[i] = 0;
        }
    }
};

// Draws the bands of one kind of limb over zeros.
void draw(const std::vector<Band>& bands, const PafOptions& options, const PafTarget& out, float* plane) {
    const std::int64_t area = out.height * out.width;
    std::fill_n(plane, 2 * area, 0.0F);
    if (!options.average) {
        for (const Band& band : bands) {
            for (std::int64_t row = band.top; row < band.bottom; ++row) {
                float* line = plane + row * out.width;
                set_row(band, static_cast<double>(row), options.width, line, line + area);
            }
        }
        return;
    }
    Sums sums(out.width);
    for (std::int64_t row = 0; row < out.height; ++row) {
        bool any = false;
        for (const Band& band : bands) {
            if (row < band.top || row >= band.bottom) continue;
            sums.add(band, static_cast<double>(row), options.width);
            any = true;
        }
        if (any) sums.write(plane + row * out.width, plane + row * out.width + area);
    }
}

}  // namespace

void rasterize_pafs(const float* keypoints, std::int64_t people, std::int64_t joints, const PafOptions& options,
                    const PafTarget& out) {
    const std::int64_t area = out.height * out.width;
    if (area == 0) return;
    const std::int64_t grain = std::max<std::int64_t>(1, (1 << 15) / (2 * area));
    parallel_for(out.items * options.limb_count, grain, [&](std::int64_t begin, std::int64_t end) {
        std::vector<Band> bands;
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t item = index / options.limb_count, limb = index % options.limb_count;
            bands.clear();
            for (std::int64_t person = 0; person < people; ++person) {
                const float* points = keypoints + 3 * joints * (item * people + person);
                const float* start = points + std::int64_t{3} * options.limbs[2 * limb];
                const float* stop = points + std::int64_t{3} * options.limbs[2 * limb + 1];
                if (is_present(start) && is_present(stop)) bands.push_back(make_band(start, stop, options, out));
            }
            draw(bands, options, out, out.data + item * out.item_stride + 2 * limb * area);
        }
    });
}

}  // namespace posert
