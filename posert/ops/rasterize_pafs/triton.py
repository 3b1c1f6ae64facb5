"""Triton implementation of `rasterize_pafs`: a program draws a run of cells of one limb's two planes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops._kernels import divided, joint_at

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> cells a program, warps.
TUNING = {0: (16384, 4), 80: (1024, 4)}


@triton.jit
def _rounded(edge, length):
    """The nearest of the edges 0 .. length between cells; of two equally near ones the greater."""
    edge = tl.minimum(tl.maximum(edge, 0.0), tl.cast(length, tl.float64))
    whole = tl.floor(edge)
    return tl.where(edge - whole >= 0.5, whole + 1, whole).to(tl.int32)


@triton.jit
def _band(ax, ay, bx, by, stride, width, height, length, row, column):
    """Which cells a limb covers, and its unit vector. Float64, because cells may lie on the band's very edge."""
    ax, ay = divided(ax.to(tl.float64), stride), divided(ay.to(tl.float64), stride)
    bx, by = divided(bx.to(tl.float64), stride), divided(by.to(tl.float64), stride)
    dx, dy = bx - ax, by - ay
    distance = tl.sqrt(dx * dx + dy * dy)
    reach = tl.where(distance > 0, width, -1.0)  # without length it covers nothing
    distance = tl.where(distance > 0, distance, 1.0)
    along_x, along_y = dx / distance, dy / distance
    left, right = _rounded(tl.minimum(ax, bx) - width, length), _rounded(tl.maximum(ax, bx) + width, length)
    top, bottom = _rounded(tl.minimum(ay, by) - width, height), _rounded(tl.maximum(ay, by) + width, height)
    boxed = (column >= left) & (column < right) & (row >= top) & (row < bottom)
    away = (column.to(tl.float64) - ax) * along_y - (row.to(tl.float64) - ay) * along_x
    return boxed & (tl.abs(away) <= reach), along_x.to(tl.float32), along_y.to(tl.float32)


@triton.jit
def _draw(
    points, limbs, out, people, joints, limb_count, height, length, area, item_stride, stride, width_upper, width_lower,
    AVERAGE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(area, BLOCK)
    program = tl.program_id(0).to(tl.int64)
    plane, tile = program // tiles, program % tiles
    item, limb = plane // limb_count, plane % limb_count
    start, end = tl.load(limbs + 2 * limb), tl.load(limbs + 2 * limb + 1)
    cell = tile * BLOCK + tl.arange(0, BLOCK)
    index = cell.to(tl.int32)  # a map holds at most 2^31 cells, and 64-bit divisions are slow
    row, column = index // length, index % length
    first_row, last_row = tl.min(row, 0).to(tl.float32), tl.max(tl.where(cell < area, row, 0), 0).to(tl.float32)
    width = tl.cast(width_upper, tl.float64) + width_lower
    vector_x = tl.zeros((BLOCK,), tl.float32)
    vector_y = tl.zeros((BLOCK,), tl.float32)
    count = tl.zeros((BLOCK,), tl.float32)
    for person in range(people):
        own = (item * people + person) * joints
        ax, ay = joint_at(points, own + start)
        bx, by = joint_at(points, own + end)
        there = tl.where((ax < float("inf")) & (bx < float("inf")), 1, 0)
        # A cell further than the band reaches, so that rounding does no harm.
        highest = tl.minimum(ay, by) / stride - width_upper - 2
        lowest = tl.maximum(ay, by) / stride + width_upper + 2
        near = tl.where((highest <= last_row) & (lowest >= first_row), 1, 0)
        if there * near > 0:
            ax, bx = tl.where(there > 0, ax, 0.0), tl.where(there > 0, bx, 0.0)
            covered, along_x, along_y = _band(ax, ay, bx, by, stride, width, height, length, row, column)
            if AVERAGE:
                vector_x += tl.where(covered, along_x, 0.0)
                vector_y += tl.where(covered, along_y, 0.0)
                count += tl.where(covered, 1.0, 0.0)
            else:
                vector_x = tl.where(covered, along_x, vector_x)
                vector_y = tl.where(covered, along_y, vector_y)
    if AVERAGE:
        count = tl.maximum(count, 1.0)
        vector_x, vector_y = vector_x / count, vector_y / count
    target = out + item * item_stride + 2 * limb * area + cell
    tl.store(target, vector_x.to(out.dtype.element_ty), mask=cell < area)
    tl.store(target + area, vector_y.to(out.dtype.element_ty), mask=cell < area)


def rasterize_pafs(keypoints: Tensor, limbs: Tensor, stride: int, width: float, average: bool, out: Tensor) -> None:
    """Write `posert.ops.rasterize_pafs` into `out`, (N, 2 L, height, width in cells); arguments are checked already."""
    items, planes, height, length = out.shape
    area = height * length
    block, warps = _triton.tuned(TUNING, out.device)
    upper = float(np.float32(width))  # numbers are passed as float32: the width in two parts
    _triton.launch(
        _draw,
        (items * (planes // 2) * triton.cdiv(area, block),),
        (
            *(keypoints, limbs, out, *keypoints.shape[1:3], planes // 2, height, length, area, out.stride(0)),
            *(stride, upper, width - upper),
        ),
        AVERAGE=average,
        BLOCK=block,
        num_warps=warps,
    )
