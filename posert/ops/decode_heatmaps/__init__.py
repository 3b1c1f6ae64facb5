"""Heatmaps to keypoints."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.ops import _check
from posert.ops._dispatch import implementation

METHODS = ("argmax", "quarter", "softargmax", "upsampled")


def decode_heatmaps(
    heatmaps: NDArray[np.float32],
    method: str = "quarter",
    *,
    stride: int = 8,
    transforms: ArrayLike | None = None,
    beta: float = 10.0,
    window: int = 7,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]:
    """Find the joint in each heatmap.

    The peak is the first maximum in row-major order; cell g lies at network pixel ``stride * g + (stride - 1) / 2``.

    - ``"argmax"``: the centre of the peak cell.
    - ``"quarter"``: moved a quarter of a cell towards the larger neighbour in x and in y, unless the peak lies on the border.
    - ``"softargmax"``: mean position in the window around the peak, weighted by ``exp(beta * value)``; clipped at the border.
    - ``"upsampled"``: the peak of the map enlarged `stride` times (bicubic, a = -0.75, half-pixel, edges repeated), which is
      never built.

    Args:
        heatmaps: float32 (N, K, h, w). The last two dimensions should be packed, so that ``maps[:, :14]`` needs no copy.
        method: one of the above.
        stride: network pixels a cell, 1..1024.
        transforms: (N, 2, 3) from network pixels to image pixels, as `crop_resize` returns them; None keeps network pixels.
        beta: sharpness of the soft-argmax.
        window: odd side of the soft-argmax window in cells.
        out: float32 (N, K, 3) to write into, packed but for the first dimension.
        backend: "native", "triton", "reference" or None (the fastest for the inputs).

    Returns:
        float32 (N, K, 3): x, y in pixels and the score, the peak's value limited to 1. A peak of 0 or less, a map without
        cells, a map with a value that is not finite, and a transform that takes the peak beyond float32, give (NaN, NaN, 0):
        missing.

    Raises:
        InputError: wrong dtype or shapes, an unknown method, a transform that is not finite.

    Source: specs adversarial_posenet K16, cpm K10 (one scale), R-2, R-4.
    """
    heatmaps = _check.array(heatmaps, "heatmaps", np.float32, (None,) * 4, "(N, K, h, w)", packed_dims=2)
    method = _check.text(method, "method", METHODS)
    stride = _check.integer(stride, "stride", 1, 1024)
    beta = _check.real(beta, "beta", positive=True)
    window = _check.odd(window, "window")
    count, joints, height, width = heatmaps.shape
    if max(height, width) * stride > _check.MAX_SIDE:
        raise InputError(f"heatmaps of {height} x {width} cells with stride {stride} exceed {_check.MAX_SIDE} pixels a side")
    matrices = None if transforms is None else _matrices(transforms, count)
    out = _check.output(out, (count, joints, 3), np.float32, heatmaps, *(() if matrices is None else (matrices,)))
    run = implementation("decode_heatmaps", backend, heatmaps).decode_heatmaps
    run(heatmaps, method, stride, matrices, beta, window, out)
    return out


def _matrices(transforms: ArrayLike, count: int) -> NDArray[np.float32]:
    matrices = _check.numbers(transforms, "transforms", f"({count}, 2, 3)")
    if matrices.shape != (count, 2, 3) or (isinstance(matrices, np.ndarray) and not np.isfinite(matrices).all()):
        raise InputError(f"transforms must be finite and of shape ({count}, 2, 3), one for each item; got {matrices.shape}")
    return matrices
