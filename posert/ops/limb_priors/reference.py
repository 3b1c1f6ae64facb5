"""Definition of `limb_priors` in NumPy (specs K4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.ops._check import present
from posert.ops.limb_priors.parts import UNSEEN_PARTS

# The height for which the constants below were published.
HEIGHT = 256
LEAST_VARIANCE_ALONG = 5.0
DEVIATION_ACROSS = 11.0
TORSO_DEVIATION_ACROSS = 13.0

Line = tuple[np.float64, np.float64, np.float64]


def limb_priors(keypoints: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write `posert.ops.limb_priors` into `out`, float32 (N, 11, height, width); arguments are checked already."""
    for points, planes in zip(keypoints, out, strict=True):
        planes[...] = log_priors(points, *out.shape[2:])


def log_priors(points: NDArray[np.float32], height: int, width: int) -> NDArray[np.float64]:
    """Log priors of one person with keypoints (14, 3): float64 (11, height, width), background first."""
    there = present(points)
    priors = np.zeros((len(UNSEEN_PARTS) + 1, height, width))
    for index, joints in enumerate(UNSEEN_PARTS, start=1):
        if there[list(joints)].all():
            mask = np.exp(-exponents(points[list(joints), :2].astype(np.float64), height, width))
            priors[index] = mask / (mask.max() + 1e-6)
    priors[0] = 1 - priors[1:].max(0)
    return np.log(priors + 1e-10)


def exponents(joints: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """Half the squared distance from a part's middle in standard deviations: float64 (height, width)."""
    along, across = axes(joints, height)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    lengthwise, crosswise = (x * columns + (y * rows + origin) for x, y, origin in (along, across))
    result: NDArray[np.float64] = lengthwise**2 + crosswise**2
    return result


def axes(joints: NDArray[np.float64], height: int) -> tuple[Line, Line]:
    """A part's own coordinates, along and across it, as factors of (x, y, 1).

    Both are 0 in the middle of the part and 1 at sqrt(2) standard deviations from there.

    Args:
        joints: (2, 2) or, for the torso, (4, 2): x, y.
        height: of the frame.
    """
    half = len(joints) // 2
    start, end = joints[:half].sum(0) / half, joints[half:].sum(0) / half
    centre = (start + end) / 2
    x, y = end - start
    squared = x * x + y * y
    length = np.sqrt(squared)
    x, y = (x / length, y / length) if length > 0 else (np.float64(1), np.float64(0))
    scale = height / HEIGHT
    deviation = scale * (DEVIATION_ACROSS if half == 1 else TORSO_DEVIATION_ACROSS)
    variance = max(LEAST_VARIANCE_ALONG * scale * scale, squared / 1.5)
    # The origins are computed once: far from the frame they are rounded coarsely, but alike in every backend.
    return _line(x, y, centre, np.sqrt(2 * variance)), _line(-y, x, centre, np.sqrt(2 * deviation * deviation))


def _line(x: np.float64, y: np.float64, centre: NDArray[np.float64], unit: np.float64) -> Line:
    x, y = x / unit, y / unit
    return x, y, -(x * centre[0] + y * centre[1])
