"""Definition of `to_uint8` in NumPy; in float32, because its rounding decides on which side of an integer a value falls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def to_uint8(images: NDArray[np.float32], out: NDArray[np.uint8]) -> None:
    """Write `posert.ops.to_uint8` of float32 (N, 3, H, W) into `out`, uint8 (N, H, W, 3); arguments are checked already."""
    with np.errstate(over="ignore", invalid="ignore"):
        levels = np.clip((images + np.float32(1)) * np.float32(127.5), 0, 255)
    out[...] = np.nan_to_num(levels, nan=0).astype(np.uint8).transpose(0, 2, 3, 1)
