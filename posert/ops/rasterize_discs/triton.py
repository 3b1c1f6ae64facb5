"""Triton implementation of `rasterize_discs`: a program draws a run of pixels of one plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops._kernels import joint_at, truncated

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> pixels a program, warps.
TUNING = {0: (16384, 4), 80: (2048, 4)}


@triton.jit
def _covered(points, plane, row, column, radius):
    """Whether pixels lie on the disc of a plane's keypoint."""
    x, y = joint_at(points, plane)
    # Beyond the radius the exact distance does not matter, and its square would not fit.
    across = tl.minimum(tl.abs(column - truncated(x)), radius + 1)
    down = tl.minimum(tl.abs(row - truncated(y)), radius + 1)
    return across * across + down * down <= radius * radius


@triton.jit
def _draw(
    points, previous, out, joints, width, area, item_stride, radius, low, high,
    REUSED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(area, BLOCK)
    program = tl.program_id(0).to(tl.int64)
    plane, tile = program // tiles, program % tiles
    pixel = tile * BLOCK + tl.arange(0, BLOCK)
    index = pixel.to(tl.int32)  # a plane holds at most 2^31 pixels, and 64-bit divisions are slow
    row, column = index // width, index % width
    inside = _covered(points, plane, row, column, radius)
    written = pixel < area
    if REUSED:  # `out` holds the drawing of `previous`
        written = written & (inside | _covered(previous, plane, row, column, radius))
    target = out + plane // joints * item_stride + plane % joints * area + pixel
    tl.store(target, tl.where(inside, high, low).to(out.dtype.element_ty), mask=written)


def rasterize_discs(keypoints: Tensor, radius: int, low: float, high: float, previous: Tensor | None, out: Tensor) -> None:
    """Write `posert.ops.rasterize_discs` into `out`, (N, K, height, width); arguments are checked already."""
    items, joints, height, width = out.shape
    area = height * width
    block, warps = _triton.tuned(TUNING, out.device)
    reused = previous is not None
    _triton.launch(
        _draw,
        (items * joints * triton.cdiv(area, block),),
        (keypoints, previous if reused else keypoints, out, joints, width, area, out.stride(0), radius, low, high),
        REUSED=reused,
        BLOCK=block,
        num_warps=warps,
    )
