"""Network output to 8-bit pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.ops import _check
from posert.ops._dispatch import implementation


def to_uint8(
    images: NDArray[np.float32], *, out: NDArray[np.uint8] | None = None, backend: str | None = None
) -> NDArray[np.uint8]:
    """Turn pictures in [-1, 1] into 8-bit ones: ``trunc(clip((y + 1) * 127.5, 0, 255))``, evaluated in float32.

    Args:
        images: float32 (N, 3, H, W), nominally in [-1, 1]; what lies outside is clipped, NaN becomes 0.
        out: uint8 (N, H, W, 3) to write into; its last three dimensions must be packed.
        backend: "native", "triton", "reference" or None (the fastest for the inputs).

    Returns:
        uint8 (N, H, W, 3), channels in the order of the input.

    Raises:
        InputError: `images` is not float32 of that shape, or `out` does not fit.

    Source: specs pg2, K-post.
    """
    images = _check.array(images, "images", np.float32, (None, 3, None, None), "(N, 3, H, W)", packed_dims=3)
    count, _, height, width = images.shape
    out = _check.output(out, (count, height, width, 3), np.uint8, images)
    implementation("to_uint8", backend, images).to_uint8(images, out)
    return out
