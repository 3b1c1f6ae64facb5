#include "distance_transform.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include "threads.hpp"

namespace posert {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

// Cells by which two breaks may differ that would be one but for rounding.
constexpr double kTie = 1e-6;

// The transform along one axis: the upper envelope of one parabola for each cell, in linear time (Felzenszwalb and
// Huttenlocher). Not to be shared between threads.
class Envelope {
  public:
    Envelope(std::int64_t most, double weight) : weight_(weight) {
        const auto size = static_cast<std::size_t>(most);
        cells_.resize(size);
        tops_.resize(size);
        starts_.resize(size);
        half_reciprocals_.resize(size);
        for (std::size_t gap = 1; gap < size; ++gap)
            half_reciprocals_[gap] = 1 / (2 * weight * static_cast<double>(gap));
    }

    // best[p] = max over q of values[q] - weight (q - p - offset)^2, and place[p] the first such q. Without a value
    // above -inf, best is -inf and place 0.
    void transform(const double* values, std::int64_t count, double offset, double* best, std::int32_t* place) {
        build(values, count, offset);
        if (size_ == 0) {
            std::fill_n(best, count, kNever);
            std::fill_n(place, count, 0);
            return;
        }
        std::size_t current = 0;
        for (std::int64_t p = 0; p < count; ++p) {
            const auto at = static_cast<double>(p);
            const auto height = [&](std::size_t i) {
                const double distance = static_cast<double>(cells_[i]) - at - offset;
                return tops_[i] - weight_ * (distance * distance);
            };
            // Near a break the values decide, as they do in the definition.
            while (current + 1 < size_ && starts_[current + 1] < at - 0.5) ++current;
            double found = height(current);
            for (std::size_t i = current + 1; i < size_ && starts_[i] < at + 0.5; ++i) {
                const double other = height(i);
                if (other > found) {
                    found = other;
                    current = i;
                }
            }
            best[p] = found;
            place[p] = cells_[current];
        }
    }

  private:
    // Which parabolas are greatest somewhere, and from where on; also those that are as great as their neighbours at a
    // single point, because rounding may make them the greatest there.
    void build(const double* values, std::int64_t count, double offset) {
        size_ = 0;
        for (std::int64_t q = 0; q < count; ++q) {
            if (values[q] == kNever) continue;
            double start = kNever;
            while (size_ > 0) {
                const std::int32_t before = cells_[size_ - 1];
                const double lead = tops_[size_ - 1] - values[q];
                start = 0.5 * static_cast<double>(q + before) - offset +
                        lead * half_reciprocals_[static_cast<std::size_t>(q - before)];
                if (start > starts_[size_ - 1] - kTie) break;
                --size_;
                start = kNever;
            }
            cells_[size_] = static_cast<std::int32_t>(q);
            tops_[size_] = values[q];
            starts_[size_++] = start;
        }
    }

    double weight_;
    std::vector<std::int32_t> cells_;       // of the parabolas of the envelope
    std::vector<double> tops_;              // their values there
    std::vector<double> starts_;            // from where on each is the greatest
    std::vector<double> half_reciprocals_;  // 1 / (2 weight gap)
    std::size_t size_ = 0;
};

// One map at a time: columns first, then rows. Not to be shared between threads.
class Transformer {
  public:
    Transformer(std::int64_t height, std::int64_t width, const DeformationCost& cost)
        : height_(height),
          width_(width),
          vertical_(height, cost.weight_y),
          horizontal_(width, cost.weight_x),
          column_(static_cast<std::size_t>(height)),
          down_(static_cast<std::size_t>(height * width)),
          result_(static_cast<std::size_t>(std::max(height, width))),
          place_(static_cast<std::size_t>(std::max(height, width))),
          rows_(static_cast<std::size_t>(height * width)) {}

    void transform(const float* map, const float* offset, float* best, std::int32_t* location) {
        for (std::int64_t x = 0; x < width_; ++x) {
            for (std::int64_t y = 0; y < height_; ++y) column_[static_cast<std::size_t>(y)] = map[y * width_ + x];
            vertical_.transform(column_.data(), height_, offset[1], result_.data(), place_.data());
            for (std::int64_t y = 0; y < height_; ++y) {
                down_[static_cast<std::size_t>(y * width_ + x)] = result_[static_cast<std::size_t>(y)];
                rows_[static_cast<std::size_t>(y * width_ + x)] = place_[static_cast<std::size_t>(y)];
            }
        }
        for (std::int64_t y = 0; y < height_; ++y) {
            const std::int64_t line = y * width_;
            horizontal_.transform(down_.data() + line, width_, offset[0], result_.data(), place_.data());
            for (std::int64_t x = 0; x < width_; ++x) {
                const std::int32_t column = place_[static_cast<std::size_t>(x)];
                best[line + x] = static_cast<float>(result_[static_cast<std::size_t>(x)]);
                location[2 * (line + x)] = column;
                location[2 * (line + x) + 1] = rows_[static_cast<std::size_t>(line + column)];
            }
        }
    }

  private:
    std::int64_t height_, width_;
    Envelope vertical_, horizontal_;
    std::vector<double> column_, down_, result_;
    std::vector<std::int32_t> place_, rows_;
};

}  // namespace

void distance_transform(const ScoreMaps& scores, const DeformationCost& cost, float* best, std::int64_t best_stride,
                        std::int32_t* location) {
    const std::int64_t area = scores.height * scores.width;
    if (area == 0) return;
    const std::int64_t grain = std::max<std::int64_t>(1, (1 << 13) / area);
    parallel_for(scores.items * scores.channels, grain, [&](std::int64_t begin, std::int64_t end) {
        Transformer transformer(scores.height, scores.width, cost);
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t item = index / scores.channels, channel = index % scores.channels;
            transformer.transform(scores.data + item * scores.item_stride + channel * scores.channel_stride,
                                  cost.offsets + 2 * channel, best + item * best_stride + channel * area,
                                  location + 2 * area * index);
        }
    });
}

}  // namespace posert
