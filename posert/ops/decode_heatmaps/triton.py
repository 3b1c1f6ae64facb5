"""Triton implementation of `decode_heatmaps`: a program reads one map. What it finds is kept in float64, as in the definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops._kernels import divided

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> cells that are read at once, warps.
TUNING = {80: (1024, 4)}

# For "upsampled": cells that are read at once, blocks that are looked at, and pixels that are evaluated, at once; warps.
TUNING_UPSAMPLED = {80: (1024, 256, 512, 8)}

NONE = tl.constexpr(1 << 60)  # an index beyond every other
LARGEST = tl.constexpr(3.4028234663852886e38)  # what float32 can hold
CUBIC = tl.constexpr(-0.75)

# The outer two of four taps have weights of 0 or less that sum to -n, the inner two sum to 1 + n; n = 0.75 t (1 - t) <= this.
OUTER = tl.constexpr(0.1875)


@triton.jit
def _extremes(heatmap, area, BLOCK: tl.constexpr):
    """Greatest and least value of a map, float32, the first index of the greatest, and how many values are not finite."""
    greatest = tl.full((BLOCK,), float("-inf"), tl.float32)
    least = tl.full((BLOCK,), float("inf"), tl.float32)
    first = tl.zeros((BLOCK,), tl.int64)
    strange = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, area, BLOCK):
        cell = tl.cast(start, tl.int64) + tl.arange(0, BLOCK)
        inside = cell < area
        value = tl.load(heatmap + cell, mask=inside, other=0.0).to(tl.float32)
        strange += (inside & ~(tl.abs(value) < float("inf"))).to(tl.int32)
        greater = inside & (value > greatest)  # not among equals, so that the first stays
        first = tl.where(greater, cell, first)
        greatest = tl.where(greater, value, greatest)
        least = tl.where(inside & (value < least), value, least)
    peak = tl.max(greatest, 0)
    index = tl.min(tl.where(greatest == peak, first, NONE), 0)
    return peak, tl.min(least, 0), index, tl.sum(strange, 0)


@triton.jit
def _sign(value):
    return tl.where(value > 0, 1.0, tl.where(value < 0, -1.0, 0.0))


@triton.jit
def _quarter(heatmap, row, column, height, width):
    """A quarter of a cell towards the larger neighbours, where the cell has all four."""
    has_all = tl.where((row > 0) & (row < height - 1) & (column > 0) & (column < width - 1), 1, 0)
    step = tl.where(has_all > 0, 1, 0).to(tl.int64)
    centre = heatmap + row * width + column  # is its own neighbour where it has not all
    x = tl.load(centre + step).to(tl.float32) - tl.load(centre - step).to(tl.float32)
    y = tl.load(centre + step * width).to(tl.float32) - tl.load(centre - step * width).to(tl.float32)
    return column + (0.25 * _sign(x)).to(tl.float64), row + (0.25 * _sign(y)).to(tl.float64)


@triton.jit
def _soft_argmax(heatmap, row, column, height, width, peak, beta, window, BLOCK: tl.constexpr):
    """Mean position in the window around a cell, weighted by exp(beta * (value - peak))."""
    top, left = tl.maximum(row - window // 2, 0), tl.maximum(column - window // 2, 0)
    columns = tl.minimum(column + window // 2 + 1, width) - left
    cells = (tl.minimum(row + window // 2 + 1, height) - top) * columns
    total = tl.zeros((BLOCK,), tl.float64)
    sum_x = tl.zeros((BLOCK,), tl.float64)
    sum_y = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, cells, BLOCK):
        cell = start + tl.arange(0, BLOCK)
        down, across = cell // columns, cell % columns
        place = heatmap + (top + down) * width + left + across
        value = tl.load(place, mask=cell < cells, other=float("-inf")).to(tl.float32)
        weight = tl.exp(beta * (value.to(tl.float64) - peak))
        total += weight
        sum_x += weight * across
        sum_y += weight * down
    everything = tl.sum(total, 0)
    return left + tl.sum(sum_x, 0) / everything, top + tl.sum(sum_y, 0) / everything


@triton.jit
def _refined(
    heatmap, index, peak, height, width, stride, beta, window, METHOD: tl.constexpr, WINDOW: tl.constexpr
):  # fmt: skip
    """X and y of the joint whose greatest value is at an index, in network pixels, float64."""
    row, column = index // width, index % width
    if METHOD == "quarter":
        x, y = _quarter(heatmap, row, column, height, width)
    elif METHOD == "softargmax":
        x, y = _soft_argmax(heatmap, row, column, height, width, peak.to(tl.float64), beta, window, WINDOW)
    else:
        x, y = column.to(tl.float64), row.to(tl.float64)
    return stride * x + (stride - 1) / 2, stride * y + (stride - 1) / 2


@triton.jit
def _cubic_weights(phase, stride):
    """Weights of four taps, for the pixel that lies `phase` pixels behind the first between the inner two."""
    rest = 2 * (stride // 2 + phase) + 1 - stride
    t = divided(rest.to(tl.float64), 2 * stride)
    u, beyond_t, beyond_u = 1 - t, t + 1, 2 - t
    first = ((CUBIC * beyond_t - 5 * CUBIC) * beyond_t + 8 * CUBIC) * beyond_t - 4 * CUBIC
    second = ((CUBIC + 2) * t - (CUBIC + 3)) * t * t + 1
    third = ((CUBIC + 2) * u - (CUBIC + 3)) * u * u + 1
    return first, second, third, ((CUBIC * beyond_u - 5 * CUBIC) * beyond_u + 8 * CUBIC) * beyond_u - 4 * CUBIC


@triton.jit
def _block_at(first, across, COUNT: tl.constexpr):
    """Row and column, from -1 on, of `COUNT` blocks from a block on; `across` are side by side."""
    offset = (first % across).to(tl.int32) + tl.arange(0, COUNT)
    return (first // across).to(tl.int32) + offset // across - 1, offset % across - 1


@triton.jit
def _row(heatmap, row, height, width):
    """Where rows of cells begin; beyond the border the outermost repeats."""
    return heatmap + tl.minimum(tl.maximum(row, 0), height - 1).to(tl.int64) * width


@triton.jit
def _columns(column, width):
    """The four columns of a block's taps; beyond the border the outermost repeats."""
    last = width - 1
    first, second = tl.minimum(tl.maximum(column - 1, 0), last), tl.maximum(column, 0)
    return first, second, tl.minimum(column + 1, last), tl.minimum(column + 2, last)


@triton.jit
def _line(row, first, second, third, fourth, a, b, c, d):
    """Four cells of a row, weighted and summed from left to right, float64."""
    left = a * tl.load(row + first).to(tl.float64)
    near_left = b * tl.load(row + second).to(tl.float64)
    near_right = c * tl.load(row + third).to(tl.float64)
    return ((left + near_left) + near_right) + d * tl.load(row + fourth).to(tl.float64)


@triton.jit
def _evaluated(heatmap, start, height, width, stride, best, best_at, BLOCKS: tl.constexpr, PIXELS: tl.constexpr):
    """Compare the enlarged map's pixels in some blocks with the best so far; of equal ones the first in row-major order wins.

    A block is the `stride` x `stride` pixels between four cells: what has the same sixteen taps. They are summed in the order of
    the definition, so that ties fall alike.
    """
    row, column = _block_at(start, width + 1, BLOCKS)
    row, column = row[:, None], column[:, None]
    c0, c1, c2, c3 = _columns(column, width)
    for first in range(0, stride * stride, PIXELS):
        pixel = (first + tl.arange(0, PIXELS))[None, :]
        down, across = pixel // stride, pixel % stride
        y, x = stride * row + stride // 2 + down, stride * column + stride // 2 + across
        inside = (y >= 0) & (y < stride * height) & (x >= 0) & (x < stride * width) & (pixel < stride * stride)
        w0, w1, w2, w3 = _cubic_weights(across, stride)
        line_0 = _line(_row(heatmap, row - 1, height, width), c0, c1, c2, c3, w0, w1, w2, w3)
        line_1 = _line(_row(heatmap, row, height, width), c0, c1, c2, c3, w0, w1, w2, w3)
        line_2 = _line(_row(heatmap, row + 1, height, width), c0, c1, c2, c3, w0, w1, w2, w3)
        line_3 = _line(_row(heatmap, row + 2, height, width), c0, c1, c2, c3, w0, w1, w2, w3)
        w0, w1, w2, w3 = _cubic_weights(down, stride)
        value = tl.where(inside, ((w0 * line_0 + w1 * line_1) + w2 * line_2) + w3 * line_3, -1.0)
        most = tl.max(tl.max(value, 1), 0)
        place = tl.where(value == most, y.to(tl.int64) * (stride * width) + x, NONE)
        at = tl.min(tl.min(place, 1), 0)
        best_at = tl.where((most > best) | ((most == best) & (at < best_at)), at, best_at)
        best = tl.maximum(most, best)
    return best, best_at


@triton.jit
def _range_of(row, c0, c1, c2, c3):
    """The greatest inner two, the greatest outer two, the least inner two and the least outer two of four cells of a row."""
    left, near_left, near_right, right = tl.load(row + c0), tl.load(row + c1), tl.load(row + c2), tl.load(row + c3)
    return tl.maximum(near_left, near_right), tl.maximum(left, right), tl.minimum(near_left, near_right), tl.minimum(left, right)


@triton.jit
def _bound(heatmap, row, column, height, width, slack):
    """No pixel of a block is greater than this.

    With the sums of the outer weights -p in x and -q in y a pixel is at most (1 + p)(1 + q) inner + p q corner - p (1 + q) side -
    (1 + p) q cap, where inner and corner are the largest, and side and cap the smallest, values that have such weights. That
    is linear in p and in q, so its largest value lies at an end of both ranges.
    """
    c0, c1, c2, c3 = _columns(column, width)
    _, corner_above, cap_above, _ = _range_of(_row(heatmap, row - 1, height, width), c0, c1, c2, c3)
    inner_upper, _, _, side_upper = _range_of(_row(heatmap, row, height, width), c0, c1, c2, c3)
    inner_lower, _, _, side_lower = _range_of(_row(heatmap, row + 1, height, width), c0, c1, c2, c3)
    _, corner_below, cap_below, _ = _range_of(_row(heatmap, row + 2, height, width), c0, c1, c2, c3)
    inner = tl.maximum(inner_upper, inner_lower).to(tl.float64)
    corner = tl.maximum(corner_above, corner_below).to(tl.float64)
    side = tl.minimum(side_upper, side_lower).to(tl.float64)
    cap = tl.minimum(cap_above, cap_below).to(tl.float64)
    only_x, only_y = (1 + OUTER) * inner - OUTER * side, (1 + OUTER) * inner - OUTER * cap
    both = (1 + OUTER) * (1 + OUTER) * inner + OUTER * OUTER * corner - OUTER * (1 + OUTER) * (side + cap)
    return tl.maximum(tl.maximum(inner, both), tl.maximum(only_x, only_y)) + slack


@triton.jit
def _enlarged(
    heatmap, peak, least, index, height, width, stride, SCAN: tl.constexpr, BLOCKS: tl.constexpr, PIXELS: tl.constexpr
):  # fmt: skip
    """X, y and value of the greatest pixel above 0 of the enlarged map, float64; the value is 0 if there is none."""
    # Far beyond what the sums of sixteen rounded products can be off.
    slack = 1e-12 * tl.maximum(tl.abs(peak), tl.abs(least)).to(tl.float64)
    across = width + 1
    blocks = tl.cast(height + 1, tl.int64) * across
    best = tl.full((), 0.0, tl.float64)
    best_at = tl.full((), -1, tl.int64)
    # The best is most often next to the greatest cell: begun there, few other blocks are left to look at.
    begun = index // width * across + index % width
    for line in range(2):
        best, best_at = _evaluated(heatmap, begun + line * across, height, width, stride, best, best_at, BLOCKS, PIXELS)
    for scanned in range(0, blocks, SCAN):
        start = tl.cast(scanned, tl.int64)
        row, column = _block_at(start, across, SCAN)
        block = start + tl.arange(0, SCAN)
        bound = _bound(heatmap, row, column, height, width, slack)
        seen = ((block >= begun) & (block < begun + BLOCKS)) | ((block >= begun + across) & (block < begun + across + BLOCKS))
        bound = tl.where((block < blocks) & ~seen, bound, -1.0)
        first = tl.min(tl.where(bound >= best, block, NONE), 0)
        while first < NONE:
            best, best_at = _evaluated(heatmap, first, height, width, stride, best, best_at, BLOCKS, PIXELS)
            first = tl.min(tl.where((bound >= best) & (block >= first + BLOCKS), block, NONE), 0)
    place = tl.maximum(best_at, 0)
    return (place % (stride * width)).to(tl.float64), (place // (stride * width)).to(tl.float64), best


@triton.jit
def _write_joint(target, x, y, score):
    """Write a joint; without a score above 0, or where float32 cannot hold its place, it is missing."""
    there = (score > 0) & (tl.abs(x) <= LARGEST) & (tl.abs(y) <= LARGEST)
    nothing = tl.where(there, 0.0, float("nan"))
    dtype = target.dtype.element_ty
    tl.store(target, (tl.where(there, x, 0.0).to(tl.float32) + nothing).to(dtype))
    tl.store(target + 1, (tl.where(there, y, 0.0).to(tl.float32) + nothing).to(dtype))
    tl.store(target + 2, tl.where(there, tl.minimum(score, 1.0), 0.0).to(tl.float32).to(dtype))


@triton.jit
def _decode(
    heatmaps, transforms, out, joints, height, width, item_stride, joint_stride, out_stride, stride, beta, window,
    METHOD: tl.constexpr, CELLS: tl.constexpr, WINDOW: tl.constexpr,
    SCAN: tl.constexpr, BLOCKS: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    item, joint = program // joints, program % joints
    heatmap = heatmaps + item * item_stride + joint * joint_stride
    peak, least, index, strange = _extremes(heatmap, tl.cast(height, tl.int64) * width, CELLS)
    x = tl.full((), 0.0, tl.float64)
    y = tl.full((), 0.0, tl.float64)
    score = tl.full((), 0.0, tl.float64)
    if METHOD == "upsampled":
        # What lies between cells can be above 0 where no cell is.
        if (strange == 0) & (least < float("inf")) & ((peak > 0) | (least < 0)):
            x, y, score = _enlarged(heatmap, peak, least, index, height, width, stride, SCAN, BLOCKS, PIXELS)
    elif (strange == 0) & (peak > 0):
        x, y = _refined(heatmap, index, peak, height, width, stride, beta, window, METHOD, WINDOW)
        score = peak.to(tl.float64)
    if transforms is not None:
        matrix = transforms + 6 * item
        a, b, c = tl.load(matrix).to(tl.float64), tl.load(matrix + 1).to(tl.float64), tl.load(matrix + 2).to(tl.float64)
        d, e, f = tl.load(matrix + 3).to(tl.float64), tl.load(matrix + 4).to(tl.float64), tl.load(matrix + 5).to(tl.float64)
        x, y = a * x + b * y + c, d * x + e * y + f
    _write_joint(out + item * out_stride + 3 * joint, x, y, score)


def decode_heatmaps(
    heatmaps: Tensor, method: str, stride: int, transforms: Tensor | None, beta: float, window: int, out: Tensor
) -> None:
    """Write `posert.ops.decode_heatmaps` into `out`, (N, K, 3); arguments are checked already."""
    items, joints, height, width = heatmaps.shape
    if stride == 1 and method == "upsampled":
        method = "argmax"  # the enlarged map is the map
    cells, warps = _triton.tuned(TUNING, out.device)
    settings = {"WINDOW": 1, "SCAN": 1, "BLOCKS": 1, "PIXELS": 1}
    if method == "softargmax":
        visible = min(window, max(height, 1)) * min(window, max(width, 1))
        settings["WINDOW"] = min(triton.next_power_of_2(visible), cells)
    elif method == "upsampled":
        cells, scan, evaluated, warps = _triton.tuned(TUNING_UPSAMPLED, out.device)
        pixels = min(triton.next_power_of_2(stride * stride), 64)
        settings |= {"SCAN": scan, "BLOCKS": evaluated // pixels, "PIXELS": pixels}
    _triton.launch(
        _decode,
        (items * joints,),
        (
            heatmaps,
            transforms,
            out,
            joints,
            height,
            width,
            *heatmaps.stride()[:2],
            out.stride(0),
            stride,
            beta,
            window,
        ),
        METHOD=method,
        CELLS=cells,
        **settings,
        num_warps=warps,
    )
