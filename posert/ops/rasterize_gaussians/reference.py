"""Definition of `rasterize_gaussians` in NumPy (specs K9, K3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.ops._check import present


def rasterize_gaussians(
    keypoints: NDArray[np.float32],
    sigma: float,
    stride: int,
    offset: float,
    cutoff: float | None,
    inside_only: bool,
    out: NDArray[np.float32],
) -> None:
    """Write `posert.ops.rasterize_gaussians` into `out`, float32 (N, K, height, width); arguments are checked already."""
    height, width = out.shape[2:]
    columns = stride * np.arange(width, dtype=np.float64) + offset
    rows = stride * np.arange(height, dtype=np.float64) + offset
    out[...] = 0
    for item, joint in np.argwhere(present(keypoints)):
        x, y = keypoints[item, joint, :2].astype(np.float64)
        if inside_only and not (columns[0] < x < columns[-1] and rows[0] < y < rows[-1]):
            continue
        exponent = ((columns[None] - x) ** 2 + (rows[:, None] - y) ** 2) / (2 * sigma**2)
        value = np.exp(-exponent)
        if cutoff is not None:
            value[exponent > cutoff] = 0
        out[item, joint] = value
