"""Functions that several Triton kernels share. Imports triton: only the `triton.py` files import this."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import numpy as np
import triton
import triton.language as tl
from numpy.typing import DTypeLike

from posert.ops import _triton
from posert.ops.decode_heatmaps.reference import cubic_weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# Further off than any frame and any disc, and still far from the end of int32.
FAR = tl.constexpr(1 << 22)


@triton.jit
def joint_at(keypoints, index):
    """X and y of a keypoint, float32; x is infinite, which is beyond every pixel, where it is missing.

    Missing is a score of 0 or less, and a coordinate that is NaN or infinite. (A condition on single numbers is turned into a
    number here because Triton's interpreter gives it the wrong type when it meets a block.)
    """
    at = keypoints + 3 * index
    x, y = tl.load(at), tl.load(at + 1)
    there = (tl.load(at + 2) > 0) & (tl.abs(x) < float("inf")) & (tl.abs(y) < float("inf"))
    return tl.where(there, x, float("inf")), tl.where(there, y, 0.0)


@triton.jit
def truncated(value):
    """A coordinate as the int32 pixel that it truncates to; one that is further off than any frame stays so."""
    return tl.minimum(tl.maximum(value, -FAR), FAR).to(tl.int32)


@triton.jit
def divided(number, size):
    """A float64 number over an integer of at most 21 bits, rounded as a division is; the GPU's own takes a call, and a stack."""
    divisor = tl.cast(size, tl.float64)
    inverse = (1.0 / tl.cast(size, tl.float32)).to(tl.float64)
    inverse = inverse * (2.0 - divisor * inverse)
    inverse = inverse * (2.0 - divisor * inverse)
    quotient = number * inverse
    # Both parts have few enough bits for exact products, so that what is left over is exact.
    upper = quotient.to(tl.float32).to(tl.float64)
    left_over = (number - upper * divisor) - (quotient - upper) * divisor
    return quotient + left_over * inverse


def window_shifts(reach: int) -> tuple[int, ...]:
    """How far to look to both sides, time after time, so that each element ends up knowing all those within `reach` of it.

    Each look sees three windows that were known before, so there are about log3(reach) of them.
    """
    known, shifts = 0, []
    while known < reach:
        shifts.append(min(2 * known + 1, reach - known))
        known += shifts[-1]
    return tuple(shifts)


@triton.jit
def grey_level(value):
    """A value in [-1, 1] as `to_uint8` has it before it truncates: float32 in [0, 255]. NaN, which is not above 0, gives 0."""
    level = (value + 1.0) * 127.5
    return tl.where(level > 0, tl.minimum(level, 255.0), 0.0)


@triton.jit
def byte_at(first, BLOCK: tl.constexpr):
    """Pixel and channel, int64, of the bytes of an interleaved picture from one on."""
    offset = (first % 3).to(tl.int32) + tl.arange(0, BLOCK)  # 64-bit divisions are slow
    return first // 3 + offset // 3, (offset % 3).to(tl.int64)


@functools.cache  # without a limit: a captured graph goes on reading its table
def cubic_table(stride: int, dtype: DTypeLike, device: torch.device) -> Tensor:
    """Weights of the four cells that a pixel of an enlarged map is made of, as defined: (stride, 4), see `cell_and_phase`."""
    rest = 2 * np.arange(stride) + 1 - stride % 2
    table = np.stack(cubic_weights(rest / (2 * stride)), 1).astype(dtype)
    return _triton.shared(table).to(device)


@triton.jit
def cell_and_phase(pixel, stride):
    """The second of the four cells that a pixel of a map enlarged `stride` times is made of, and its row of `cubic_table`."""
    shifted = 2 * pixel + 1 + stride
    cell = shifted // (2 * stride)
    return cell - 1, (shifted - 2 * stride * cell) // 2


@triton.jit
def clipped(cell, length):
    """The nearest of `length` cells."""
    return tl.minimum(tl.maximum(cell, 0), length - 1)
