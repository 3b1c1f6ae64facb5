"""Triton implementation of `part_masks`: a program takes a run of pixels of one person; priors and softmax stay in registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops.limb_priors.triton import CHANNELS, PADDED, log_priors

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> pixels a program, warps.
TUNING = {0: (8192, 4), 80: (64, 4)}


@triton.jit
def _softmax(logits, points, out, height, width, area, power, logits_stride, out_stride, BLOCK: tl.constexpr):
    tiles = tl.cdiv(area, BLOCK)
    program = tl.program_id(0).to(tl.int64)
    person, tile = program // tiles, program % tiles
    pixel = tile * BLOCK + tl.arange(0, BLOCK)
    index = pixel.to(tl.int32)
    channel = tl.arange(0, PADDED)[:, None]
    used = (channel < CHANNELS) & (pixel < area)[None, :]
    at = channel * area + pixel[None, :]
    given = tl.load(logits + person * logits_stride + at, mask=used, other=-float("inf")).to(tl.float32)
    total = given + log_priors(points, person, index % width, index // width, height, width)
    total = tl.where(channel < CHANNELS, total, -float("inf"))
    weight = tl.exp((total - tl.max(total, axis=0)[None, :]) * power)
    mask = weight / tl.sum(weight, axis=0)[None, :]
    tl.store(out + person * out_stride + at, mask.to(out.dtype.element_ty), mask=used)


def part_masks(logits: Tensor, keypoints: Tensor, power: int, out: Tensor) -> None:
    """Write `posert.ops.part_masks` into `out`, (N, 11, H, W); arguments are checked already."""
    people, _, height, width = out.shape
    area = height * width
    block, warps = _triton.tuned(TUNING, out.device)
    _triton.launch(
        _softmax,
        (people * triton.cdiv(area, block),),
        (logits, keypoints, out, height, width, area, power, logits.stride(0), out.stride(0)),
        BLOCK=block,
        num_warps=warps,
    )
