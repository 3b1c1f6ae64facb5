"""Triton implementations of the morphology operations.

Small squares: a program reads a tile with the margin that its result depends on, and keeps it in registers for both steps of an
opening or a closing, so that either is one launch. Large squares: a launch for each direction of each step, with one scratch
image; each of its programs looks once at what all windows of a run of pixels have in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from posert.ops import _triton
from posert.ops._kernels import window_shifts

if TYPE_CHECKING:
    from torch import Tensor

# Compute capability -> rows and columns of a tile at most, pixels a warp.
TILES = {80: (64, 64, 512)}

# Compute capability -> lines and pixels of a line that a program of a large square takes, along rows and along columns.
LINES = {80: ((16, 128), (32, 64))}

# A thread. Without a limit the assembler would rather spill a few than let fewer programs share a multiprocessor.
MOST_REGISTERS = 128

# A tile of this margin still gives more pixels than it throws away.
LARGEST_MARGIN = 16


@triton.jit
def _pick(one, other, GREATEST: tl.constexpr):
    """The greater or the lesser of two blocks."""
    return tl.maximum(one, other) if GREATEST else tl.minimum(one, other)


@triton.jit
def _extremum(values, row, column, GREATEST: tl.constexpr, SHIFTS: tl.constexpr):
    """Running extremum of a tile; `row` and `column` count its pixels. Windows are cut at the tile's border."""
    for look in tl.static_range(len(SHIFTS)):
        before = tl.gather(values, tl.maximum(column - SHIFTS[look], 0), 1)
        after = tl.gather(values, tl.minimum(column + SHIFTS[look], values.shape[1] - 1), 1)
        values = _pick(values, _pick(before, after, GREATEST), GREATEST)
    for look in tl.static_range(len(SHIFTS)):
        above = tl.gather(values, tl.maximum(row - SHIFTS[look], 0), 0)
        below = tl.gather(values, tl.minimum(row + SHIFTS[look], values.shape[0] - 1), 0)
        values = _pick(values, _pick(above, below, GREATEST), GREATEST)
    return values


@triton.jit
def _filter_tile(
    mask, out, height, width, mask_stride, out_stride, bands, tiles,
    GREATEST: tl.constexpr, TWICE: tl.constexpr, SHIFTS: tl.constexpr,
    ROW_MARGIN: tl.constexpr, COLUMN_MARGIN: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    place = program % (bands * tiles)
    item = (program // (bands * tiles)).to(tl.int64)
    zeros = tl.full([ROWS, COLUMNS], 0, tl.int32)
    tile_row, tile_column = zeros + tl.arange(0, ROWS)[:, None], zeros + tl.arange(0, COLUMNS)[None, :]
    row = place // tiles * (ROWS - 2 * ROW_MARGIN) - ROW_MARGIN + tile_row
    column = place % tiles * (COLUMNS - 2 * COLUMN_MARGIN) - COLUMN_MARGIN + tile_column
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    pixel = row.to(tl.int64) * width + column
    neutral: tl.constexpr = 0 if GREATEST else 255
    values = tl.load(mask + item * mask_stride + pixel, mask=inside, other=neutral)
    values = _extremum(values, tile_row, tile_column, GREATEST, SHIFTS)
    if TWICE:
        # The first step has reached beyond the frame, where nothing counts in the second one either.
        values = tl.where(inside, values, tl.full([ROWS, COLUMNS], 255 - neutral, tl.uint8))
        values = _extremum(values, tile_row, tile_column, not GREATEST, SHIFTS)
    whole = (tile_row >= ROW_MARGIN) & (tile_row < ROWS - ROW_MARGIN)
    whole = whole & (tile_column >= COLUMN_MARGIN) & (tile_column < COLUMNS - COLUMN_MARGIN)
    tl.store(out + item * out_stride + pixel, values, mask=inside & whole)


@triton.jit
def _filter_lines(
    source, out, lines, length, source_stride, out_stride, line_stride, step, reach, bands, runs,
    GREATEST: tl.constexpr, LINES: tl.constexpr, RUN: tl.constexpr, LOOKS: tl.constexpr,
):  # fmt: skip
    """Running extremum along lines whose pixels lie `step` apart; `reach` is at least half of RUN."""
    program = tl.program_id(0)
    place = program % (bands * runs)
    item = (program // (bands * runs)).to(tl.int64)
    line = place // runs * LINES + tl.arange(0, LINES)[:, None]
    begin = place % runs * RUN
    at = tl.arange(0, RUN)[None, :]
    origin = source + item * source_stride + line.to(tl.int64) * line_stride
    neutral: tl.constexpr = 0 if GREATEST else 255

    # What all windows of the run hold, then what they hold before it and behind it.
    common = tl.full([LINES, RUN], neutral, tl.uint8)
    for start in range(tl.maximum(begin - reach + RUN, 0), tl.minimum(begin + reach, length), RUN):
        position = start + at
        known = (line < lines) & (position < tl.minimum(begin + reach, length))
        common = _pick(common, tl.load(origin + position.to(tl.int64) * step, mask=known, other=neutral), GREATEST)
    first, last = begin - reach + at, begin + reach + at
    before = tl.load(origin + first.to(tl.int64) * step, mask=(line < lines) & (first >= 0) & (first < length), other=neutral)
    behind = tl.load(origin + last.to(tl.int64) * step, mask=(line < lines) & (last < length), other=neutral)
    common = (tl.max(common, 1, keep_dims=True) if GREATEST else tl.min(common, 1, keep_dims=True)).to(tl.uint8)
    index = tl.arange(0, LINES)[:, None] * 0 + at
    for doubling in tl.static_range(LOOKS):
        before = _pick(before, tl.gather(before, tl.minimum(index + (1 << doubling), RUN - 1), 1), GREATEST)
        behind = _pick(behind, tl.gather(behind, tl.maximum(index - (1 << doubling), 0), 1), GREATEST)
    values = _pick(_pick(before, behind, GREATEST), common, GREATEST)
    position = begin + at
    target = out + item * out_stride + line.to(tl.int64) * line_stride + position.to(tl.int64) * step
    tl.store(target, values, mask=(line < lines) & (position < length))


def dilate(mask: Tensor, size: int, out: Tensor) -> None:
    """Write the dilation of uint8 (N, H, W) into `out`, which may be `mask`."""
    _run(mask, size, out, greatest=True, twice=False)


def erode(mask: Tensor, size: int, out: Tensor) -> None:
    """Write the erosion of uint8 (N, H, W) into `out`, which may be `mask`."""
    _run(mask, size, out, greatest=False, twice=False)


def opening(mask: Tensor, size: int, out: Tensor) -> None:
    """Write the opening of uint8 (N, H, W) into `out`, which may be `mask`."""
    _run(mask, size, out, greatest=False, twice=True)


def closing(mask: Tensor, size: int, out: Tensor) -> None:
    """Write the closing of uint8 (N, H, W) into `out`, which may be `mask`."""
    _run(mask, size, out, greatest=True, twice=True)


def _run(mask: Tensor, size: int, out: Tensor, greatest: bool, twice: bool) -> None:
    if out.numel() == 0:
        return
    reach = min(size // 2, max(out.shape[1:]))
    if reach * (1 + twice) <= LARGEST_MARGIN:
        # Programs read their neighbours' pixels, so what is read must not be written.
        source = mask.clone() if mask.data_ptr() == out.data_ptr() else mask
        _run_tiles(source, reach, out, greatest, twice)
        return
    scratch = torch.empty_like(out, memory_format=torch.contiguous_format)
    for number, source in enumerate((mask, out) if twice else (mask,)):
        _run_lines(source, reach, scratch, greatest == (number == 0), down=False)
        _run_lines(scratch, reach, out, greatest == (number == 0), down=True)


def _run_tiles(mask: Tensor, reach: int, out: Tensor, greatest: bool, twice: bool) -> None:
    items, height, width = out.shape
    most_rows, most_columns, warp_pixels = _triton.tuned(TILES, out.device)
    rows, columns = min(triton.next_power_of_2(height), most_rows), min(triton.next_power_of_2(width), most_columns)
    # A tile as high or as wide as the frame has no neighbours.
    margin = reach * (1 + twice)
    row_margin, column_margin = margin * (height > rows), margin * (width > columns)
    bands, tiles = triton.cdiv(height, rows - 2 * row_margin), triton.cdiv(width, columns - 2 * column_margin)
    _triton.launch(
        _filter_tile,
        (items * bands * tiles,),
        (mask, out, height, width, mask.stride(0), out.stride(0), bands, tiles),
        GREATEST=greatest,
        TWICE=twice,
        SHIFTS=window_shifts(reach),
        ROW_MARGIN=row_margin,
        COLUMN_MARGIN=column_margin,
        ROWS=rows,
        COLUMNS=columns,
        num_warps=max(1, rows * columns // warp_pixels),
        maxnreg=MOST_REGISTERS,
    )


def _run_lines(source: Tensor, reach: int, out: Tensor, greatest: bool, down: bool) -> None:
    items, height, width = out.shape
    lines, length, line_stride, step = (width, height, 1, width) if down else (height, width, width, 1)
    block, run = _triton.tuned(LINES, out.device)[down]
    run = min(run, triton.next_power_of_2(reach))  # more than that and windows of one run have nothing in common
    bands, runs = triton.cdiv(lines, block), triton.cdiv(length, run)
    _triton.launch(
        _filter_lines,
        (items * bands * runs,),
        (source, out, lines, length, source.stride(0), out.stride(0), line_stride, step, min(reach, length), bands, runs),
        GREATEST=greatest,
        LINES=block,
        RUN=run,
        LOOKS=run.bit_length() - 1,
    )
