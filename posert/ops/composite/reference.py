"""Definition of `composite` in NumPy (specs K8); in float32, because its rounding decides on 8-bit levels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.ops.to_uint8.reference import to_uint8


def composite(
    foreground: NDArray[np.float32],
    background: NDArray[np.float32],
    mask: NDArray[np.float32],
    swap: bool,
    out: NDArray[Any],
) -> None:
    """Write `posert.ops.composite` into `out`, float32 (N, 3, H, W) or uint8 (N, H, W, 3); arguments are checked already."""
    with np.errstate(over="ignore", invalid="ignore"):
        blend = mask * foreground + (np.float32(1) - mask) * background
    if swap:
        blend = blend[:, ::-1]
    if out.dtype == np.uint8:
        to_uint8(blend, out)
    else:
        out[...] = blend
