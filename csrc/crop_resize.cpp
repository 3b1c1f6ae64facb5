#include "crop_resize.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "dispatch.hpp"
#include "threads.hpp"

namespace posert {
namespace {

// Where one output pixel samples one axis: pixels `index` and `index + 1`, the second with weight `share`.
struct Tap {
    std::int32_t index;
    float share;
};

// Sampling position of an output pixel, as two taps in [-1, length + 1]: -1 and from `length` on is outside the image.
Tap make_tap(std::int64_t pixel, double low, double high, std::int64_t outputs, std::int64_t length) {
    const double position =
        low + ((static_cast<double>(pixel) + 0.5) * (high - low)) / static_cast<double>(outputs) - 0.5;
    if (position <= -1.0) return {-1, 0.0F};
    if (position >= static_cast<double>(length)) return {static_cast<std::int32_t>(length), 0.0F};
    const double index = std::floor(position);
    // Rounding to float may give 1, which is as good as the next pixel.
    return {static_cast<std::int32_t>(index), static_cast<float>(position - index)};
}

// out[i] = upper[i] + share * (lower[i] - upper[i])
POSERT_CLONES void blend_rows(const std::uint8_t* POSERT_RESTRICT upper, const std::uint8_t* POSERT_RESTRICT lower,
                              float share, std::int64_t count, float* POSERT_RESTRICT out) {
    for (std::int64_t i = 0; i < count; ++i) {
        const float first = static_cast<float>(upper[i]);
        out[i] = first + share * (static_cast<float>(lower[i]) - first);
    }
}

// The same where one of the rows is outside the image and filled: out[i] = row[i] + share * (fill - row[i])
POSERT_CLONES void blend_fill(const std::uint8_t* POSERT_RESTRICT row, float fill, float share, std::int64_t count,
                              float* POSERT_RESTRICT out) {
    for (std::int64_t i = 0; i < count; ++i) {
        const float first = static_cast<float>(row[i]);
        out[i] = first + share * (fill - first);
    }
}

#if defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 12)
#define POSERT_FLOAT4 1
using Float4 = float __attribute__((vector_size(16)));

POSERT_INLINE Float4 load4(const float* from) {
    Float4 value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

POSERT_INLINE void store4(float* to, Float4 value) {
    std::memcpy(to, &value, sizeof value);
}

// Red, green, blue and one float of the next pixel, interpolated between a pixel and its right neighbour.
POSERT_INLINE Float4 sample4(const float* row, Tap tap) {
    const float* pixel = row + tap.index;
    const Float4 left = load4(pixel), right = load4(pixel + 3);
    return left + tap.share * (right - left);
}
#endif

// Samples one blended row (interleaved RGB; tap.index counts floats) into three planes of normalised floats.
POSERT_CLONES void sample_row(const float* POSERT_RESTRICT row, const Tap* POSERT_RESTRICT taps, std::int64_t width,
                              const CropOptions& options, float* POSERT_RESTRICT red, float* POSERT_RESTRICT green,
                              float* POSERT_RESTRICT blue) {
    const int first = options.swap ? 2 : 0, last = 2 - first;
    const float mean[3] = {options.mean[first], options.mean[1], options.mean[last]};
    const float scale[3] = {options.scale[first], options.scale[1], options.scale[last]};
    std::int64_t x = 0;
#if POSERT_FLOAT4
    for (; x + 4 <= width; x += 4) {
        const Float4 a = sample4(row, taps[x]), b = sample4(row, taps[x + 1]);
        const Float4 c = sample4(row, taps[x + 2]), d = sample4(row, taps[x + 3]);
        const Float4 low_ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                     low_cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
        const Float4 high_ab = __builtin_shufflevector(a, b, 2, 6, 3, 7),
                     high_cd = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        store4(red + x, (__builtin_shufflevector(low_ab, low_cd, 0, 1, 4, 5) - mean[0]) * scale[0]);
        store4(green + x, (__builtin_shufflevector(low_ab, low_cd, 2, 3, 6, 7) - mean[1]) * scale[1]);
        store4(blue + x, (__builtin_shufflevector(high_ab, high_cd, 0, 1, 4, 5) - mean[2]) * scale[2]);
    }
#endif
    for (; x < width; ++x) {
        const float* pixel = row + taps[x].index;
        const float share = taps[x].share;
        red[x] = (pixel[0] + share * (pixel[3] - pixel[0]) - mean[0]) * scale[0];
        green[x] = (pixel[1] + share * (pixel[4] - pixel[1]) - mean[1]) * scale[1];
        blue[x] = (pixel[2] + share * (pixel[5] - pixel[2]) - mean[2]) * scale[2];
    }
}

// One person: the columns that the box needs, and a row buffer that holds them.
class Sampler {
  public:
    Sampler(const ImageView& image, const float* box, bool flip, const CropOptions& options, const CropTarget& out)
        : image_(image),
          options_(options),
          out_(out),
          low_(box[1]),
          high_(box[3]),
          taps_(static_cast<std::size_t>(out.width)) {
        for (std::int64_t x = 0; x < out.width; ++x) {
            taps_[static_cast<std::size_t>(x)] =
                make_tap(flip ? out.width - 1 - x : x, box[0], box[2], out.width, image.width);
        }
        const auto order = [](const Tap& a, const Tap& b) { return a.index < b.index; };
        const auto [least, most] = std::minmax_element(taps_.begin(), taps_.end(), order);
        begin_ = least->index;
        end_ = most->index + 2;
        for (Tap& tap : taps_) tap.index = static_cast<std::int32_t>(3 * (tap.index - begin_));
        // One float more, because four are read where three are needed.
        row_.resize(static_cast<std::size_t>(3 * (end_ - begin_) + 1));
    }

    void write_row(std::int64_t y, float* item) {
        blend(make_tap(y, low_, high_, out_.height, image_.height));
        const std::int64_t plane = out_.height * out_.width;
        float* first = item + y * out_.width;
        float* last = first + 2 * plane;
        if (options_.swap) std::swap(first, last);
        sample_row(row_.data(), taps_.data(), out_.width, options_, first, item + plane + y * out_.width, last);
    }

  private:
    const std::uint8_t* row_at(std::int64_t y) const {
        if (options_.has_fill && (y < 0 || y >= image_.height)) return nullptr;
        return image_.data + std::clamp<std::int64_t>(y, 0, image_.height - 1) * image_.row_stride;
    }

    // Fills row_ with columns begin_ .. end_ - 1, interpolated between two image rows.
    void blend(Tap tap) {
        const std::uint8_t* upper = row_at(tap.index);
        const std::uint8_t* lower = row_at(tap.index + std::int64_t{1});
        const std::int64_t inside_begin = std::clamp<std::int64_t>(begin_, 0, image_.width);
        const std::int64_t inside_end = std::clamp<std::int64_t>(end_, 0, image_.width);
        const std::int64_t count = 3 * (inside_end - inside_begin);
        float* out = row_.data() + 3 * (inside_begin - begin_);
        if (count > 0) blend_inside(upper, lower, tap.share, inside_begin, count, out);
        pad(upper, lower, tap.share, inside_begin, inside_end);
    }

    void blend_inside(const std::uint8_t* upper, const std::uint8_t* lower, float share, std::int64_t column,
                      std::int64_t count, float* out) const {
        if (upper != nullptr && lower != nullptr) {
            blend_rows(upper + 3 * column, lower + 3 * column, share, count, out);
        } else if (upper != nullptr) {
            blend_fill(upper + 3 * column, options_.fill, share, count, out);
        } else if (lower != nullptr) {
            blend_fill(lower + 3 * column, options_.fill, 1.0F - share, count, out);
        } else {
            std::fill_n(out, count, options_.fill);
        }
    }

    // The columns left and right of the image: `fill`, or its first and last column.
    void pad(const std::uint8_t* upper, const std::uint8_t* lower, float share, std::int64_t inside_begin,
             std::int64_t inside_end) {
        for (std::int64_t column = begin_; column < end_; ++column) {
            if (column == inside_begin && inside_end > inside_begin) column = inside_end;
            if (column >= end_) break;
            float* pixel = row_.data() + 3 * (column - begin_);
            if (options_.has_fill) {
                std::fill_n(pixel, 3, options_.fill);
            } else {
                blend_rows(upper + 3 * std::clamp<std::int64_t>(column, 0, image_.width - 1),
                           lower + 3 * std::clamp<std::int64_t>(column, 0, image_.width - 1), share, 3, pixel);
            }
        }
    }

    const ImageView& image_;
    const CropOptions& options_;
    const CropTarget& out_;
    double low_, high_;
    std::vector<Tap> taps_;
    std::vector<float> row_;
    std::int64_t begin_ = 0, end_ = 0;
};

}  // namespace

void crop_resize(const ImageView* images, const float* boxes, const bool* flip, const CropOptions& options,
                 const CropTarget& out) {
    if (out.height * out.width == 0) return;
    constexpr std::int64_t kBandRows = 64;
    const std::int64_t bands = (out.height + kBandRows - 1) / kBandRows;
    const std::int64_t grain = std::max<std::int64_t>(1, (1 << 14) / (out.width * std::min(out.height, kBandRows)));
    parallel_for(out.people * bands, grain, [&](std::int64_t begin, std::int64_t end) {
        while (begin < end) {
            const std::int64_t person = begin / bands;
            const std::int64_t stop = std::min(end, (person + 1) * bands);
            Sampler sampler(images[person], boxes + 4 * person, flip[person], options, out);
            float* item = out.data + person * out.item_stride;
            const std::int64_t last = std::min((stop - person * bands) * kBandRows, out.height);
            for (std::int64_t y = (begin - person * bands) * kBandRows; y < last; ++y) sampler.write_row(y, item);
            begin = stop;
        }
    });
}

}  // namespace posert
