"""How each body part moves from one pose to another."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.ops import _check
from posert.ops._dispatch import implementation
from posert.ops.limb_priors.parts import UNSEEN_PARTS


def part_transforms(
    target: ArrayLike,
    source: ArrayLike,
    *,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]:
    """Find the similarity (rotation, scale, shift) that takes each part's target joints to its source joints.

    It is the one of least squares: exact for parts of two joints, a compromise for the torso, which has four. These are the
    transforms that `warp_parts` takes: a warp looks up, for each target pixel, where in the source it comes from.

    Args:
        target: (N, 14, 3): x, y in pixels, score; CPM-14: the pose wanted.
        source: (N, 14, 3): the pose of the picture.
        out: float32 (N, 11, 2, 3) to write into; its last three dimensions must be packed.
        backend: "native", "reference" or None. There is one implementation, in NumPy: it serves all.

    Returns:
        float32 (N, 11, 2, 3): matrices from (x, y, 1) in the target to (x, y) in the source, both in pixels. The first, of the
        background, is the identity, and so is that of a part that lacks a joint in either pose. A part whose target joints
        coincide (sum of squared distances from their middle below 1e-8) is only shifted. What float32 cannot hold becomes its
        greatest number.

    Raises:
        InputError: wrong shapes, different numbers of people, an infinite coordinate.

    Source: specs unseen_poses, K6, in float64.
    """
    wanted, given = _check.keypoints(target, 14, "target"), _check.keypoints(source, 14, "source")
    if len(wanted) != len(given):
        raise InputError(
            f"target and source must hold as many people, got {len(wanted)} and {len(given)}; "
            f"for one source and many targets pass np.broadcast_to(source, target.shape)"
        )
    out = _check.output(out, (len(wanted), len(UNSEEN_PARTS) + 1, 2, 3), np.float32, wanted, given)
    implementation("part_transforms", backend, wanted, given).part_transforms(wanted, given, out)
    return out
