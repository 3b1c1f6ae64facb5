#include "morphology.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "bit_frame.hpp"
#include "dispatch.hpp"
#include "threads.hpp"

namespace posert {
namespace {

constexpr std::int64_t kVector = 64;
constexpr std::int64_t kTaps = 4;

// data[i] = the extremum of data[i] and data[i + shift] for each shift, for i in [0, count) and on to a multiple of
// kVector. A byte is computed from what lies at it and after it, so it may be done in place, from the front.
template <bool kLargest>
POSERT_INLINE void merge(std::uint8_t* data, const std::int64_t (&shifts)[kTaps], std::int64_t count) {
    const std::uint8_t *a = data + shifts[0], *b = data + shifts[1], *c = data + shifts[2], *d = data + shifts[3];
    for (std::int64_t i = 0; i < count; i += kVector) {
        POSERT_READS_AHEAD
        for (std::int64_t j = i; j < i + kVector; ++j) {
            const std::uint8_t ab = kLargest ? std::max(a[j], b[j]) : std::min(a[j], b[j]);
            const std::uint8_t cd = kLargest ? std::max(c[j], d[j]) : std::min(c[j], d[j]);
            const std::uint8_t abcd = kLargest ? std::max(ab, cd) : std::min(ab, cd);
            data[j] = kLargest ? std::max(data[j], abcd) : std::min(data[j], abcd);
        }
    }
}

// Each of `count` elements of `step` bytes becomes the extremum of itself and the window - 1 elements after it, which
// `data` must hold. A pass widens the window up to five times.
template <bool kLargest>
POSERT_INLINE void running(std::uint8_t* data, std::int64_t window, std::int64_t step, std::int64_t count) {
    for (std::int64_t covered = 1; covered < window;) {
        std::int64_t shifts[kTaps];
        for (std::int64_t tap = 0; tap < kTaps; ++tap)
            shifts[tap] = std::min((tap + 1) * covered, window - covered) * step;
        covered = std::min((kTaps + 1) * covered, window);
        merge<kLargest>(data, shifts, (count + window - covered) * step);
    }
}

// One image on its way through dilations and erosions. It lies in `plane` with margins of neutral bytes, which every
// window may reach: reach_y rows above and below, reach_x bytes before each row, which are also those after the row
// above it. So a pass is one loop over all bytes, without rows and remainders.
struct Workspace {
    std::int64_t height, width, reach_x, reach_y, pitch, bytes;
    std::vector<std::uint8_t> plane;

    Workspace(std::int64_t rows, std::int64_t columns, std::int64_t reach)
        // A window that reaches beyond the far border sees the whole line, whatever its size.
        : height(rows),
          width(columns),
          reach_x(std::min(reach, columns)),
          reach_y(std::min(reach, rows)),
          pitch(columns + reach_x),
          bytes((rows + 2 * reach_y) * pitch + reach_x),
          // A pass ends with a whole vector, each of whose bytes looks ahead by as much as the window.
          plane(static_cast<std::size_t>(bytes + 2 * reach_x + kVector)) {}
};

// One dilation or erosion of the image whose rows lie `stride` bytes apart from `in` on, which may be the plane's own
// first row. The result begins at the plane's first byte, `pitch` bytes a row.
template <bool kLargest>
POSERT_INLINE void running_image(Workspace& work, const std::uint8_t* in, std::int64_t stride) {
    constexpr int kNeutral = kLargest ? 0 : 255;
    const auto margin = static_cast<std::size_t>(work.reach_x), row_bytes = static_cast<std::size_t>(work.width);
    std::uint8_t* first = work.plane.data() + work.reach_y * work.pitch;
    // From the last row up, because rows move down.
    std::memset(first + work.height * work.pitch, kNeutral,
                static_cast<std::size_t>(work.reach_y * work.pitch) + margin);
    for (std::int64_t y = work.height - 1; y >= 0; --y) {
        std::uint8_t* row = first + y * work.pitch;
        std::memmove(row + work.reach_x, in + y * stride, row_bytes);
        std::memset(row, kNeutral, margin);
    }
    std::memset(work.plane.data(), kNeutral, static_cast<std::size_t>(work.reach_y * work.pitch));
    const std::int64_t window_x = 2 * work.reach_x + 1, window_y = 2 * work.reach_y + 1;
    running<kLargest>(work.plane.data(), window_x, 1, work.bytes - 2 * work.reach_x);
    running<kLargest>(work.plane.data(), window_y, work.pitch, work.height);
}

POSERT_CLONES void dilate_image(Workspace& work, const std::uint8_t* in, std::int64_t stride) {
    running_image<true>(work, in, stride);
}

POSERT_CLONES void erode_image(Workspace& work, const std::uint8_t* in, std::int64_t stride) {
    running_image<false>(work, in, stride);
}

// What a morphology does first and then, where it does two things.
struct Steps {
    bool dilates_first, twice;

    explicit Steps(Morphology operation)
        : dilates_first(operation == Morphology::kDilate || operation == Morphology::kClosing),
          twice(operation == Morphology::kOpening || operation == Morphology::kClosing) {}
};

void morphology_of_bytes(Steps steps, Workspace& work, const std::uint8_t* in, std::uint8_t* out) {
    (steps.dilates_first ? dilate_image : erode_image)(work, in, work.width);
    if (steps.twice) (steps.dilates_first ? erode_image : dilate_image)(work, work.plane.data(), work.pitch);
    for (std::int64_t y = 0; y < work.height; ++y)
        std::memcpy(out + y * work.width, work.plane.data() + y * work.pitch, static_cast<std::size_t>(work.width));
}

// An image of two levels on its way through dilations, eight pixels a byte.
struct BitWorkspace {
    BitFrame frame;
    std::vector<BitFrame::Word> now, next;

    BitWorkspace(std::int64_t rows, std::int64_t columns, std::int64_t reach)
        : frame(rows, columns, reach), now(static_cast<std::size_t>(frame.total_words())), next(now) {}
};

// False, with nothing written, if the image has more levels than 0 and one other.
bool morphology_of_bits(Steps steps, BitWorkspace& work, const std::uint8_t* in, std::uint8_t* out) {
    const std::optional<std::uint8_t> level = pack_levels(work.frame, in, work.now.data());
    if (!level) return false;
    bool complement = false;  // whether `now` holds the complement of the image
    for (int step = 0; step < (steps.twice ? 2 : 1); ++step) {
        const bool dilates = steps.dilates_first == (step == 0);
        place_bits(work.frame, complement == dilates, work.now.data(), work.next.data());
        dilate_bits(work.frame, work.next.data());
        complement = !dilates;
        std::swap(work.now, work.next);
    }
    expand_levels(work.frame, complement, *level, work.now.data(), out);
    return true;
}

}  // namespace

void morphology(Morphology operation, const MorphologyImages& images, std::int64_t size) {
    const std::int64_t height = images.height, width = images.width;
    if (height * width == 0) return;
    const Steps steps(operation);
    const std::int64_t grain = std::max<std::int64_t>(1, (1 << 15) / (height * width));
    parallel_for(images.count, grain, [&](std::int64_t begin, std::int64_t end) {
        BitWorkspace bits(height, width, size / 2);
        std::optional<Workspace> bytes;
        for (std::int64_t image = begin; image < end; ++image) {
            const std::uint8_t* in = images.in + image * images.in_stride;
            std::uint8_t* out = images.out + image * images.out_stride;
            if (morphology_of_bits(steps, bits, in, out)) continue;
            if (!bytes) bytes.emplace(height, width, size / 2);
            morphology_of_bytes(steps, *bytes, in, out);
        }
    });
}

}  // namespace posert
