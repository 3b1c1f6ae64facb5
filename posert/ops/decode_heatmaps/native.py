"""C++ implementation of `decode_heatmaps`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert import _native


def decode_heatmaps(
    heatmaps: NDArray[np.float32],
    method: str,
    stride: int,
    transforms: NDArray[np.float32] | None,
    beta: float,
    window: int,
    out: NDArray[np.float32],
) -> None:
    """Write `posert.ops.decode_heatmaps` into `out`, float32 (N, K, 3); arguments are checked already."""
    _native.decode_heatmaps(heatmaps, getattr(_native.Decode, method.upper()), stride, transforms, beta, window, out)
