"""Triton implementation of `pose_mask`: a program draws and closes a band of rows, held as the bits of one word a column.

A disc that is dilated by a square covers, in each column, one run of rows that is known beforehand, so the dilation costs nothing
and the drawing is never stored. The erosion is a few shifts of words, down the rows within a word and along the columns between
words. That takes one launch while the square fits the words; a larger closing follows in the launches of `posert.ops.closing`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops._kernels import FAR, joint_at, truncated, window_shifts
from posert.ops.morphology.triton import closing as close_gaps
from posert.ops.pose_mask.reference import MAX_STEPS

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> columns a program at most, discs that it draws together, columns a warp.
TUNING = {80: (256, 8, 32)}

# Limbs, and then discs, whose places a program works out together: one a lane of a warp.
LANES = 32
MOST_STEPS = tl.constexpr(MAX_STEPS)

# A thread. Without a limit the assembler would rather spill a few than let fewer programs share a multiprocessor.
MOST_REGISTERS = 128

# Half of the square's side up to which 32 rows, and 64 rows, are worth their margins.
NARROW_REACH = 4
WIDE_REACH = 16


@triton.jit
def _seen(origin, delta, steps, first, last, radius):
    """Which steps of a limb may touch pixels first .. last in one direction, float64; none if the least is infinite."""
    near, far = first - radius - 2 - origin.to(tl.float64), last + radius + 2 - origin.to(tl.float64)
    pace = steps / delta
    one, other = near * pace, far * pace
    still = (near <= 0) & (far >= 0)
    least = tl.where(delta != 0, tl.minimum(one, other), tl.where(still, 0.0, float("inf")))
    greatest = tl.where(delta != 0, tl.maximum(one, other), steps)
    # Two steps of slack: the bounds are rounded, and looking at a disc that is outside does no harm.
    return tl.floor(least) - 2, tl.ceil(greatest) + 2


@triton.jit
def _chains(points, limbs, limb, limb_count, radius, x, y, COLUMNS: tl.constexpr, ROWS: tl.constexpr):
    """Both ends of some limbs, their numbers of steps, and of the steps that may touch a tile the first and how many they are."""
    known = limb < limb_count
    x0, y0 = joint_at(points, tl.load(limbs + 2 * limb, mask=known, other=0))
    x1, y1 = joint_at(points, tl.load(limbs + 2 * limb + 1, mask=known, other=0))
    known = known & (x0 < float("inf")) & (x1 < float("inf"))
    across, down = x1.to(tl.float64) - x0, y1.to(tl.float64) - y0
    steps = tl.floor(tl.sqrt(down * down + across * across) / radius)
    steps = tl.where((steps > 1) & (steps <= MOST_STEPS), steps, 1.0)  # one step has both ends and nothing between
    first_x, last_x = _seen(x0, across, steps, x, x + COLUMNS, radius)
    first_y, last_y = _seen(y0, down, steps, y, y + ROWS, radius)
    first = tl.maximum(tl.maximum(first_x, first_y), 0.0)
    count = tl.minimum(tl.minimum(last_x, last_y), steps) - first + 1
    return x0, y0, x1, y1, steps, first, tl.where(known & (count > 0), count, 0.0).to(tl.int32)


@triton.jit
def _centre(start, end, step, steps):
    """The pixel at which the disc of a step is centred, in one direction."""
    start, end = start.to(tl.float64), end.to(tl.float64)
    return truncated(tl.where(step == steps, end, start + ((end - start) * step) / steps))


@triton.jit
def _run(first, last, BITS: tl.constexpr):
    """Words whose bits first .. last are set; what is beyond the word is cut off."""
    ones = tl.full(first.shape, -1, tl.int32 if BITS == 32 else tl.int64)
    low = tl.minimum(tl.maximum(first, 0), BITS - 1).to(ones.dtype)
    high = tl.minimum(tl.maximum(last, 0), BITS - 1).to(ones.dtype)
    return tl.where((first < BITS) & (last >= 0) & (first <= last), (ones << low) & ~((ones + ones) << high), ones - ones)


@triton.jit
def _disc_rows(x, y, left, right, height, radius, top, REACH: tl.constexpr, BITS: tl.constexpr):
    """The rows that dilated discs cover, as words: a row of the result for each disc, a column for each of the tile's."""
    # A column is reached from that column of its window, cut at the frame, that is nearest to the disc's centre.
    away = tl.maximum(tl.maximum(left[None, :] - x, x - right[None, :]), 0)
    away = tl.minimum(away, radius + 1)  # beyond, the exact distance does not matter, and its square would not fit
    squared = radius * radius - away * away
    half = tl.sqrt_rn(tl.maximum(squared, 0).to(tl.float32)).to(tl.int32)  # exact: radius^2 is at most 2^24
    highest, lowest = tl.maximum(y - half, 0), tl.minimum(y + half, height - 1)
    hit = (squared >= 0) & (highest <= lowest)
    return _run(tl.where(hit, highest - REACH - top, BITS), lowest + REACH - top, BITS)


@triton.jit
def _together(words, ROWS: tl.constexpr, COLUMNS: tl.constexpr, HALVINGS: tl.constexpr):
    """What any row of a block has set."""
    for halving in tl.static_range(HALVINGS):
        pairs = tl.permute(tl.reshape(words, [2, ROWS >> (halving + 1), COLUMNS]), [1, 2, 0])
        one, other = tl.split(pairs)
        words = one | other
    return tl.reshape(words, [COLUMNS])


@triton.jit
def _dilated(
    points, limbs, limb_count, height, width, radius, top, column,
    REACH: tl.constexpr, COLUMNS: tl.constexpr, BITS: tl.constexpr, LANES: tl.constexpr, DISCS: tl.constexpr,
    LOG_DISCS: tl.constexpr,
):  # fmt: skip
    """The dilated drawing: a word for each column, whose bit b is row top + b."""
    left, right = tl.maximum(column - REACH, 0), tl.minimum(column + REACH, width - 1)
    words = tl.zeros([DISCS, COLUMNS], tl.int32 if BITS == 32 else tl.int64)
    for group in range(0, limb_count, LANES):
        x0, y0, x1, y1, steps, first, count = _chains(
            points, limbs, group + tl.arange(0, LANES), limb_count, radius,
            tl.min(column) - REACH, top - REACH, COLUMNS + 2 * REACH, BITS + 2 * REACH,
        )  # fmt: skip
        # The discs of all limbs are counted through, so that no lane waits for the longest limb.
        end = tl.cumsum(count, 0)
        total = tl.sum(count, 0)
        for start in range(0, total, LANES):
            disc = start + tl.arange(0, LANES)
            limb = tl.minimum(tl.sum((disc[:, None] >= end[None, :]).to(tl.int32), 1), LANES - 1)
            step = disc + tl.gather(first - (end - count), limb, 0)
            of = tl.gather(steps, limb, 0)
            x = _centre(tl.gather(x0, limb, 0), tl.gather(x1, limb, 0), step, of)
            y = _centre(tl.gather(y0, limb, 0), tl.gather(y1, limb, 0), step, of)
            x = tl.where(disc < total, x, FAR)
            for part in range(0, tl.minimum(total - start, LANES), DISCS):
                lane = part + tl.arange(0, DISCS)
                words |= _disc_rows(
                    tl.gather(x, lane, 0)[:, None], tl.gather(y, lane, 0)[:, None], left, right, height, radius, top,
                    REACH, BITS,
                )  # fmt: skip
    return _together(words, DISCS, COLUMNS, LOG_DISCS)


@triton.jit
def _draw(
    points, limbs, out, joints, limb_count, height, width, item_stride, radius, bands, tiles,
    REACH: tl.constexpr, SHIFTS: tl.constexpr, MARGIN: tl.constexpr, COLUMNS: tl.constexpr, BITS: tl.constexpr,
    LANES: tl.constexpr, DISCS: tl.constexpr, LOG_DISCS: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    place = program % (bands * tiles)
    item = (program // (bands * tiles)).to(tl.int64)
    top = place // tiles * (BITS - 2 * REACH) - REACH
    lane = tl.arange(0, COLUMNS)
    column = place % tiles * (COLUMNS - 2 * MARGIN) - MARGIN + lane
    words = _dilated(
        points + item * joints * 3, limbs, limb_count, height, width, radius, top, column,
        REACH, COLUMNS, BITS, LANES, DISCS, LOG_DISCS,
    )  # fmt: skip
    # What lies outside the frame does not count in the erosion, so it is set.
    words |= ~_run(lane * 0 - top, lane * 0 + (height - 1 - top), BITS)
    words = tl.where((column >= 0) & (column < width), words, -1)
    for look in tl.static_range(len(SHIFTS)):
        # Bits of the margin above and below, and columns of the margin at both sides, become wrong; they are not stored.
        words &= (words << SHIFTS[look]) & (words >> SHIFTS[look])
        words &= tl.gather(words, tl.maximum(lane - SHIFTS[look], 0), 0)
        words &= tl.gather(words, tl.minimum(lane + SHIFTS[look], COLUMNS - 1), 0)
    bit = tl.arange(0, BITS)
    row = top + bit
    stored = ((bit >= REACH) & (bit < BITS - REACH) & (row < height))[:, None]
    stored = stored & ((lane >= MARGIN) & (lane < COLUMNS - MARGIN) & (column < width))[None, :]
    value = ((words[None, :] >> bit[:, None].to(words.dtype)) & 1).to(tl.uint8)
    tl.store(out + item * item_stride + row[:, None].to(tl.int64) * width + column[None, :], value, mask=stored)


def pose_mask(keypoints: Tensor, limbs: Tensor, radius: int, closing: int, out: Tensor) -> None:
    """Write `posert.ops.pose_mask` into `out`, uint8 (N, 1, height, width); arguments are checked already."""
    items, _, height, width = out.shape
    reach = min(closing // 2, max(height, width))
    if reach > WIDE_REACH:
        pose_mask(keypoints, limbs, radius, 1, out)
        close_gaps(out[:, 0], closing, out[:, 0])
        return
    most, discs, warp_columns = _triton.tuned(TUNING, out.device)
    columns = min(max(triton.next_power_of_2(width), warp_columns), most)
    bits = 32 if reach <= NARROW_REACH else 64
    margin = 0 if width <= columns else reach  # a tile as wide as the frame has no neighbours
    bands, tiles = triton.cdiv(height, bits - 2 * reach), triton.cdiv(width, columns - 2 * margin)
    _triton.launch(
        _draw,
        (items * bands * tiles,),
        (keypoints, limbs, out, keypoints.shape[1], len(limbs), height, width, out.stride(0), radius, bands, tiles),
        REACH=reach,
        SHIFTS=window_shifts(reach),
        MARGIN=margin,
        COLUMNS=columns,
        BITS=bits,
        LANES=LANES,
        DISCS=discs,
        LOG_DISCS=discs.bit_length() - 1,
        num_warps=columns // warp_columns,
        maxnreg=MOST_REGISTERS,
    )
