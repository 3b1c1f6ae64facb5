"""Triton implementation of `crop_resize`: a program samples a tile of one person's crop, and the first also writes the transform.

Positions are integers with 32 bits behind the point inside a tile, counted from its first pixel, whose position is found in
float64: as exact as float64 for every pixel, without its cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from posert.errors import InputError
from posert.ops import _triton
from posert.ops._kernels import divided

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> rows and columns a program, warps. Larger where float64 is slow.
TUNING = {80: (8, 64, 4), 86: (16, 64, 4), 90: (8, 64, 4), 120: (16, 64, 4)}

FIXED_ONE = tl.constexpr(4294967296.0)  # 2^32
MAX_COORDINATE = tl.constexpr(1e9)


@triton.jit
def _image(images, item, there, image_stride, row_stride, height, width, TABLE: tl.constexpr):
    """Address, step from row to row, height and width of an image; `images` is the first of equal ones, or a table of them."""
    if TABLE:
        row = images + 4 * item
        pixels = tl.load(row, mask=there, other=0).to(tl.pointer_type(tl.uint8))
        step = tl.load(row + 1, mask=there, other=0)
        return pixels, step, tl.load(row + 2, mask=there, other=1), tl.load(row + 3, mask=there, other=1)
    else:
        return images + item * image_stride, tl.cast(row_stride, tl.int64), height, width


@triton.jit
def _axis(low, high, size):
    """Whether an axis of a box can be sampled; where it starts and the distance from pixel to pixel, float64."""
    usable = (tl.maximum(tl.abs(low), tl.abs(high)) <= MAX_COORDINATE) & (low < high)  # the second is false for NaN
    start = tl.where(usable, low, 0.0).to(tl.float64)
    step = divided(tl.where(usable, high, 1.0).to(tl.float64) - start, size)
    return tl.where(usable, 1, 0), start, step


@triton.jit
def _taps(start, step, pixel, forward, BLOCK: tl.constexpr):
    """The tap before, int64, and the share of the one behind, float32, of `BLOCK` pixels from `pixel` on, in steps of +-1."""
    first = ((start + (pixel + 0.5) * step - 0.5) * FIXED_ONE).to(tl.int64)
    position = first + tl.arange(0, BLOCK) * (forward * step * FIXED_ONE).to(tl.int64)
    return position >> 32, position.to(tl.uint32).to(tl.float32) * (1 / FIXED_ONE)


@triton.jit
def _clamped(index, size):
    return tl.minimum(tl.maximum(index, 0), size - 1)


@triton.jit
def _sampled(
    pixels, row_stride, height, width, top, left, lower_share, right_share, visible, channel, fill, FILLED: tl.constexpr
):  # fmt: skip
    """One channel: four taps, blended between rows and then between columns; outside the image its edge, or `fill`."""
    upper = pixels + (_clamped(top, height) * row_stride)[:, None]
    lower = pixels + (_clamped(top + 1, height) * row_stride)[:, None]
    near = (3 * _clamped(left, width) + channel)[None, :]
    far = (3 * _clamped(left + 1, width) + channel)[None, :]
    upper_left = tl.load(upper + near, mask=visible, other=0).to(tl.float32)
    upper_right = tl.load(upper + far, mask=visible, other=0).to(tl.float32)
    lower_left = tl.load(lower + near, mask=visible, other=0).to(tl.float32)
    lower_right = tl.load(lower + far, mask=visible, other=0).to(tl.float32)
    if FILLED:
        in_upper, in_lower = ((top >= 0) & (top < height))[:, None], ((top >= -1) & (top < height - 1))[:, None]
        in_left, in_right = ((left >= 0) & (left < width))[None, :], ((left >= -1) & (left < width - 1))[None, :]
        upper_left = tl.where(in_upper & in_left, upper_left, fill)
        upper_right = tl.where(in_upper & in_right, upper_right, fill)
        lower_left = tl.where(in_lower & in_left, lower_left, fill)
        lower_right = tl.where(in_lower & in_right, lower_right, fill)
    first = upper_left + lower_share[:, None] * (lower_left - upper_left)
    second = upper_right + lower_share[:, None] * (lower_right - upper_right)
    return first + right_share[None, :] * (second - first)


@triton.jit
def _write_transform(transform, x0, step_x, y0, step_y, mirrored, width, nothing):
    """Six numbers, to which `nothing` is added: 0, or NaN where box or image are none."""
    x = x0 + 0.5 * step_x - 0.5 + tl.where(mirrored, step_x * (width - 1), 0.0)
    tl.store(transform, tl.where(mirrored, -step_x, step_x).to(tl.float32) + nothing)
    tl.store(transform + 1, nothing)
    tl.store(transform + 2, x.to(tl.float32) + nothing)
    tl.store(transform + 3, nothing)
    tl.store(transform + 4, step_y.to(tl.float32) + nothing)
    tl.store(transform + 5, (y0 + 0.5 * step_y - 0.5).to(tl.float32) + nothing)


@triton.jit
def _crop(
    images, boxes, index, flips, transforms, out, count, image_stride, row_stride, image_height, image_width,
    height, width, item_stride, fill, mean_0, mean_1, mean_2, scale_0, scale_1, scale_2,
    TABLE: tl.constexpr, MIRRORED: tl.constexpr, FILLED: tl.constexpr, SWAP: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(width, COLUMNS)
    tiles = across * tl.cdiv(height, ROWS)
    program = tl.program_id(0).to(tl.int64)
    person, tile = program // tiles, (program % tiles).to(tl.int32)
    item = person if index is None else tl.load(index + person)
    mirrored = (tl.load(flips + person) != 0) if flips is not None else MIRRORED

    box = boxes + 4 * person
    usable_x, x0, step_x = _axis(tl.load(box), tl.load(box + 2), width)
    usable_y, y0, step_y = _axis(tl.load(box + 1), tl.load(box + 3), height)
    there = (item >= 0) & (item < count)
    usable = usable_x + usable_y + tl.where(there, 1, 0) == 3
    nothing = tl.where(usable, 0.0, float("nan"))
    if tile == 0:
        _write_transform(transforms + 6 * person, x0, step_x, y0, step_y, mirrored, width, nothing)

    first_row, first_column = tile // across * ROWS, tile % across * COLUMNS
    row, column = first_row + tl.arange(0, ROWS), first_column + tl.arange(0, COLUMNS)
    written = (row < height)[:, None] & (column < width)[None, :]
    visible = (row < tl.where(usable, height, 0))[:, None] & (column < width)[None, :]
    top, lower_share = _taps(y0, step_y, first_row, 1.0, ROWS)
    start = tl.where(mirrored, width - 1 - first_column, first_column)
    left, right_share = _taps(x0, step_x, start, tl.where(mirrored, -1.0, 1.0), COLUMNS)

    pixels, step, high, wide = _image(images, item, there, image_stride, row_stride, image_height, image_width, TABLE)
    target = out + person * item_stride + (row * width)[:, None] + column[None, :]
    plane = tl.cast(height * width, tl.int64)
    for channel in tl.static_range(3):
        mean = mean_0 if channel == 0 else mean_1 if channel == 1 else mean_2
        scale = scale_0 if channel == 0 else scale_1 if channel == 1 else scale_2
        level = _sampled(
            pixels, step, high, wide, top, left, lower_share, right_share, visible, 2 - channel if SWAP else channel, fill, FILLED
        )  # fmt: skip
        value = (level - mean) * scale + nothing
        tl.store(target + channel * plane, value.to(out.dtype.element_ty), mask=written)


def crop_resize(
    images: Tensor | list[Tensor],
    boxes: Tensor,
    index: Tensor | None,
    flip: Tensor | bool,
    mean: tuple[float, float, float],
    scale: tuple[float, float, float],
    fill: float | None,
    swap: bool,
    outs: tuple[Tensor, Tensor],
) -> None:
    """Write batch and transforms of `posert.ops.crop_resize` into `outs`; arguments are checked already."""
    out, transforms = outs
    people, _, height, width = out.shape
    rows, columns, warps = _triton.tuned(TUNING, out.device)
    source = _table(images, out.device) if isinstance(images, list) else images
    layout = (0, 0, 1, 1) if isinstance(images, list) else (*images.stride()[:2], *images.shape[1:3])
    _triton.launch(
        _crop,
        (people * triton.cdiv(height, rows) * triton.cdiv(width, columns),),
        (
            source,
            boxes,
            index,
            None if isinstance(flip, bool) else flip.view(torch.uint8),
            transforms,
            out,
            len(images),
            *layout,
            height,
            width,
            out.stride(0),
            fill or 0.0,
            *mean,
            *scale,
        ),
        TABLE=isinstance(images, list),
        MIRRORED=flip is True,
        FILLED=fill is not None,
        SWAP=swap,
        ROWS=rows,
        COLUMNS=columns,
        num_warps=warps,
    )


def _table(images: list[Tensor], device: torch.device) -> Tensor:
    """Address, bytes from row to row, height and width of each image: int64 (N, 4) on the device."""
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        raise InputError(
            "a list of images cannot be recorded in a CUDA graph, because their addresses are copied from the host; "
            "stack the images into one tensor (N, H, W, 3)"
        )
    rows = [(image.data_ptr(), image.stride(0), image.shape[0], image.shape[1]) for image in images]
    table = torch.tensor(rows, dtype=torch.int64).reshape(-1, 4)
    return table.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else table
