"""A foreground laid over a background."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from posert.ops import _check
from posert.ops._dispatch import implementation


@overload
def composite(
    foreground: NDArray[np.float32],
    background: NDArray[np.float32],
    mask: NDArray[np.float32],
    *,
    as_uint8: Literal[False] = False,
    channels: str = "rgb",
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]: ...


@overload
def composite(
    foreground: NDArray[np.float32],
    background: NDArray[np.float32],
    mask: NDArray[np.float32],
    *,
    as_uint8: Literal[True],
    channels: str = "rgb",
    out: NDArray[np.uint8] | None = None,
    backend: str | None = None,
) -> NDArray[np.uint8]: ...


def composite(
    foreground: NDArray[np.float32],
    background: NDArray[np.float32],
    mask: NDArray[np.float32],
    *,
    as_uint8: bool = False,
    channels: str = "rgb",
    out: NDArray[Any] | None = None,
    backend: str | None = None,
) -> NDArray[Any]:
    """Blend two pictures by a mask: ``mask * foreground + (1 - mask) * background``.

    Every step is rounded to float32, in this order: the difference 1 - mask, the two products, their sum. With `as_uint8`
    the sum then goes through ``trunc(clip((y + 1) * 127.5, 0, 255))`` as in `to_uint8`, NaN becoming 0. So every backend gives
    the same values.

    The items of each input may lie apart or coincide without being copied, as those of ``np.broadcast_to(background, shape)``
    do: one background behind many foregrounds.

    Args:
        foreground: float32 (N, 3, H, W), nominally in [-1, 1].
        background: float32 (N, 3, H, W).
        mask: float32 (N, 1, H, W): 1 shows the foreground, 0 the background.
        as_uint8: give 8-bit pictures.
        channels: order of the inputs' channels. "rgb" keeps it, "bgr" reverses it, so that the result is RGB.
        out: array to write into, as returned; its last three dimensions must be packed.
        backend: "native", "triton", "reference" or None (the fastest for the inputs).

    Returns:
        float32 (N, 3, H, W), or uint8 (N, H, W, 3) with `as_uint8`.

    Raises:
        InputError: wrong shapes or dtypes, other channels.

    Source: specs unseen_poses, K8; pg2, K-post.
    """
    front = _check.array(foreground, "foreground", np.float32, (None, 3, None, None), "(N, 3, H, W)", packed_dims=3)
    count, _, height, width = front.shape
    shape_text = f"(N, 3, H, W) = ({count}, 3, {height}, {width})"
    back = _check.array(background, "background", np.float32, front.shape, shape_text, packed_dims=3)
    weights = _check.array(
        mask, "mask", np.float32, (count, 1, height, width), f"(N, 1, H, W) = ({count}, 1, {height}, {width})", packed_dims=3
    )
    swap = _check.text(channels, "channels", ("rgb", "bgr")) == "bgr"
    shape, dtype = ((count, height, width, 3), np.uint8) if as_uint8 else (front.shape, np.float32)
    out = _check.output(out, shape, dtype, front, back, weights)
    implementation("composite", backend, front, back, weights).composite(front, back, weights, swap, out)
    return out
