"""Scores of generated pictures, as defined in specs R-7; those of joints are in `posert.evaluation`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from posert.errors import InputError


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Mean structural similarity of picture pairs; see `ssim_of_each`."""
    return float(np.mean(ssim_of_each(first, second)))


def ssim_of_each(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Structural similarity of each pair: uniform 7 x 7 window, per channel, unbiased covariance (specs R-7, K17).

    Args:
        first: uint8 (N, H, W, 3), at least 7 pixels a side.
        second: the same.

    Returns:
        float64 (N,).

    Raises:
        InputError: the batches differ in shape, or are not uint8.
    """
    if first.shape != second.shape or first.dtype != np.uint8 or second.dtype != np.uint8:
        raise InputError(
            f"SSIM needs two uint8 batches of one shape, got {first.dtype} {first.shape} and {second.dtype} {second.shape}"
        )
    pairs = zip(first, second, strict=True)
    return np.array([structural_similarity(a, b, data_range=255, channel_axis=-1) for a, b in pairs], np.float64)


def mask_ssim(first: NDArray[np.uint8], second: NDArray[np.uint8], mask: NDArray[np.uint8]) -> float:
    """SSIM over whole frames after both pictures were multiplied by a {0, 1} mask (N, H, W) (specs R-7).

    What is black in both counts as equal.
    """
    return ssim(first * mask[..., None], second * mask[..., None])
