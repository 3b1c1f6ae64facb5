"""Definition of `decode_heatmaps` in NumPy (specs K16, K10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float64]
Peak = tuple[float, float, float]


def decode_heatmaps(
    heatmaps: NDArray[np.float32],
    method: str,
    stride: int,
    transforms: NDArray[np.float32] | None,
    beta: float,
    window: int,
    out: NDArray[np.float32],
) -> None:
    """Write `posert.ops.decode_heatmaps` into `out`, float32 (N, K, 3); arguments are checked already."""
    for item, joint in np.ndindex(heatmaps.shape[:2]):
        heatmap = heatmaps[item, joint].astype(np.float64)
        out[item, joint] = (np.nan, np.nan, 0)
        if heatmap.size == 0 or not np.isfinite(heatmap).all():
            continue
        x, y, score = _upsampled(heatmap, stride) if method == "upsampled" else _refined(heatmap, method, stride, beta, window)
        if score <= 0:
            continue
        if transforms is not None:
            (a, b, c), (d, e, f) = transforms[item].astype(np.float64)
            x, y = a * x + b * y + c, d * x + e * y + f
        if max(abs(x), abs(y)) <= np.finfo(np.float32).max:
            out[item, joint] = (x, y, min(score, 1.0))


def _refined(heatmap: Map, method: str, stride: int, beta: float, window: int) -> Peak:
    height, width = heatmap.shape
    row, column = (int(i) for i in np.unravel_index(np.argmax(heatmap), heatmap.shape))
    score = float(heatmap[row, column])
    x, y = float(column), float(row)
    if method == "quarter" and 0 < column < width - 1 and 0 < row < height - 1:
        x += 0.25 * np.sign(heatmap[row, column + 1] - heatmap[row, column - 1])
        y += 0.25 * np.sign(heatmap[row + 1, column] - heatmap[row - 1, column])
    if method == "softargmax":
        reach = window // 2
        top, left = max(row - reach, 0), max(column - reach, 0)
        weight = np.exp(beta * (heatmap[top : row + reach + 1, left : column + reach + 1] - score))
        y = float((weight.sum(1) * (top + np.arange(weight.shape[0]))).sum() / weight.sum())
        x = float((weight.sum(0) * (left + np.arange(weight.shape[1]))).sum() / weight.sum())
    middle = (stride - 1) / 2
    return stride * x + middle, stride * y + middle, score


def _upsampled(heatmap: Map, stride: int) -> Peak:
    enlarged = upsample(upsample(heatmap, stride, 1), stride, 0)
    row, column = np.unravel_index(np.argmax(enlarged), enlarged.shape)
    return float(column), float(row), float(enlarged[row, column])


def upsample(values: Map, stride: int, axis: int) -> Map:
    """Enlarge one axis `stride` times: bicubic with a = -0.75, half-pixel centres, edges repeated (specs R-4).

    The taps are summed from left to right, in float64: backends that do the same agree to the last bit, so that ties fall alike.
    """
    length = values.shape[axis]
    position = 2 * np.arange(stride * length) + 1 - stride
    cell, rest = np.divmod(position, 2 * stride)
    weights = cubic_weights(rest / (2 * stride))
    shape = [1] * values.ndim
    shape[axis] = -1
    terms = [w.reshape(shape) * np.take(values, np.clip(cell + tap - 1, 0, length - 1), axis) for tap, w in enumerate(weights)]
    return np.asarray(((terms[0] + terms[1]) + terms[2]) + terms[3])


def cubic_weights(fraction: Map) -> list[Map]:
    """Weights of the taps at -1, 0, 1, 2 for a position `fraction` of a cell beyond tap 0."""
    a = -0.75

    def near(t: Map) -> Map:
        return np.asarray(((a + 2) * t - (a + 3)) * t * t + 1)

    def far(t: Map) -> Map:
        return np.asarray(((a * t - 5 * a) * t + 8 * a) * t - 4 * a)

    return [far(fraction + 1), near(fraction), near(1 - fraction), far(2 - fraction)]
