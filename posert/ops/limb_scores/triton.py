"""Triton implementation of `limb_scores`: a program scores a tile of the pairs of one limb's peaks.

Like the definition it computes in float32, in the same order, so that thresholds fall alike.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops._kernels import cell_and_phase, clipped, cubic_table, divided

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> first peaks and second peaks of a tile, samples that are taken at once, warps. Tiles are small: peaks are
# few, and each pair has much to do.
TUNING = {0: (16, 16, 32, 8), 80: (8, 8, 4, 8)}

LEAST_LENGTH = tl.constexpr(1e-6)
LEAST_SCORE = tl.constexpr(1e-6)
LEAST_COUNT, MOST_COUNT = tl.constexpr(5.0), tl.constexpr(25.0)


@triton.jit
def _peaks(peaks, index, count):
    """X, y and whether it is there, of some of a joint's peaks."""
    known = index < count
    place = peaks + 3 * index
    x, y = tl.load(place, mask=known, other=0.0), tl.load(place + 1, mask=known, other=0.0)
    score = tl.load(place + 2, mask=known, other=0.0)
    return x, y, (score > 0) & (tl.abs(x) < float("inf")) & (tl.abs(y) < float("inf"))


@triton.jit
def _nearest(position, length, usable):
    """The nearest pixel on an axis, halves upwards; 0 for what is not usable."""
    pixel = tl.where(usable, tl.floor(position + 0.5), 0.0)
    return tl.minimum(tl.maximum(pixel, 0.0), tl.cast(length - 1, tl.float32)).to(tl.int32)


@triton.jit
def _column_sum(field, column, rows, weights):
    """Four cells of a column, weighted and summed downwards."""
    first = weights[0] * tl.load(field + (rows[0] + column)).to(tl.float32)
    second = weights[1] * tl.load(field + (rows[1] + column)).to(tl.float32)
    third = weights[2] * tl.load(field + (rows[2] + column)).to(tl.float32)
    return ((first + second) + third) + weights[3] * tl.load(field + (rows[3] + column)).to(tl.float32)


@triton.jit
def _pixel_sum(field, columns, rows, across, down):
    """A pixel from its sixteen cells: summed along y, then along x."""
    first = across[0] * _column_sum(field, columns[0], rows, down)
    second = across[1] * _column_sum(field, columns[1], rows, down)
    third = across[2] * _column_sum(field, columns[2], rows, down)
    return ((first + second) + third) + across[3] * _column_sum(field, columns[3], rows, down)


@triton.jit
def _taps(pixel, length, stride, table):
    """The four cells that pixels are made of on an axis, and their weights."""
    cell, phase = cell_and_phase(pixel, stride)
    cells = (clipped(cell - 1, length), clipped(cell, length), clipped(cell + 1, length), clipped(cell + 2, length))
    row = table + 4 * phase
    return cells, (tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3))


@triton.jit
def _field_at(field, x, y, height, width, stride, table, ENLARGED: tl.constexpr):
    """Pixels of enlarged maps."""
    if ENLARGED:
        columns, across = _taps(x, width, stride, table)
        rows, down = _taps(y, height, stride, table)
        starts = (
            rows[0].to(tl.int64) * width, rows[1].to(tl.int64) * width,
            rows[2].to(tl.int64) * width, rows[3].to(tl.int64) * width,
        )  # fmt: skip
        value = _pixel_sum(field, columns, starts, across, down)
    else:
        value = tl.load(field + (y.to(tl.int64) * width + x)).to(tl.float32)
    return value


@triton.jit
def _parted(number, inverse):
    """A float32 number times a float64 inverse: their quotient is never so near the middle of two floats that it matters.

    The GPU's own division takes a call, and with it a stack.
    """
    return (number.to(tl.float64) * inverse).to(tl.float32)


@triton.jit
def _scores(
    field, channel_stride, ax, ay, bx, by, usable, table, height, width, stride,
    samples, threshold, fraction, near, near_score, length_limit,
    ENLARGED: tl.constexpr, LIMITED: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    """Scores of lines, 0 for those that are not usable."""
    dx, dy = bx - ax, by - ay
    length = tl.sqrt_rn(dx * dx + dy * dy)
    usable = usable & (length > LEAST_LENGTH) & (length < float("inf"))
    length = tl.where(usable, length, 1.0)
    ux, uy = tl.div_rn(dx, length), tl.div_rn(dy, length)
    longer = tl.where(usable, tl.maximum(tl.abs(dx), tl.abs(dy)), 0.0)
    count = tl.minimum(tl.maximum(tl.floor(tl.sqrt_rn(5.0 * longer) + 0.5), LEAST_COUNT), MOST_COUNT)
    parts = count
    if samples > 0:
        count = tl.zeros_like(length) + samples
        parts = count - 1
    total = tl.zeros_like(length)
    accepted = tl.zeros_like(length)
    inverse = divided(tl.full(parts.shape, 1.0, tl.float64), parts)[:, :, None]
    lane = tl.arange(0, SAMPLES)[None, None, :]
    channel = tl.arange(0, 2)[None, None, None, :]
    direction = tl.where(channel == 0, ux[:, :, None, None], uy[:, :, None, None])
    most = tl.max(tl.max(tl.where(usable, count, 0.0), 1), 0).to(tl.int32)
    for start in range(0, most, SAMPLES):
        step = (start + lane).to(tl.float32)
        x = _nearest(ax[:, :, None] + _parted(step * dx[:, :, None], inverse), stride * width, usable[:, :, None])
        y = _nearest(ay[:, :, None] + _parted(step * dy[:, :, None], inverse), stride * height, usable[:, :, None])
        place = field + channel * channel_stride
        value = _field_at(place, x[:, :, :, None], y[:, :, :, None], height, width, stride, table, ENLARGED)
        along_x, along_y = tl.split(direction * value)
        component = along_x + along_y
        good = (step < count[:, :, None]) & (component > threshold) & (component < float("inf"))
        accepted += tl.sum(tl.where(good, 1.0, 0.0), 2)
        for sample in tl.static_range(SAMPLES):  # one after the other, as the definition does
            total += tl.sum(tl.where(good & (lane == sample), component, 0.0), 2)
    mean = tl.div_rn(total, tl.maximum(accepted, 1.0))
    if LIMITED:
        mean += tl.minimum(tl.div_rn(tl.zeros_like(length) + length_limit, length) - 1.0, 0.0)
    score = tl.where(tl.div_rn(accepted, count) > fraction, mean, tl.where(length < near, near_score, 0.0))
    return tl.where(usable & (score > LEAST_SCORE) & (score < float("inf")), score, 0.0)


@triton.jit
def _score(
    peaks, pafs, limbs, table, out, joints, limb_count, most, height, width, paf_stride, channel_stride, out_stride,
    stride, samples, threshold, fraction, near, near_score, length_limit,
    ENLARGED: tl.constexpr, LIMITED: tl.constexpr, FIRST: tl.constexpr, SECOND: tl.constexpr, SAMPLES: tl.constexpr,
):  # fmt: skip
    rows, columns = tl.cdiv(most, FIRST), tl.cdiv(most, SECOND)
    program = tl.program_id(0).to(tl.int64)
    plane, tile = program // (rows * columns), (program % (rows * columns)).to(tl.int32)
    item, limb = plane // limb_count, plane % limb_count
    a = tile // columns * FIRST + tl.arange(0, FIRST)
    b = tile % columns * SECOND + tl.arange(0, SECOND)
    own = peaks + item * joints * most * 3
    ax, ay, first = _peaks(own + tl.load(limbs + 2 * limb).to(tl.int64) * most * 3, a, most)
    bx, by, second = _peaks(own + tl.load(limbs + 2 * limb + 1).to(tl.int64) * most * 3, b, most)
    scores = tl.zeros((FIRST, SECOND), tl.float32)
    if tl.max(first.to(tl.int32), 0) * tl.max(second.to(tl.int32), 0) > 0:  # most peaks of most maps are missing
        scores = _scores(
            pafs + item * paf_stride + 2 * limb * channel_stride, channel_stride,
            ax[:, None], ay[:, None], bx[None, :], by[None, :], first[:, None] & second[None, :], table,
            height, width, stride, samples, threshold, fraction, near, near_score, length_limit,
            ENLARGED, LIMITED, SAMPLES,
        )  # fmt: skip
    square = tl.cast(most, tl.int64) * most
    target = out + item * out_stride + limb * square + a[:, None].to(tl.int64) * most + b[None, :]
    tl.store(target, scores.to(out.dtype.element_ty), mask=(a < most)[:, None] & (b < most)[None, :])


def limb_scores(
    peaks: Tensor,
    pafs: Tensor,
    limbs: Tensor,
    stride: int,
    samples: int | None,
    sample_threshold: float,
    accepted_fraction: float,
    near_score: float,
    length_limit: float | None,
    out: Tensor,
) -> None:
    """Write `posert.ops.limb_scores` into `out`, (N, L, M, M); arguments are checked already."""
    items, limb_count, most, _ = out.shape
    height, width = pafs.shape[2:]
    if height * width == 0:
        out.zero_()
        return
    first, second, at_once, warps = _triton.tuned(TUNING, out.device)
    sizes = (peaks.shape[1], limb_count, most, height, width, *pafs.stride()[:2], out.stride(0))
    near = math.sqrt(height * stride * width * stride) / 150
    parameters = (sample_threshold, accepted_fraction, near, near_score, length_limit or 0.0)
    _triton.launch(
        _score,
        (items * limb_count * triton.cdiv(most, first) * triton.cdiv(most, second),),
        (peaks, pafs, limbs, cubic_table(stride, np.float32, out.device), out, *sizes, stride, samples or 0, *parameters),
        ENLARGED=stride > 1,
        LIMITED=length_limit is not None,
        FIRST=first,
        SECOND=second,
        SAMPLES=at_once,
        num_warps=warps,
    )
