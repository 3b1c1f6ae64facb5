"""Definition of `rasterize_pafs` in NumPy (specs K11)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.ops._check import present


def rasterize_pafs(
    keypoints: NDArray[np.float32], limbs: NDArray[np.int32], stride: int, width: float, average: bool, out: NDArray[np.float32]
) -> None:
    """Write `posert.ops.rasterize_pafs` into `out`, float32 (N, 2 L, height, width in cells); arguments are checked already."""
    there = present(keypoints)
    points = keypoints[..., :2].astype(np.float64) / stride
    for item, limb in np.ndindex(len(keypoints), len(limbs)):
        start, end = limbs[limb]
        total = np.zeros((2, *out.shape[2:]))
        count = np.zeros(out.shape[2:])
        for person in np.flatnonzero(there[item, :, start] & there[item, :, end]):
            cells, vector = band(points[item, person, start], points[item, person, end], width, *out.shape[2:])
            if average:
                total[:, cells] += vector[:, None]
                count[cells] += 1
            else:
                total[:, cells] = vector[:, None]
        out[item, 2 * limb : 2 * limb + 2] = total / np.maximum(count, 1)


def band(
    a: NDArray[np.float64], b: NDArray[np.float64], width: float, rows: int, columns: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """The cells of one limb, bool (rows, columns), and its unit vector (x, y); `a` and `b` are x, y in cells."""
    (dx, dy), cells = b - a, np.zeros((rows, columns), np.bool_)
    length = np.sqrt(dx * dx + dy * dy)
    if length == 0:
        return cells, np.zeros(2)
    vector = np.array([dx / length, dy / length])
    left, right = box_side(a[0], b[0], width, columns)
    top, bottom = box_side(a[1], b[1], width, rows)
    x, y = np.arange(left, right), np.arange(top, bottom)[:, None]
    cells[top:bottom, left:right] = np.abs((x - a[0]) * vector[1] - (y - a[1]) * vector[0]) <= width
    return cells, vector


def box_side(a: float, b: float, width: float, length: int) -> tuple[int, int]:
    """First cell and the one after the last along an axis of `length` cells."""
    first, end = round_half_away(min(a, b) - width), round_half_away(max(a, b) + width)
    return int(min(max(first, 0), length)), int(max(min(end, length), 0))


def round_half_away(value: float) -> float:
    """The nearest integer; of two equally near ones that further from zero."""
    whole = np.trunc(value)
    return float(whole + np.sign(value) * (abs(value - whole) >= 0.5))
