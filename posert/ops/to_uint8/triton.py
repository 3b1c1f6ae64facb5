"""Triton implementation of `to_uint8`: a program writes a run of bytes of one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops._kernels import byte_at, grey_level

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> bytes a program, warps. Four bytes a thread: with more, its neighbours read further apart.
TUNING = {0: (16384, 8), 80: (1024, 8)}


@triton.jit
def _convert(images, out, area, size, image_stride, out_stride, BLOCK: tl.constexpr):
    tiles = tl.cdiv(size, BLOCK)
    program = tl.program_id(0).to(tl.int64)
    picture, tile = program // tiles, program % tiles
    # Runs of the output, so that whole words are stored; what is read lies close together in three planes.
    first = tile * BLOCK
    pixel, channel = byte_at(first, BLOCK)
    byte = first + tl.arange(0, BLOCK)
    inside = byte < size
    source = images + picture * image_stride + channel * area + pixel
    level = grey_level(tl.load(source, mask=inside, other=0.0).to(tl.float32))
    tl.store(out + picture * out_stride + byte, level.to(tl.int32).to(tl.uint8), mask=inside)


def to_uint8(images: Tensor, out: Tensor) -> None:
    """Write `posert.ops.to_uint8` of (N, 3, H, W) into `out`, uint8 (N, H, W, 3); arguments are checked already."""
    count, height, width, _ = out.shape
    area = height * width
    block, warps = _triton.tuned(TUNING, out.device)
    _triton.launch(
        _convert,
        (count * triton.cdiv(3 * area, block),),
        (images, out, area, 3 * area, images.stride(0), out.stride(0)),
        BLOCK=block,
        num_warps=warps,
    )
