"""Triton implementation of `rasterize_gaussians`: a program draws a run of cells of one map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops._kernels import joint_at

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> cells a program, warps.
TUNING = {0: (16384, 4), 80: (1024, 4)}


@triton.jit
def _draw(
    points, out, joints, height, width, area, item_stride, sigma, stride, offset, cutoff,
    CUT: tl.constexpr, INSIDE_ONLY: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(area, BLOCK)
    program = tl.program_id(0).to(tl.int64)
    plane, tile = program // tiles, program % tiles
    x, y = joint_at(points, plane)
    if INSIDE_ONLY:
        inside_x = (x > offset) & (x < stride * (width - 1) + offset)
        inside_y = (y > offset) & (y < stride * (height - 1) + offset)
        x = tl.where(inside_x & inside_y, x, float("inf"))
    cell = tile * BLOCK + tl.arange(0, BLOCK)
    index = cell.to(tl.int32)  # a map holds at most 2^31 cells, and 64-bit divisions are slow
    across = stride * (index % width).to(tl.float32) + offset - x
    down = stride * (index // width).to(tl.float32) + offset - y
    exponent = (across * across + down * down) / (2 * sigma * sigma)
    value = tl.exp(-exponent)
    if CUT:
        value = tl.where(exponent > cutoff, 0.0, value)
    target = out + plane // joints * item_stride + plane % joints * area + cell
    tl.store(target, value.to(out.dtype.element_ty), mask=cell < area)


def rasterize_gaussians(
    keypoints: Tensor, sigma: float, stride: int, offset: float, cutoff: float | None, inside_only: bool, out: Tensor
) -> None:
    """Write `posert.ops.rasterize_gaussians` into `out`, (N, K, height, width); arguments are checked already."""
    items, joints, height, width = out.shape
    area = height * width
    block, warps = _triton.tuned(TUNING, out.device)
    _triton.launch(
        _draw,
        (items * joints * triton.cdiv(area, block),),
        (keypoints, out, joints, height, width, area, out.stride(0), sigma, float(stride), offset, cutoff or 0.0),
        CUT=cutoff is not None,
        INSIDE_ONLY=inside_only,
        BLOCK=block,
        num_warps=warps,
    )
