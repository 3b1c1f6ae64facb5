"""Triton implementation of `limb_priors`: a program draws a run of pixels of all channels of one person."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops._kernels import joint_at
from posert.ops.limb_priors.parts import UNSEEN_PARTS
from posert.ops.limb_priors.reference import DEVIATION_ACROSS, HEIGHT, LEAST_VARIANCE_ALONG, TORSO_DEVIATION_ACROSS

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> pixels a program, warps.
TUNING = {0: (8192, 4), 80: (64, 4)}

CHANNELS = tl.constexpr(len(UNSEEN_PARTS) + 1)
PADDED = tl.constexpr(16)  # channels as a power of two
ROWS = tl.constexpr(16)  # of the frame, that are searched together for the greatest value
JOINTS = tl.constexpr(14)


def _packed(place: int) -> int:
    """One joint of every part, four bits each: those of channel c, which shows part c - 1, are the bits from 4 c on."""
    return sum(part[place] << 4 * channel for channel, part in enumerate(UNSEEN_PARTS, start=1))


# A limb is taken as its start twice and its end twice, so that it needs no other formula than the torso.
FIRST = tl.constexpr(_packed(0))
SECOND = tl.constexpr(sum(part[len(part) // 2 - 1] << 4 * channel for channel, part in enumerate(UNSEEN_PARTS, start=1)))
THIRD = tl.constexpr(sum(part[len(part) // 2] << 4 * channel for channel, part in enumerate(UNSEEN_PARTS, start=1)))
FOURTH = tl.constexpr(_packed(-1))
TORSO = tl.constexpr(max(range(len(UNSEEN_PARTS)), key=lambda part: len(UNSEEN_PARTS[part])) + 1)
# sqrt(2) standard deviations.
LEAST_ALONG = tl.constexpr(math.sqrt(2 * LEAST_VARIANCE_ALONG))
ACROSS = tl.constexpr(math.sqrt(2) * DEVIATION_ACROSS)
TORSO_ACROSS = tl.constexpr(math.sqrt(2) * TORSO_DEVIATION_ACROSS)
LENGTHS_ALONG = tl.constexpr(math.sqrt(2 / 1.5))
PUBLISHED_HEIGHT = tl.constexpr(HEIGHT)
SMALLER = tl.constexpr(2.0**-24)  # takes any coordinate to where float32 also holds its inverse


@triton.jit
def _joint(points, person, channel, packed):
    """One joint of every channel's part, float64; x is infinite where it is missing."""
    joint = (tl.full([PADDED], packed, tl.int64) >> (4 * channel).to(tl.int64)) & 15
    x, y = joint_at(points, person * JOINTS + joint)
    return x.to(tl.float64), y.to(tl.float64)


@triton.jit
def _inverse(value):
    """1 / value of positive float64 numbers; the GPU's own division takes a call, and a stack."""
    inverse = (1.0 / (value * SMALLER).to(tl.float32)).to(tl.float64) * SMALLER
    inverse = inverse * (2.0 - value * inverse)
    return inverse * (2.0 - value * inverse)


@triton.jit
def _direction(x, y):
    """(x, y) as a vector of length 1, float64; (1, 0) where it has no length."""
    longer = tl.maximum(tl.abs(x), tl.abs(y))
    known = longer > 0
    inverse = (1.0 / (tl.where(known, longer, 1.0) * SMALLER).to(tl.float32)).to(tl.float64) * SMALLER
    x, y = tl.where(known, x * inverse, 1.0), tl.where(known, y * inverse, 0.0)
    squared = x * x + y * y  # from 1 to 2
    norm = (1.0 / tl.sqrt(squared.to(tl.float32))).to(tl.float64)
    norm = norm * (1.5 - 0.5 * squared * norm * norm)
    norm = norm * (1.5 - 0.5 * squared * norm * norm)
    return x * norm, y * norm


@triton.jit
def _axis(x, y, unit, middle_x, middle_y):
    """Along or across the parts, in sqrt(2) standard deviations: factors of x and y and what they add to."""
    inverse = _inverse(unit)
    x, y = x * inverse, y * inverse
    return x[:, None], y[:, None], (-(x * middle_x + y * middle_y))[:, None]


@triton.jit
def _exponents(along_x, along_y, along, across_x, across_y, across, column, row):
    lengthwise = along_x * column + (along_y * row + along)
    crosswise = across_x * column + (across_y * row + across)
    return lengthwise * lengthwise + crosswise * crosswise


@triton.jit
def _one_minus_exp(value):
    """1 - exp(-value) of value >= 0, float32; a series where the difference would have few digits."""
    series = 1 - value / 4 * (1 - value / 5 * (1 - value / 6 * (1 - value / 7)))
    series = value * (1 - value / 2 * (1 - value / 3 * series))
    return tl.where(value < 0.25, series, 1 - tl.exp(-value))


@triton.jit
def log_priors(points, person, column, row, height, width):
    """Log priors of one person at pixels (columns and rows, int32 (BLOCK,)): float32 (PADDED, BLOCK), background first.

    Exponents are float64: next to a peak the background is what is left of 1, and has to be right in itself.
    """
    channel = tl.arange(0, PADDED)
    x1, y1 = _joint(points, person, channel, FIRST)
    x2, y2 = _joint(points, person, channel, SECOND)
    x3, y3 = _joint(points, person, channel, THIRD)
    x4, y4 = _joint(points, person, channel, FOURTH)
    complete = (x1 + x2 + x3 + x4 < float("inf")) & (channel > 0) & (channel < CHANNELS)
    start_x, end_x = tl.where(complete, 0.5 * (x1 + x2), 0.0), tl.where(complete, 0.5 * (x3 + x4), 0.0)
    start_y, end_y = 0.5 * (y1 + y2), 0.5 * (y3 + y4)
    x, y = _direction(end_x - start_x, end_y - start_y)
    length = x * (end_x - start_x) + y * (end_y - start_y)
    scale = tl.cast(height, tl.float64) * (1 / PUBLISHED_HEIGHT)
    along_unit = tl.maximum(LENGTHS_ALONG * length, LEAST_ALONG * scale)
    across_unit = tl.where(channel == TORSO, TORSO_ACROSS * scale, ACROSS * scale)
    middle_x, middle_y = 0.5 * (start_x + end_x), 0.5 * (start_y + end_y)
    along_x, along_y, along = _axis(x, y, along_unit, middle_x, middle_y)
    across_x, across_y, across = _axis(-y, x, across_unit, middle_x, middle_y)

    # Of each row, the exponent is a parabola: its least value lies at one of the two columns around the vertex.
    least = tl.full([PADDED], float("inf"), tl.float64)
    bend = along_x * along_x + across_x * across_x
    flat = (1.0 / tl.maximum(bend, 1e-30).to(tl.float32)).to(tl.float64)
    for top in range(0, height, ROWS):
        line = tl.minimum(top + tl.arange(0, ROWS), height - 1)[None, :].to(tl.float64)
        slope = along_x * (along_y * line + along) + across_x * (across_y * line + across)
        vertex = tl.floor(tl.minimum(tl.maximum(-slope * flat, 0.0), width - 1.0))
        after = tl.minimum(vertex + 1, width - 1.0)
        here = _exponents(along_x, along_y, along, across_x, across_y, across, vertex, line)
        there = _exponents(along_x, along_y, along, across_x, across_y, across, after, line)
        least = tl.minimum(least, tl.min(tl.minimum(here, there), axis=1))
    greatest = tl.exp(-least.to(tl.float32))[:, None]
    kept, lost = greatest / (greatest + 1e-6), 1e-6 / (greatest + 1e-6)

    column, row = column[None, :].to(tl.float64), row[None, :].to(tl.float64)
    exponent = _exponents(along_x, along_y, along, across_x, across_y, across, column, row)
    beyond = tl.maximum(exponent - least[:, None], 0.0).to(tl.float32)
    faded = tl.exp(-beyond)
    mask = tl.where(complete[:, None], faded * kept, 0.0)
    rest = tl.where(complete[:, None], _one_minus_exp(beyond) + faded * lost, 1.0)
    mask = tl.where(channel[:, None] == 0, tl.min(rest, axis=0)[None, :], mask)
    return tl.log(mask + 1e-10)


@triton.jit
def _draw(points, out, height, width, area, item_stride, BLOCK: tl.constexpr):
    tiles = tl.cdiv(area, BLOCK)
    program = tl.program_id(0).to(tl.int64)
    person, tile = program // tiles, program % tiles
    pixel = tile * BLOCK + tl.arange(0, BLOCK)
    index = pixel.to(tl.int32)
    priors = log_priors(points, person, index % width, index // width, height, width)
    channel = tl.arange(0, PADDED)[:, None]
    target = out + person * item_stride + channel * area + pixel[None, :]
    tl.store(target, priors.to(out.dtype.element_ty), mask=(channel < CHANNELS) & (pixel < area)[None, :])


def limb_priors(keypoints: Tensor, out: Tensor) -> None:
    """Write `posert.ops.limb_priors` into `out`, (N, 11, height, width); arguments are checked already."""
    people, _, height, width = out.shape
    area = height * width
    block, warps = _triton.tuned(TUNING, out.device)
    _triton.launch(
        _draw,
        (people * triton.cdiv(area, block),),
        (keypoints, out, height, width, area, out.stride(0)),
        BLOCK=block,
        num_warps=warps,
    )
