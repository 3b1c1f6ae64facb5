"""Definition of `part_masks` in NumPy (specs K4, softmax)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.ops.limb_priors.reference import log_priors


def part_masks(logits: NDArray[np.float32], keypoints: NDArray[np.float32], power: int, out: NDArray[np.float32]) -> None:
    """Write `posert.ops.part_masks` into `out`, float32 (N, 11, H, W); arguments are checked already."""
    for scores, points, masks in zip(logits, keypoints, out, strict=True):
        with np.errstate(invalid="ignore"):  # inf - inf
            total = power * (scores + log_priors(points, *out.shape[2:]))
            weights = np.exp(total - total.max(0))
            masks[...] = weights / weights.sum(0)
