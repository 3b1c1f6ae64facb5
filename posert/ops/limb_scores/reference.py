"""Definition of `limb_scores` in NumPy (specs K13), in float32 so that thresholds fall alike everywhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.ops._check import present
from posert.ops.decode_heatmaps.reference import cubic_weights

Floats = NDArray[np.float32]
LEAST_LENGTH = np.float32(1e-6)
LEAST_SCORE = np.float32(1e-6)


def limb_scores(
    peaks: Floats,
    pafs: Floats,
    limbs: NDArray[np.int32],
    stride: int,
    samples: int | None,
    sample_threshold: float,
    accepted_fraction: float,
    near_score: float,
    length_limit: float | None,
    out: Floats,
) -> None:
    """Write `posert.ops.limb_scores` into `out`, float32 (N, L, M, M); arguments are checked already."""
    height, width = (stride * side for side in pafs.shape[2:])
    near = np.float32(np.sqrt(float(width * height)) / 150)
    threshold, fraction = np.float32(sample_threshold), np.float32(accepted_fraction)
    out[...] = 0
    for item, limb in np.ndindex(out.shape[:2]) if height * width else ():
        first, second = peaks[item, limbs[limb, 0]], peaks[item, limbs[limb, 1]]
        with np.errstate(all="ignore"):  # NaN of missing peaks, and numbers beyond float32
            ax, ay, bx, by = first[:, None, 0], first[:, None, 1], second[None, :, 0], second[None, :, 1]
            dx, dy = bx - ax, by - ay
            length = np.sqrt(dx * dx + dy * dy)
            ux, uy = dx / length, dy / length
            usable = present(first)[:, None] & present(second) & (length > LEAST_LENGTH) & (length < np.inf)
            count, parts = _counts(dx, dy, samples)
            total, accepted = np.zeros_like(length), np.zeros_like(length)
            for k in range(int(np.max(count, where=usable, initial=0))):
                x = _pixel(ax + k * dx / parts, width, usable)
                y = _pixel(ay + k * dy / parts, height, usable)
                component = ux * sample(pafs[item, 2 * limb], x, y, stride) + uy * sample(pafs[item, 2 * limb + 1], x, y, stride)
                good = (k < count) & (component > threshold) & (component < np.inf)
                total += np.where(good, component, np.float32(0))
                accepted += good
            mean = total / np.maximum(accepted, np.float32(1))
            if length_limit is not None:
                mean += np.minimum(np.float32(length_limit) / length - np.float32(1), np.float32(0))
            other = np.where(length < near, np.float32(near_score), np.float32(0))
            score = np.where(accepted / count > fraction, mean, other)
            out[item, limb] = np.where(usable & (score > LEAST_SCORE) & (score < np.inf), score, np.float32(0))


def _counts(dx: Floats, dy: Floats, samples: int | None) -> tuple[Floats, Floats]:
    """Number of samples of each line, and the number of parts into which they divide it."""
    if samples is not None:
        return np.full_like(dx, samples), np.full_like(dx, samples - 1)
    count = np.floor(np.sqrt(np.float32(5) * np.maximum(np.abs(dx), np.abs(dy))) + np.float32(0.5))
    count = np.clip(count, np.float32(5), np.float32(25))
    return count, count


def _pixel(position: Floats, length: int, usable: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The nearest pixel on an axis, halves upwards; 0 for what is not usable."""
    pixel = np.clip(np.floor(position + np.float32(0.5)), np.float32(0), np.float32(length - 1))
    return np.where(usable, pixel, np.float32(0)).astype(np.int64)


def sample(field: Floats, x: NDArray[np.int64], y: NDArray[np.int64], stride: int) -> Floats:
    """Pixels of a map (h, w) enlarged `stride` times, each from its 16 cells: summed along y, then along x, in float32."""
    if stride == 1:
        return field[y, x]
    (columns, across), (rows, down) = (taps(p, s, stride) for p, s in ((x, field.shape[1]), (y, field.shape[0])))
    lines = [_weighted([field[row, column] for row in rows], down) for column in columns]
    return _weighted(lines, across)


def taps(pixel: NDArray[np.int64], length: int, stride: int) -> tuple[list[NDArray[np.int64]], list[Floats]]:
    """The four cells that an enlarged pixel is made of on one axis, and their weights."""
    cell, rest = np.divmod(2 * pixel + 1 - stride, 2 * stride)
    weights = [w.astype(np.float32) for w in cubic_weights(rest / (2 * stride))]
    return [np.clip(cell + tap - 1, 0, length - 1) for tap in range(4)], weights


def _weighted(values: list[Floats], weights: list[Floats]) -> Floats:
    a, b, c, d = (weight * value for weight, value in zip(weights, values, strict=True))
    return np.asarray(((a + b) + c) + d)
