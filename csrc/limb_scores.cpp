#include "limb_scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "bicubic.hpp"
#include "dispatch.hpp"
#include "rasterize_discs.hpp"
#include "threads.hpp"

namespace posert {
namespace {

constexpr float kLeastLength = 1e-6F, kLeastScore = 1e-6F;
constexpr int kLeastCount = 5, kMostCount = 25;

struct Vector {
    float x, y;
};

// Where the pixels of one axis of the enlarged map lie, and their weights in float32.
class Axis {
  public:
    Axis(std::int64_t cells, std::int64_t stride) : last_(static_cast<float>(cells * stride - 1)) {
        for (std::int64_t pixel = 0; pixel < cells * stride; ++pixel) places_.push_back(cell_phase(pixel, stride));
        const std::vector<double> weights = cubic_weights(stride);
        for (std::int64_t phase = 0; phase < stride; ++phase) {
            for (std::int64_t tap = 0; tap < 4; ++tap)
                weights_.push_back(static_cast<float>(weights[static_cast<std::size_t>(tap * stride + phase)]));
        }
    }

    // The nearest pixel, halves upwards.
    POSERT_INLINE std::size_t nearest(float position) const {
        return static_cast<std::size_t>(std::min(std::max(std::floor(position + 0.5F), 0.0F), last_));
    }
    POSERT_INLINE std::int64_t cell(std::size_t pixel) const { return places_[pixel].cell; }
    POSERT_INLINE const float* weights(std::size_t pixel) const { return weights_.data() + 4 * places_[pixel].phase; }

  private:
    float last_;
    std::vector<CellPhase> places_;
    std::vector<float> weights_;  // (phases, 4 taps)
};

// The two maps of one limb, enlarged.
class Field {
  public:
    Field(const FieldMaps& maps, std::int64_t stride, const Axis& columns, const Axis& rows)
        : maps_(maps), stride_(stride), columns_(columns), rows_(rows) {}

    void set_limb(const float* across) { across_ = across; }

    POSERT_INLINE Vector at(float x, float y) const {
        const std::size_t column = columns_.nearest(x), row = rows_.nearest(y);
        if (stride_ == 1) {
            const float* place =
                across_ + static_cast<std::int64_t>(row) * maps_.width + static_cast<std::int64_t>(column);
            return {place[0], place[maps_.channel_stride]};
        }
        const std::int64_t first_row = rows_.cell(row) - 1, first_column = columns_.cell(column) - 1;
        const float *down = rows_.weights(row), *right = columns_.weights(column);
        Vector sums[4];
        if (first_row >= 0 && first_row + 3 < maps_.height && first_column >= 0 && first_column + 3 < maps_.width) {
            const float* corner = across_ + first_row * maps_.width + first_column;
            for (std::int64_t i = 0; i < 4; ++i) sums[i].x = column_sum(corner + i, down);
            for (std::int64_t i = 0; i < 4; ++i) sums[i].y = column_sum(corner + maps_.channel_stride + i, down);
        } else {
            border_sums(first_row, first_column, down, sums);
        }
        return {((right[0] * sums[0].x + right[1] * sums[1].x) + right[2] * sums[2].x) + right[3] * sums[3].x,
                ((right[0] * sums[0].y + right[1] * sums[1].y) + right[2] * sums[2].y) + right[3] * sums[3].y};
    }

  private:
    POSERT_INLINE float column_sum(const float* top, const float* weights) const {
        const std::int64_t step = maps_.width;
        return ((weights[0] * top[0] + weights[1] * top[step]) + weights[2] * top[2 * step]) +
               weights[3] * top[3 * step];
    }

    void border_sums(std::int64_t first_row, std::int64_t first_column, const float* weights, Vector* sums) const {
        for (std::int64_t i = 0; i < 4; ++i) {
            const std::int64_t column = std::clamp<std::int64_t>(first_column + i, 0, maps_.width - 1);
            Vector terms[4];
            for (std::int64_t tap = 0; tap < 4; ++tap) {
                const std::int64_t row = std::clamp<std::int64_t>(first_row + tap, 0, maps_.height - 1);
                const float* place = across_ + row * maps_.width + column;
                terms[tap] = {weights[tap] * place[0], weights[tap] * place[maps_.channel_stride]};
            }
            sums[i] = {((terms[0].x + terms[1].x) + terms[2].x) + terms[3].x,
                       ((terms[0].y + terms[1].y) + terms[2].y) + terms[3].y};
        }
    }

    const FieldMaps& maps_;
    std::int64_t stride_;
    const Axis &columns_, &rows_;
    const float* across_ = nullptr;
};

// The present peaks of one joint.
struct Candidates {
    std::vector<float> x, y;
    std::vector<std::int64_t> index;

    void collect(const float* peaks, std::int64_t count) {
        x.clear();
        y.clear();
        index.clear();
        for (std::int64_t i = 0; i < count; ++i) {
            if (!is_present(peaks + 3 * i)) continue;
            x.push_back(peaks[3 * i]);
            y.push_back(peaks[3 * i + 1]);
            index.push_back(i);
        }
    }
};

// Lines from one first peak to all second ones.
struct Lines {
    std::vector<float> length, unit_x, unit_y, component;  // component: of the field at the first peak

    void resize(std::size_t count) {
        for (auto* values : {&length, &unit_x, &unit_y, &component}) values->resize(count);
    }
};

POSERT_CLONES void make_lines(float ax, float ay, Vector field, const float* POSERT_RESTRICT bx,
                              const float* POSERT_RESTRICT by, std::size_t count, float* POSERT_RESTRICT length,
                              float* POSERT_RESTRICT unit_x, float* POSERT_RESTRICT unit_y,
                              float* POSERT_RESTRICT component) {
    for (std::size_t i = 0; i < count; ++i) {
        const float dx = bx[i] - ax, dy = by[i] - ay;
        length[i] = std::sqrt(dx * dx + dy * dy);
        unit_x[i] = dx / length[i];
        unit_y[i] = dy / length[i];
        component[i] = unit_x[i] * field.x + unit_y[i] * field.y;
    }
}

// What one call needs for every pair.
class Scorer {
  public:
    Scorer(const FieldMaps& maps, const LimbScoreOptions& options)
        : options_(options),
          near_(static_cast<float>(
              std::sqrt(static_cast<double>(maps.height * options.stride * maps.width * options.stride)) / 150)) {
        for (int count = 1; count <= kMaxSamples; ++count) {
            int needed = 0;
            while (needed <= count &&
                   !(static_cast<float>(needed) / static_cast<float>(count) > options.accepted_fraction))
                ++needed;
            needed_[count] = needed;
        }
    }

    // The score of the line that begins at (ax, ay), along (dx, dy). `first` is the component of its first sample.
    POSERT_INLINE float score(const Field& field, float ax, float ay, Vector delta, Vector unit, float length,
                              float first) const {
        if (!(length > kLeastLength && length < std::numeric_limits<float>::infinity())) return 0;
        const int count = options_.samples > 0 ? options_.samples : count_for(delta);
        const int parts = options_.samples > 0 ? count - 1 : count;
        const float value = mean(field, ax, ay, delta, unit, count, parts, first);
        const float other = length < near_ ? options_.near_score : 0.0F;
        const float result = std::isnan(value) ? other : value + std::min(options_.length_limit / length - 1, 0.0F);
        return result > kLeastScore && result < std::numeric_limits<float>::infinity() ? result : 0.0F;
    }

  private:
    POSERT_INLINE static int count_for(Vector delta) {
        const float longer = std::max(std::fabs(delta.x), std::fabs(delta.y));
        const float count = std::floor(std::sqrt(5.0F * longer) + 0.5F);
        return static_cast<int>(std::clamp(count, static_cast<float>(kLeastCount), static_cast<float>(kMostCount)));
    }

    POSERT_INLINE bool accepts(float component) const {
        return component > options_.sample_threshold && component < std::numeric_limits<float>::infinity();
    }

    // The mean of the accepted samples, NaN if too few are. Samples are taken in the order in which wrong pairs show
    // soonest, and added in that along the line.
    POSERT_INLINE float mean(const Field& field, float ax, float ay, Vector delta, Vector unit, int count, int parts,
                             float first) const {
        constexpr float kTooFew = std::numeric_limits<float>::quiet_NaN();
        float components[kMaxSamples];
        int failures_left = count - needed_[count];
        components[0] = first;
        if (failures_left < 0 || (!accepts(first) && --failures_left < 0)) return kTooFew;
        const auto divisor = static_cast<float>(parts);
        const int middle = count / 2;
        for (int turn = 1; turn < count; ++turn) {
            const int k = turn == 1 ? middle : (turn <= middle ? turn - 1 : turn);
            const auto step = static_cast<float>(k);
            const Vector here = field.at(ax + step * delta.x / divisor, ay + step * delta.y / divisor);
            components[k] = unit.x * here.x + unit.y * here.y;
            if (!accepts(components[k]) && --failures_left < 0) return kTooFew;
        }
        float total = 0, accepted = 0;
        for (int k = 0; k < count; ++k) {
            if (!accepts(components[k])) continue;
            total += components[k];
            accepted += 1;
        }
        return total / std::max(accepted, 1.0F);
    }

    const LimbScoreOptions& options_;
    float near_;
    int needed_[kMaxSamples + 1] = {};
};

// Scores the lines from one first peak to all second ones.
POSERT_CLONES void score_lines(const Scorer& scorer, const Field& field, float ax, float ay, const Candidates& second,
                               const Lines& lines, float* row) {
    for (std::size_t b = 0; b < second.x.size(); ++b) {
        row[second.index[b]] = scorer.score(field, ax, ay, {second.x[b] - ax, second.y[b] - ay},
                                            {lines.unit_x[b], lines.unit_y[b]}, lines.length[b], lines.component[b]);
    }
}

}  // namespace

void limb_scores(const float* peaks, std::int64_t joints, const FieldMaps& fields, const LimbScoreOptions& options,
                 const LimbScoreTarget& out) {
    const std::int64_t most = out.most_peaks, square = most * most;
    const bool empty = fields.height * fields.width == 0;
    const Axis columns(fields.width, options.stride), rows(fields.height, options.stride);
    const Scorer scorer(fields, options);
    const std::int64_t grain = std::max<std::int64_t>(1, (1 << 11) / std::max<std::int64_t>(square, 1));
    parallel_for(out.items * options.limb_count, grain, [&](std::int64_t begin, std::int64_t end) {
        Field field(fields, options.stride, columns, rows);
        Candidates first, second;
        Lines lines;
        for (std::int64_t index = begin; index < end; ++index) {
            const std::int64_t item = index / options.limb_count, limb = index % options.limb_count;
            float* to = out.data + item * out.item_stride + limb * square;
            std::fill_n(to, square, 0.0F);
            if (empty) continue;
            first.collect(peaks + 3 * most * (item * joints + options.limbs[2 * limb]), most);
            second.collect(peaks + 3 * most * (item * joints + options.limbs[2 * limb + 1]), most);
            lines.resize(second.x.size());
            field.set_limb(fields.data + item * fields.item_stride + 2 * limb * fields.channel_stride);
            for (std::size_t a = 0; a < first.x.size(); ++a) {
                const float ax = first.x[a], ay = first.y[a];
                make_lines(ax, ay, field.at(ax, ay), second.x.data(), second.y.data(), second.x.size(),
                           lines.length.data(), lines.unit_x.data(), lines.unit_y.data(), lines.component.data());
                score_lines(scorer, field, ax, ay, second, lines, to + first.index[a] * most);
            }
        }
    });
}

}  // namespace posert
