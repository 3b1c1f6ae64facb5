#include "limb_scores.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "bicubic.hpp"
#include "dispatch.hpp"
#include "four.hpp"
#include "rasterize_discs.hpp"
#include "threads.hpp"

namespace posert {
namespace {

constexpr float kLeastLength = 1e-6F, kLeastScore = 1e-6F;
constexpr float kLeastCount = 5, kMostCount = 25;

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

    // The nearest pixel, halves upwards; the first for what is not a number.
    POSERT_INLINE std::size_t nearest(float position) const {
        return static_cast<std::size_t>(std::min(std::max(0.0F, std::floor(position + 0.5F)), last_));
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
        if (first_row < 0 || first_row + 3 >= maps_.height || first_column < 0 || first_column + 3 >= maps_.width)
            return at_border(first_row, first_column, down, right);
        const float* corner = across_ + first_row * maps_.width + first_column;
        return {cubic(corner, maps_.width, down, right),
                cubic(corner + maps_.channel_stride, maps_.width, down, right)};
    }

  private:
    // Sixteen cells times their weights, along y first.
    POSERT_INLINE static float cubic(const float* corner, std::int64_t step, const float* down, const float* right) {
        const Four sums = ((down[0] * load_four(corner) + down[1] * load_four(corner + step)) +
                           down[2] * load_four(corner + 2 * step)) +
                          down[3] * load_four(corner + 3 * step);
        const Four terms = load_four(right) * sums;
        return ((terms[0] + terms[1]) + terms[2]) + terms[3];
    }

    // A pixel some of whose cells lie beyond the map, where its border is repeated.
    Vector at_border(std::int64_t first_row, std::int64_t first_column, const float* down, const float* right) const {
        float cells[2][16];
        for (std::int64_t i = 0; i < 16; ++i) {
            const std::int64_t row = std::clamp<std::int64_t>(first_row + i / 4, 0, maps_.height - 1);
            const std::int64_t column = std::clamp<std::int64_t>(first_column + i % 4, 0, maps_.width - 1);
            const float* place = across_ + row * maps_.width + column;
            cells[0][i] = place[0];
            cells[1][i] = place[maps_.channel_stride];
        }
        return {cubic(cells[0], 4, down, right), cubic(cells[1], 4, down, right)};
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
    std::vector<float> delta_x, delta_y, length, unit_x, unit_y;
    std::vector<float> count;          // samples
    std::vector<float> first, middle;  // component of the field at the first sample, and at that with number count / 2

    void resize(std::size_t size) {
        for (auto* values : {&delta_x, &delta_y, &length, &unit_x, &unit_y, &count, &first, &middle})
            values->resize(size);
    }
};

// Pointers to the arrays of `Lines`, and the number of lines.
struct LineArrays {
    std::size_t size;
    float *delta_x, *delta_y, *length, *unit_x, *unit_y, *count, *first, *middle;

    explicit LineArrays(Lines& lines)
        : size(lines.count.size()),
          delta_x(lines.delta_x.data()),
          delta_y(lines.delta_y.data()),
          length(lines.length.data()),
          unit_x(lines.unit_x.data()),
          unit_y(lines.unit_y.data()),
          count(lines.count.data()),
          first(lines.first.data()),
          middle(lines.middle.data()) {}
};

// All of the lines but the middle. samples: as in the options.
POSERT_CLONES void make_lines(Vector start, Vector field, const float* POSERT_RESTRICT bx,
                              const float* POSERT_RESTRICT by, int samples, const LineArrays& lines) {
    float *POSERT_RESTRICT delta_x = lines.delta_x, *POSERT_RESTRICT delta_y = lines.delta_y;
    float *POSERT_RESTRICT length = lines.length, *POSERT_RESTRICT first = lines.first;
    float *POSERT_RESTRICT unit_x = lines.unit_x, *POSERT_RESTRICT unit_y = lines.unit_y;
    float* POSERT_RESTRICT count = lines.count;
    for (std::size_t i = 0; i < lines.size; ++i) {
        const float dx = bx[i] - start.x, dy = by[i] - start.y, norm = std::sqrt(dx * dx + dy * dy);
        delta_x[i] = dx;
        delta_y[i] = dy;
        length[i] = norm;
        unit_x[i] = dx / norm;
        unit_y[i] = dy / norm;
        first[i] = unit_x[i] * field.x + unit_y[i] * field.y;
    }
    if (samples > 0) {
        std::fill_n(count, lines.size, static_cast<float>(samples));
        return;
    }
    for (std::size_t i = 0; i < lines.size; ++i) {
        const float across = std::fabs(delta_x[i]), down = std::fabs(delta_y[i]);
        const float wanted = std::floor(std::sqrt(5.0F * (across > down ? across : down)) + 0.5F);
        const float enough = wanted < kMostCount ? wanted : kMostCount;
        count[i] = enough > kLeastCount ? enough : kLeastCount;
    }
}

// One sample of a line: the field's component at `step` of `parts` of the way.
POSERT_INLINE float component_at(const Field& field, Vector start, const LineArrays& lines, std::size_t i, float step,
                                 float parts) {
    const Vector here = field.at(start.x + step * lines.delta_x[i] / parts, start.y + step * lines.delta_y[i] / parts);
    return lines.unit_x[i] * here.x + lines.unit_y[i] * here.y;
}

// Most wrong pairs show in the middle of their line. Taken for all of them before anything is decided, these samples
// do not wait for each other.
POSERT_CLONES void sample_middles(const Field& field, Vector start, bool with_end, const LineArrays& lines) {
    for (std::size_t i = 0; i < lines.size; ++i) {
        const float count = lines.count[i], parts = with_end ? count - 1 : count;
        lines.middle[i] = component_at(field, start, lines, i, std::floor(0.5F * count), parts);
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

    // The score of a line.
    POSERT_INLINE float score(const Field& field, Vector start, const LineArrays& lines, std::size_t i) const {
        const float length = lines.length[i];
        if (!(length > kLeastLength && length < std::numeric_limits<float>::infinity())) return 0;
        const float value = mean(field, start, lines, i);
        const float other = length < near_ ? options_.near_score : 0.0F;
        const float result = std::isnan(value) ? other : value + std::min(options_.length_limit / length - 1, 0.0F);
        return result > kLeastScore && result < std::numeric_limits<float>::infinity() ? result : 0.0F;
    }

  private:
    POSERT_INLINE bool accepts(float component) const {
        return component > options_.sample_threshold && component < std::numeric_limits<float>::infinity();
    }

    // The mean of the accepted samples, added in their order along the line; NaN if too few are.
    POSERT_INLINE float mean(const Field& field, Vector start, const LineArrays& lines, std::size_t i) const {
        constexpr float kTooFew = std::numeric_limits<float>::quiet_NaN();
        const int count = static_cast<int>(lines.count[i]), middle = count / 2;
        const float parts = options_.samples > 0 ? lines.count[i] - 1 : lines.count[i];
        int failures_left = count - needed_[count];
        failures_left -= !accepts(lines.first[i]);
        failures_left -= !accepts(lines.middle[i]);
        if (failures_left < 0) return kTooFew;
        float components[kMaxSamples];
        components[0] = lines.first[i];
        components[middle] = lines.middle[i];
        for (int k = 1; k < count; ++k) {
            if (k == middle) continue;
            components[k] = component_at(field, start, lines, i, static_cast<float>(k), parts);
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

// Scores the lines from one first peak to all second ones, which have these places in a row of the result.
POSERT_CLONES void score_lines(const Scorer& scorer, const Field& field, Vector start, const LineArrays& lines,
                               const std::int64_t* places, float* row) {
    for (std::size_t i = 0; i < lines.size; ++i) row[places[i]] = scorer.score(field, start, lines, i);
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
            const LineArrays arrays(lines);
            for (std::size_t a = 0; a < first.x.size(); ++a) {
                const Vector start{first.x[a], first.y[a]};
                make_lines(start, field.at(start.x, start.y), second.x.data(), second.y.data(), options.samples,
                           arrays);
                sample_middles(field, start, options.samples > 0, arrays);
                score_lines(scorer, field, start, arrays, second.index.data(), to + first.index[a] * most);
            }
        }
    });
}

}  // namespace posert
