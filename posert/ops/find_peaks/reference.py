"""Definition of `find_peaks` in NumPy (specs K12)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.ops.decode_heatmaps.reference import Map, upsample

REACH = 3


def find_peaks(heatmaps: NDArray[np.float32], threshold: float, stride: int, offset: float, out: NDArray[np.float32]) -> None:
    """Write `posert.ops.find_peaks` into `out`, float32 (N, K, max_peaks, 3); arguments are checked already."""
    out[..., :2], out[..., 2] = np.nan, 0
    limit = float(np.float32(threshold))
    for item, joint in np.ndindex(heatmaps.shape[:2]):
        heatmap = heatmaps[item, joint].astype(np.float64)
        if heatmap.size == 0 or not np.isfinite(heatmap).all():
            continue
        enlarged = upsample(upsample(heatmap, stride, 1), stride, 0)
        for place, (row, column) in enumerate(np.argwhere(peaks(enlarged, limit))[: out.shape[2]]):
            x, y = centroid(enlarged, int(row), int(column))
            out[item, joint, place] = (x + offset, y + offset, enlarged[row, column])


def peaks(values: Map, limit: float) -> NDArray[np.bool_]:
    """Which pixels are peaks."""
    height, width = values.shape
    around = np.pad(values, 1, constant_values=limit)
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    neighbours = np.stack([around[i : i + height, j : j + width] for i, j in shifts])
    row, column = np.arange(height)[:, None], np.arange(width)
    interior = (row > 1) & (row < height - 2) & (column > 1) & (column < width - 2)
    lines = (row == 1) | (row == height - 2) | (column == 1) | (column == width - 2)
    strict, weak = (values > neighbours).all(0), (values >= neighbours).all(0)
    found: NDArray[np.bool_] = (values > limit) & np.where(interior, strict, lines & weak)
    return found


def centroid(values: Map, row: int, column: int) -> tuple[float, float]:
    """Mean x and y of the 7 x 7 pixels around a peak, weighted by their values where these are positive; summed row by row."""
    total = sum_x = sum_y = 0.0
    for y in range(max(row - REACH, 0), min(row + REACH + 1, values.shape[0])):
        for x in range(max(column - REACH, 0), min(column + REACH + 1, values.shape[1])):
            value = max(float(values[y, x]), 0.0)
            total += value
            sum_x += value * x
            sum_y += value * y
    return sum_x / total, sum_y / total
