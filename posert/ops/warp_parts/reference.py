"""Definition of `warp_parts` in NumPy (specs K7)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def warp_parts(
    image: NDArray[np.float32],
    masks: NDArray[np.float32],
    transforms: NDArray[np.float32],
    visible_above: float,
    out: NDArray[np.float32],
) -> None:
    """Write `posert.ops.warp_parts` into `out`, float32 (N, P, C, H, W); arguments are checked already."""
    for item, part in np.ndindex(out.shape[:2]):
        mask = masks[item, part]
        with np.errstate(over="ignore", invalid="ignore"):
            product = mask * image[item]
            masked = np.where((mask > np.float32(visible_above)) & np.isfinite(product), product, 0)
        out[item, part] = sample(masked.astype(np.float64), transforms[item, part].astype(np.float64))


def sample(planes: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bilinear samples of (C, H, W) at ``matrix @ (x, y, 1)`` for every pixel (x, y), with K7's border: float64 (C, H, W)."""
    height, width = planes.shape[1:]
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    padded = planes
    for axis, side in ((1, height), (2, width)):
        # A single row or column has no second one to show: it is repeated.
        padded = padded.take([min(1, side - 1), *range(side), max(side - 2, 0)], axis)
    (left, right, x), (top, bottom, y) = (
        _taps(m[0] * columns + (m[1] * rows + m[2]), side) for m, side in zip(matrix, (width, height), strict=True)
    )
    upper = padded[:, top, left] * (1 - x) + padded[:, top, right] * x
    lower = padded[:, bottom, left] * (1 - x) + padded[:, bottom, right] * x
    return upper * (1 - y) + lower * y


def _taps(position: NDArray[np.float64], side: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Both taps of the padded axis around a position on the unpadded one, and the weight of the second."""
    position = np.clip(position + 1, 0, side + 1)
    first = np.floor(position).astype(np.int64)
    return first, np.minimum(first + 1, side + 1), position - first
