"""Peaks of heatmaps as the part affinity fields' own code finds them (Cao et al., CVPR 2017; specs paf, section 4, cvpr17)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

APART = 6.0
"""Pixels of the enlarged map within which one peak alone is kept."""

_REACH = int(APART)
_BEYOND = np.hypot(*np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1]) > APART


def separate_peaks(
    heatmaps: NDArray[np.float32], threshold: float, *, stride: int = 1, max_peaks: int = 127
) -> NDArray[np.float32]:
    """Find the pixels that are greater than `threshold` and than their four neighbours, no two of them near each other.

    Neighbours outside the frame count as 0. Of peaks at most `APART` pixels from each other the first in row-major order stays.
    Positions are whole pixels: unlike `posert.ops.find_peaks`, nothing is refined.

    Args:
        heatmaps: float32 (N, K, h, w), read as if enlarged `stride` times (bicubic, a = -0.75, half-pixel, edges repeated).
        threshold: smallest value of a peak, exclusive.
        stride: pixels a cell.
        max_peaks: rows of the result; of more peaks the first are kept.

    Returns:
        float32 (N, K, max_peaks, 3): x, y in pixels of the enlarged map and the value there. Rows without a peak are missing:
        (NaN, NaN, 0). A map with a value that is not finite has no peaks.
    """
    out = np.full((*heatmaps.shape[:2], max_peaks, 3), (np.nan, np.nan, 0), np.float32)
    for item, joint in np.ndindex(heatmaps.shape[:2]):
        heatmap = heatmaps[item, joint]
        if heatmap.size == 0 or not np.isfinite(heatmap).all():
            continue
        values = cv2.resize(heatmap, None, fx=stride, fy=stride, interpolation=cv2.INTER_CUBIC)
        around = np.pad(values, 1)
        neighbours = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
        found = (values > threshold) & np.logical_and.reduce([values > neighbour for neighbour in neighbours])
        row = 0
        for y, x in np.argwhere(found):
            if row < max_peaks and found[y, x]:  # none before it took its place
                out[item, joint, row] = (x, y, values[y, x])
                row += 1
                top, left = max(y - _REACH, 0), max(x - _REACH, 0)
                found[top : y + _REACH + 1, left : x + _REACH + 1] &= _BEYOND[top - y + _REACH :, left - x + _REACH :][
                    : found.shape[0] - top, : found.shape[1] - left
                ]
    return out
