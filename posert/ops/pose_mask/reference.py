"""Definition of `pose_mask` in NumPy (specs K2)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from posert.ops._check import present
from posert.ops.morphology.reference import running_extremum
from posert.ops.rasterize_discs.reference import disc

# A limb of more steps than this is a numerical accident: float64 could no longer tell its steps apart.
MAX_STEPS = 2.0**40


def pose_mask(
    keypoints: NDArray[np.float32], limbs: NDArray[np.int32], radius: int, closing: int, out: NDArray[np.uint8]
) -> None:
    """Write `posert.ops.pose_mask` into `out`, uint8 (N, 1, height, width); arguments are checked already."""
    height, width = out.shape[2:]
    there = present(keypoints)
    for item, points in enumerate(keypoints.astype(np.float64)):
        mask = np.zeros((1, height, width), np.uint8)
        for start, end in limbs:
            if there[item, start] and there[item, end]:
                for x, y in limb_chain(points[start, :2], points[end, :2], radius, height, width):
                    mask[0][disc(x, y, radius, height, width)] = 1
        out[item] = running_extremum(running_extremum(mask, closing, np.maximum, 0), closing, np.minimum, 255)


def limb_chain(
    start: NDArray[np.float64], end: NDArray[np.float64], radius: int, height: int, width: int
) -> list[tuple[np.float64, np.float64]]:
    """Disc centres (x, y) along a limb, float64: both ends and the steps between them that can be seen."""
    (x0, y0), (x1, y1) = start, end
    centres = [(x0, y0), (x1, y1)]
    steps = np.trunc(np.sqrt((y1 - y0) ** 2 + (x1 - x0) ** 2) / radius)
    if not 1 < steps <= MAX_STEPS:
        return centres
    first, last = 1, int(steps) - 1
    for origin, delta, side in ((x0, x1 - x0, width), (y0, y1 - y0, height)):
        near, far = -radius - 2.0 - origin, side + radius + 1.0 - origin
        if delta == 0:
            if near > 0 or far < 0:
                return centres
            continue
        bounds = sorted((near * steps / delta, far * steps / delta))
        # Two steps of slack: the bounds are rounded, and what is drawn outside the frame does no harm.
        first = max(first, math.floor(min(max(bounds[0], -1e15), 1e15)) - 2)
        last = min(last, math.ceil(min(max(bounds[1], -1e15), 1e15)) + 2)
    for step in range(first, last + 1):
        centres.append((x0 + ((x1 - x0) * step) / steps, y0 + ((y1 - y0) * step) / steps))
    return centres
