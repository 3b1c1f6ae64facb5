"""Definition of the morphology operations in NumPy (specs K2, step 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.uint8]


def running_extremum(mask: Mask, size: int, pick: np.ufunc, neutral: int) -> Mask:
    """Largest or smallest value in the square of odd side `size` around each pixel of (N, H, W); `neutral` never wins."""
    if mask.size == 0:
        return mask
    result = mask
    for axis in (1, 2):
        # A window beyond the far border sees the whole line, whatever its size.
        reach = min(size // 2, mask.shape[axis])
        margins = [(0, 0)] * 3
        margins[axis] = (reach, reach)
        padded = np.pad(result, margins, constant_values=neutral)
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=axis)
        result = pick.reduce(windows, axis=-1)
    return result


def dilate(mask: Mask, size: int, out: Mask) -> None:
    """Write the dilation of uint8 (N, H, W) into `out`."""
    out[...] = running_extremum(mask, size, np.maximum, 0)


def erode(mask: Mask, size: int, out: Mask) -> None:
    """Write the erosion of uint8 (N, H, W) into `out`."""
    out[...] = running_extremum(mask, size, np.minimum, 255)


def opening(mask: Mask, size: int, out: Mask) -> None:
    """Write the opening of uint8 (N, H, W) into `out`."""
    out[...] = running_extremum(running_extremum(mask, size, np.minimum, 255), size, np.maximum, 0)


def closing(mask: Mask, size: int, out: Mask) -> None:
    """Write the closing of uint8 (N, H, W) into `out`."""
    out[...] = running_extremum(running_extremum(mask, size, np.maximum, 0), size, np.minimum, 255)
