"""Which part of the body, or the background, each pixel shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.ops import _check
from posert.ops._dispatch import implementation
from posert.ops.limb_priors.parts import UNSEEN_PARTS


def part_masks(
    logits: NDArray[np.float32],
    keypoints: ArrayLike,
    *,
    power: int = 1,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]:
    """Add the limb priors to a network's logits and take the softmax: ``softmax(logits + limb_priors(keypoints), axis=1)``.

    The priors are never held in memory. A pixel with a logit of NaN or +inf is NaN in all channels; -inf excludes its
    channel there. Shares to a power, normalised again, are surer: ``softmax(power * (logits + priors))``.

    Args:
        logits: float32 (N, 11, H, W): the background, then the parts of `UNSEEN_PARTS`; what the network adds to the priors.
        keypoints: (N, 14, 3): x, y in pixels of the frame, score; CPM-14. For missing joints see `limb_priors`.
        power: 1 to 16.
        out: float32 (N, 11, H, W) to write into; its last three dimensions must be packed.
        backend: "native", "reference" or None (the fastest).

    Returns:
        float32 (N, 11, H, W) in [0, 1], of sum 1 over the channels.

    Raises:
        InputError: wrong shapes or dtypes, an infinite coordinate, a power out of range.

    Source: specs unseen_poses, K4 and the flow of section 3. Backends agree to 2e-6 times the power.
    """
    exponent = _check.integer(power, "power", 1, 16)
    points = _check.keypoints(keypoints, 14)
    planes = _check.array(
        logits,
        "logits",
        np.float32,
        (len(points), len(UNSEEN_PARTS) + 1, None, None),
        f"(N = {len(points)}, 11, H, W)",
        packed_dims=3,
    )
    if 0 in planes.shape[2:]:
        raise InputError(f"logits hold no pixels: shape {planes.shape}")
    out = _check.output(out, planes.shape, np.float32, planes, points)
    implementation("part_masks", backend, planes, points).part_masks(planes, points, exponent, out)
    return out
