"""Triton implementation of `warp_parts`: a program warps a tile of one part, through all channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from posert.ops import _triton

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> rows and columns a program, warps. With more pixels a thread, registers are spilled.
TUNING = {0: (64, 64, 4), 80: (4, 64, 4)}


@triton.jit
def _taps(position, side):
    """Pixels of both taps of an axis, int64, and the weight of the second, float32; NaN counts as a place at the border.

    In float64, because float32 has too few digits behind the point to interpolate between pixels that far from the origin.
    """
    after = tl.where(position + 1 > 0, position + 1, 0.0)
    after = tl.where(after < side + 1, after, side + 1.0)
    first = after.to(tl.int32)
    weight = (after - first.to(tl.float64)).to(tl.float32)
    return _pixel(first, side), _pixel(tl.minimum(first + 1, side + 1), side), weight


@triton.jit
def _pixel(tap, side):
    """The pixel of a tap, counted from one pixel before the first: the second outermost shows itself there, if there is one."""
    pixel = tl.where(tap == 0, tl.minimum(1, side - 1), tap - 1)
    return tl.where(tap > side, tl.maximum(side - 2, 0), pixel).to(tl.int64)


@triton.jit
def _masked(image, place, mask, visible):
    """A tap of the masked picture; 0 where it is invisible or not finite."""
    product = mask * tl.load(image + place, mask=visible, other=0.0).to(tl.float32)
    return tl.where(visible & (tl.abs(product) < float("inf")), product, 0.0)


@triton.jit
def _warp(
    images, masks, transforms, out, parts, channels, height, width, image_stride, mask_stride, out_stride, threshold,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(width, COLUMNS)
    tiles = across * tl.cdiv(height, ROWS)
    layer, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    item, part = (layer // parts).to(tl.int64), (layer % parts).to(tl.int64)
    area = tl.cast(height, tl.int64) * width

    row = (tile // across * ROWS + tl.arange(0, ROWS))[:, None]
    column = (tile % across * COLUMNS + tl.arange(0, COLUMNS))[None, :]
    inside = (row < height) & (column < width)
    matrix = transforms + 6 * layer.to(tl.int64)
    a, b, c = tl.load(matrix).to(tl.float64), tl.load(matrix + 1).to(tl.float64), tl.load(matrix + 2).to(tl.float64)
    d, e, f = tl.load(matrix + 3).to(tl.float64), tl.load(matrix + 4).to(tl.float64), tl.load(matrix + 5).to(tl.float64)
    left, right, x = _taps(a * column + (b * row + c), width)
    top, bottom, y = _taps(d * column + (e * row + f), height)
    upper_left, upper_right = top * width + left, top * width + right
    lower_left, lower_right = bottom * width + left, bottom * width + right

    mask = masks + item * mask_stride + part * area
    mask_0 = tl.load(mask + upper_left, mask=inside, other=0.0).to(tl.float32)
    mask_1 = tl.load(mask + upper_right, mask=inside, other=0.0).to(tl.float32)
    mask_2 = tl.load(mask + lower_left, mask=inside, other=0.0).to(tl.float32)
    mask_3 = tl.load(mask + lower_right, mask=inside, other=0.0).to(tl.float32)
    seen_0, seen_1 = inside & (mask_0 > threshold), inside & (mask_1 > threshold)
    seen_2, seen_3 = inside & (mask_2 > threshold), inside & (mask_3 > threshold)
    something = tl.max(tl.max((seen_0 | seen_1 | seen_2 | seen_3).to(tl.int32), 1), 0)
    # A number that is not finite less itself is NaN, which is not 0.
    something = tl.where((a - a) + (b - b) + (c - c) + (d - d) + (e - e) + (f - f) == 0, something, 0)

    target = out + item * out_stride + part * (channels * area) + row.to(tl.int64) * width + column
    image = images + item * image_stride
    for channel in range(channels):
        value = tl.zeros((ROWS, COLUMNS), tl.float32)
        if something > 0:  # most tiles of a small part show nothing of it, and no picture is read for them
            plane = image + channel * area
            upper = _masked(plane, upper_left, mask_0, seen_0) * (1 - x) + _masked(plane, upper_right, mask_1, seen_1) * x
            lower = _masked(plane, lower_left, mask_2, seen_2) * (1 - x) + _masked(plane, lower_right, mask_3, seen_3) * x
            value = upper * (1 - y) + lower * y
        tl.store(target + channel * area, value.to(out.dtype.element_ty), mask=inside)


def warp_parts(image: Tensor, masks: Tensor, transforms: Tensor, visible_above: float, out: Tensor) -> None:
    """Write `posert.ops.warp_parts` into `out`, (N, P, C, H, W); arguments are checked already."""
    count, parts, channels, height, width = out.shape
    rows, columns, warps = _triton.tuned(TUNING, out.device)
    _triton.launch(
        _warp,
        (count * parts * triton.cdiv(height, rows) * triton.cdiv(width, columns),),
        (
            image,
            masks,
            transforms,
            out,
            parts,
            channels,
            height,
            width,
            image.stride(0),
            masks.stride(0),
            out.stride(0),
            visible_above,
        ),
        ROWS=rows,
        COLUMNS=columns,
        num_warps=warps,
    )
