"""Keypoints as Gaussian maps: training targets, centre maps and pose inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.ops import _check
from posert.ops._dispatch import implementation


def rasterize_gaussians(
    keypoints: ArrayLike,
    size: tuple[int, int],
    sigma: float,
    stride: int = 1,
    cutoff: float | None = None,
    *,
    offset: float | None = None,
    inside_only: bool = False,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]:
    """Draw each keypoint as a Gaussian of peak 1 in a map of its own: ``exp(-d^2 / (2 sigma^2))``.

    d is the distance in image pixels between the keypoint and the centre of a map cell; cell g lies at ``stride * g + offset``.

    - CPM targets (K9): ``rasterize_gaussians(keypoints, (46, 46), 7.0, stride=8, cutoff=4.6052)``
    - pose maps of the unseen-poses network at half resolution (K3):
      ``rasterize_gaussians(keypoints, (128, 128), 3.5, stride=2, offset=0.0, inside_only=True)``

    Args:
        keypoints: (N, K, 3): x, y in image pixels, score. A missing one gives a map of zeros.
        size: (height, width) of the MAP in cells.
        sigma: standard deviation in image pixels.
        stride: image pixels a cell.
        cutoff: cells whose exponent d^2 / (2 sigma^2) exceeds it are 0; None keeps the whole tail.
        offset: image coordinate of the centre of cell 0, in x and y; None means (stride - 1) / 2, the middle of the cell's
            pixels.
        inside_only: give a map of zeros also to a keypoint on or beyond the outermost cell centres (x <= offset, x >= offset +
            stride * (width - 1), likewise y), as K3 asks.
        out: float32 (N, K, height, width) to write into; its last three dimensions must be packed.
        backend: "native", "reference" or None (the fastest).

    Returns:
        float32 (N, K, height, width) in [0, 1].

    Raises:
        InputError: wrong shapes, an infinite coordinate, a sigma or stride that is not positive, a cutoff of 0 or
            less.

    Source: specs cpm K9, unseen_poses K3.
    """
    points = _check.keypoints(keypoints)
    height, width = _check.size(size)
    sigma = _check.real(sigma, "sigma", positive=True)
    stride = _check.integer(stride, "stride", 1, _check.MAX_SIDE)
    limit = None if cutoff is None else _check.real(cutoff, "cutoff", positive=True)
    shift = (stride - 1) / 2 if offset is None else _check.real(offset, "offset")
    out = _check.output(out, (*points.shape[:2], height, width), np.float32, points)
    run = implementation("rasterize_gaussians", backend, points).rasterize_gaussians
    run(points, sigma, stride, shift, limit, bool(inside_only), out)
    return out
