"""The region that a pose's body covers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.ops import _check
from posert.ops._dispatch import implementation

# COCO-18 joints. The last six are no bones: they fill head and torso (specs K2).
PG2_LIMBS: tuple[tuple[int, int], ...] = (
    *((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
    *((1, 16), (1, 17), (8, 11), (11, 5), (8, 2), (16, 17)),
)


def pose_mask(
    keypoints: ArrayLike,
    size: tuple[int, int],
    limbs: Sequence[tuple[int, int]] = PG2_LIMBS,
    radius: int = 4,
    closing: int = 5,
    *,
    out: NDArray[np.uint8] | None = None,
    backend: str | None = None,
) -> NDArray[np.uint8]:
    """Draw the region a body covers: a chain of discs along every limb, then a morphological closing.

    A limb with both joints present gets a disc (see `rasterize_discs`) at both ends and at n - 1 points between them, n =
    trunc(length / radius). A joint without a present partner adds nothing. Of a limb that is longer than 2^40 discs only the
    ends are drawn.

    Args:
        keypoints: (N, K, 3): x, y in pixels, score; COCO-18 (K = 18) for the default limbs.
        size: (height, width) of the mask in pixels.
        limbs: pairs of joint indices.
        radius: integer 1..4096, of the discs, in pixels.
        closing: odd side of the square that closes gaps, in pixels; 1 closes none.
        out: uint8 (N, 1, height, width) to write into; its last three dimensions must be packed.
        backend: "native", "triton", "reference" or None (the fastest).

    Returns:
        uint8 (N, 1, height, width): 1 on the body, 0 elsewhere.

    Raises:
        InputError: wrong shapes, an infinite coordinate, a limb that names no joint, an even closing.

    On a GPU this is one launch up to a closing of 33 pixels; a larger one is five. In a tensor an infinite coordinate counts as
    missing.

    Source: specs pg2, K2. Every backend gives the same bytes.
    """
    points = _check.keypoints(keypoints)
    height, width = _check.size(size)
    radius = _check.integer(radius, "radius", 1, _check.MAX_RADIUS)
    closing = _check.odd(closing, "closing")
    pairs = _check.limbs(limbs, points.shape[1], "the default limbs need COCO-18 keypoints, of shape (N, 18, 3)")
    out = _check.output(out, (len(points), 1, height, width), np.uint8, points, pairs)
    implementation("pose_mask", backend, points).pose_mask(points, pairs, radius, closing, out)
    return out
