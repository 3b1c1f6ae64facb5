"""Where a person's body parts may lie, judged from the joints alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.ops import _check
from posert.ops._dispatch import implementation
from posert.ops.limb_priors.parts import UNSEEN_PARTS


def limb_priors(
    keypoints: ArrayLike,
    size: tuple[int, int],
    *,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]:
    """Log priors of background and body parts: a Gaussian along every limb, on a logarithmic scale.

    Each of the ten parts of `UNSEEN_PARTS` is a Gaussian m around the middle of its limb. Along the limb its variance is
    length^2 / 1.5, at least 5 pixels^2; across it its standard deviation is 11 pixels, 13 for the torso. These 5, 11 and 13
    are for frames 256 pixels high and scale with the height. m is divided by (its largest value in the frame + 1e-6), the
    background is 1 - the largest part, and the result is log(m + 1e-10). A limb of no length counts as horizontal.

    Args:
        keypoints: (N, 14, 3): x, y in pixels, score; CPM-14. A part that lacks a joint gets log(1e-10) everywhere, and the
            background is made without it.
        size: (height, width) of the priors in pixels.
        out: float32 (N, 11, height, width) to write into; its last three dimensions must be packed.
        backend: "native", "reference" or None (the fastest).

    Returns:
        float32 (N, 11, height, width) in [-23.03, 0]: the background, then the parts.

    Raises:
        InputError: wrong shapes, an infinite coordinate.

    Source: specs unseen_poses, K4. Backends agree to 1e-5, and their exponentials to 2e-6.
    """
    points = _check.keypoints(keypoints, 14)
    height, width = _check.size(size)
    out = _check.output(out, (len(points), len(UNSEEN_PARTS) + 1, height, width), np.float32, points)
    implementation("limb_priors", backend, points).limb_priors(points, out)
    return out
