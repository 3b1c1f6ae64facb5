"""Definition of `distance_transform` in NumPy (specs K15): by trying every cell of an axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def distance_transform(
    scores: NDArray[np.float32],
    weight_x: float,
    weight_y: float,
    offsets: NDArray[np.float32],
    best: NDArray[np.float32],
    location: NDArray[np.int32],
) -> None:
    """Write `posert.ops.distance_transform` into `best`, float32 (N, C, h, w), and `location`, int32 (N, C, h, w, 2)."""
    height, width = scores.shape[2:]
    if height * width == 0:
        return
    for item, channel in np.ndindex(scores.shape[:2]):
        x, y = offsets[channel].astype(np.float64)
        down, row = along_last(scores[item, channel].astype(np.float64).T, weight_y, y)  # (w, h)
        across, column = along_last(down.T, weight_x, x)
        best[item, channel] = across
        location[item, channel, :, :, 0] = column
        location[item, channel, :, :, 1] = row.T[np.arange(height)[:, None], column]


def along_last(values: NDArray[np.float64], weight: float, offset: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For every p of the last axis the greatest values[q] - weight (q - p - offset)^2, and the first q that gives it."""
    cells = np.arange(values.shape[-1])
    distance = cells - cells[:, None] - offset  # (p, q)
    found = values[:, None, :] - weight * (distance * distance)
    place = found.argmax(-1)
    return np.take_along_axis(found, place[..., None], -1)[..., 0], place
