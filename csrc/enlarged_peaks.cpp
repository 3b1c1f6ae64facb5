#include "enlarged_peaks.hpp"

#include <algorithm>

#include "dispatch.hpp"

namespace posert {
namespace {

using Range = EnlargedPeaks::Range;

constexpr std::int64_t kCentroidReach = 3;

// Blocks in a row whose candidates are looked at together.
constexpr std::int64_t kMostBlocks = 2;

// The pixels of an axis of `side` that lie between a cell and the next and may be peaks, from which of the halves turn:
// that before the cell, those between the two, and that after the next. Beside a half that turns, one more pixel may be
// a peak.
POSERT_INLINE Range candidates(std::int64_t cell, std::int64_t stride, bool before, bool first, bool second, bool after,
                               std::int64_t side) {
    const std::int64_t begin = stride * cell + stride / 2, middle = begin + (stride + 1) / 2, end = begin + stride;
    Range range{0, 0};
    if (before || first) {
        range.begin = begin;
    } else if (second || after) {
        range.begin = second ? middle - 1 : end - 1;
    }
    if (second || after) {
        range.end = end;
    } else if (before || first) {
        range.end = first ? middle + 1 : begin + 1;
    }
    return {std::max<std::int64_t>(range.begin, 0), std::min(std::min(range.end, end), side)};
}

}  // namespace

EnlargedPeaks::EnlargedPeaks(Frame cells, std::int64_t stride, float threshold)
    : cells_(cells),
      frame_{cells.height * stride, cells.width * stride},
      stride_(stride),
      threshold_(threshold),
      reader_(cells.height, cells.width, stride, std::max(kMostBlocks * stride + 2, 2 * kCentroidReach + 1)),
      blocks_(cells.height, cells.width) {}

void EnlargedPeaks::find(const float* map, const MapRange& range, std::int64_t most, std::vector<Pixel>& found) {
    const float magnitude = std::max(range.greatest, -range.least);
    // No pixel is more than (1 + 2 * 0.1875)^2 times the greatest magnitude.
    if (magnitude <= threshold_ / 2) return;
    reader_.set_map(map);
    blocks_.start(map, threshold_, magnitude);
    for (std::int64_t row = -1; row < cells_.height; ++row) {
        if (row > -1) blocks_.advance();
        const auto before = static_cast<std::ptrdiff_t>(found.size());
        search_row(row, found);
        std::sort(found.begin() + before, found.end(),
                  [](Pixel a, Pixel b) { return a.row != b.row ? a.row < b.row : a.column < b.column; });
        if (static_cast<std::int64_t>(found.size()) >= most) return;
    }
}

// Appends the peaks of a row of blocks. Candidates of neighbours that touch are looked at together.
void EnlargedPeaks::search_row(std::int64_t row, std::vector<Pixel>& found) {
    const std::uint8_t *own = blocks_.own(), *above = blocks_.above(), *below = blocks_.below();
    Range some_rows{0, 0}, some_columns{-1, -1};
    for (std::int64_t i = -1; (i = next_flagged(own, i + 1, cells_.width + 1)) <= cells_.width;) {
        const Range rows = candidates(row, stride_, above[i] & kLower, own[i] & kUpper, own[i] & kLower,
                                      below[i] & kUpper, frame_.height);
        if (rows.begin >= rows.end) continue;
        const bool before = i > 0 && (own[i - 1] & kRight), after = i < cells_.width && (own[i + 1] & kLeft);
        const Range columns = candidates(i - 1, stride_, before, own[i] & kLeft, own[i] & kRight, after, frame_.width);
        if (columns.begin >= columns.end) continue;
        if (columns.begin == some_columns.end && columns.end - some_columns.begin <= kMostBlocks * stride_) {
            some_columns.end = columns.end;
            some_rows = {std::min(rows.begin, some_rows.begin), std::max(rows.end, some_rows.end)};
            continue;
        }
        search(some_rows, some_columns, found);
        some_rows = rows;
        some_columns = columns;
    }
    search(some_rows, some_columns, found);
}

void EnlargedPeaks::search(Range rows, Range columns, std::vector<Pixel>& found) {
    if (rows.begin >= rows.end) return;
    const std::int64_t top = std::max<std::int64_t>(rows.begin - 1, 0), bottom = std::min(rows.end + 1, frame_.height);
    const std::int64_t left = std::max<std::int64_t>(columns.begin - 1, 0),
                       right = std::min(columns.end + 1, frame_.width);
    const Window<double> window{reader_.read(top, left, bottom - top, right - left),
                                PatchReader::padded_width(right - left), top, left};
    const double threshold = threshold_;
    for (std::int64_t row = rows.begin; row < rows.end; ++row) {
        const double* line = window.values + (row - top) * window.row_step - left;
        for (std::int64_t column = columns.begin; column < columns.end; ++column) {
            // Most pixels fail here: the right of a line of rising ones, the left of a line of falling ones.
            const bool less = (column + 1 < frame_.width && line[column] < line[column + 1]) ||
                              (column > 0 && line[column] < line[column - 1]);
            if (!less && is_peak(window, frame_, threshold, {row, column})) found.push_back({row, column});
        }
    }
}

Window<double> EnlargedPeaks::around(Pixel peak, std::int64_t reach) {
    const std::int64_t top = std::max<std::int64_t>(peak.row - reach, 0),
                       bottom = std::min(peak.row + reach + 1, frame_.height);
    const std::int64_t left = std::max<std::int64_t>(peak.column - reach, 0),
                       right = std::min(peak.column + reach + 1, frame_.width);
    return {reader_.read(top, left, bottom - top, right - left), PatchReader::padded_width(right - left), top, left};
}

}  // namespace posert
