"""Keypoints as solid discs, one plane a joint."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.ops import _check
from posert.ops._dispatch import implementation


def rasterize_discs(
    keypoints: ArrayLike,
    size: tuple[int, int],
    radius: int = 4,
    low: float = -1.0,
    high: float = 1.0,
    *,
    previous: ArrayLike | None = None,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]:
    """Draw each keypoint as a solid disc in a plane of its own.

    Plane k is `high` at the pixels (r + i, c + j) with i^2 + j^2 <= radius^2, where c = trunc(x) and r = trunc(y), and `low`
    elsewhere. A disc whose centre is outside is still drawn where it reaches into the frame; a missing keypoint gives a plane
    of `low`.

    Args:
        keypoints: (N, K, 3): x, y in pixels of the plane, score.
        size: (height, width) of the planes in pixels.
        radius: integer 0..4096, in pixels.
        low: value outside the discs.
        high: value inside the discs.
        previous: (N, K, 3): the keypoints whose discs `out` holds now, drawn with the same radius, low and high. Only those are
            then erased, which saves writing the whole of `out`; anything else that `out` holds stays.
        out: float32 (N, K, height, width) to write into; its last three dimensions must be packed, as in ``buffer[:, 3:]``.
        backend: "native", "reference" or None (the fastest).

    Returns:
        float32 (N, K, height, width).

    Raises:
        InputError: wrong shapes, an infinite coordinate, a radius out of range, `previous` without `out`.

    Source: specs pg2, K1. Every backend gives the same bytes.
    """
    points = _check.keypoints(keypoints)
    height, width = _check.size(size)
    radius = _check.integer(radius, "radius", 0, _check.MAX_RADIUS)
    low, high = _check.real(low, "low"), _check.real(high, "high")
    before = None
    if previous is not None:
        if out is None:
            raise InputError(
                "previous says what out holds already, so it needs out: the array that holds the drawing of previous"
            )
        before = _check.keypoints(previous, name="previous")
        if before.shape != points.shape:
            raise InputError(f"previous must have the shape of keypoints, {points.shape}, got {before.shape}")
    inputs = (points,) if before is None else (points, before)
    out = _check.output(out, (*points.shape[:2], height, width), np.float32, *inputs)
    implementation("rasterize_discs", backend, points).rasterize_discs(points, radius, low, high, before, out)
    return out
