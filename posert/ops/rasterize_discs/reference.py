"""Definition of `rasterize_discs` in NumPy (specs K1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.ops._check import present


def disc(x: float, y: float, radius: int, height: int, width: int) -> NDArray[np.bool_]:
    """The pixels of a disc around (trunc(x), trunc(y)), bool (height, width); in float64, where far centres cannot overflow."""
    rows, columns = np.arange(height, dtype=np.float64)[:, None], np.arange(width, dtype=np.float64)[None]
    return np.asarray((rows - np.trunc(y)) ** 2 + (columns - np.trunc(x)) ** 2 <= radius**2)


def rasterize_discs(
    keypoints: NDArray[np.float32],
    radius: int,
    low: float,
    high: float,
    previous: NDArray[np.float32] | None,
    out: NDArray[np.float32],
) -> None:
    """Write `posert.ops.rasterize_discs` into `out`, float32 (N, K, height, width); arguments are checked already."""
    height, width = out.shape[2:]
    if previous is None:
        out[...] = low
    else:
        _draw(previous, radius, low, height, width, out)
    _draw(keypoints, radius, high, height, width, out)


def _draw(keypoints: NDArray[np.float32], radius: int, value: float, height: int, width: int, out: NDArray[np.float32]) -> None:
    for item, joint in np.argwhere(present(keypoints)):
        x, y = keypoints[item, joint, :2].astype(np.float64)
        out[item, joint][disc(x, y, radius, height, width)] = value
