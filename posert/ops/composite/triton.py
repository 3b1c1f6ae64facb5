"""Triton implementation of `composite`: a program blends a run of pixels, or of bytes of an 8-bit picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops._kernels import byte_at, grey_level

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> pixels a program, warps.
TUNING = {0: (16384, 8), 80: (1024, 8)}

# The same for 8-bit pictures: bytes. Four a thread: with more, its neighbours read further apart.
TUNING_UINT8 = {0: (16384, 8), 80: (1024, 8)}


@triton.jit
def _blended(front, back, weight, place, inside):
    first = tl.load(front + place, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(back + place, mask=inside, other=0.0).to(tl.float32)
    return weight * first + (1.0 - weight) * second


@triton.jit
def _blend(
    foreground, background, masks, out, area, size, front_stride, back_stride, mask_stride, out_stride,
    AS_UINT8: tl.constexpr, SWAP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    tiles = tl.cdiv(size, BLOCK)
    program = tl.program_id(0).to(tl.int64)
    item, first = program // tiles, program % tiles * BLOCK
    front, back = foreground + item * front_stride, background + item * back_stride
    mask, target = masks + item * mask_stride, out + item * out_stride
    index = first + tl.arange(0, BLOCK)
    inside = index < size
    if AS_UINT8:
        pixel, channel = byte_at(first, BLOCK)
        weight = tl.load(mask + pixel, mask=inside, other=0.0).to(tl.float32)
        value = _blended(front, back, weight, (2 - channel if SWAP else channel) * area + pixel, inside)
        tl.store(target + index, grey_level(value).to(tl.int32).to(tl.uint8), mask=inside)
    else:
        weight = tl.load(mask + index, mask=inside, other=0.0).to(tl.float32)
        plane = tl.cast(area, tl.int64)
        for channel in tl.static_range(3):
            value = _blended(front, back, weight, (2 - channel if SWAP else channel) * plane + index, inside)
            tl.store(target + channel * plane + index, value.to(out.dtype.element_ty), mask=inside)


def composite(foreground: Tensor, background: Tensor, mask: Tensor, swap: bool, out: Tensor) -> None:
    """Write `posert.ops.composite` into `out`, (N, 3, H, W), or uint8 (N, H, W, 3); arguments are checked already."""
    count, _, height, width = foreground.shape
    as_uint8 = out.dtype == torch.uint8
    block, warps = _triton.tuned(TUNING_UINT8 if as_uint8 else TUNING, out.device)
    area = height * width
    size = 3 * area if as_uint8 else area
    strides = (foreground.stride(0), background.stride(0), mask.stride(0), out.stride(0))
    _triton.launch(
        _blend,
        (count * triton.cdiv(size, block),),
        (foreground, background, mask, out, area, size, *strides),
        AS_UINT8=as_uint8,
        SWAP=swap,
        BLOCK=block,
        num_warps=warps,
    )
