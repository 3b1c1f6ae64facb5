"""The generalised distance transform, by which parts of a tree of joints send messages."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.ops import _check
from posert.ops._dispatch import implementation


def distance_transform(
    scores: NDArray[np.float32],
    weights: tuple[float, float],
    offsets: ArrayLike,
    *,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Find for every cell p of a map the best cell q at about `offset` from it, and its score less the cost of the deviation.

    ``best(p) = max over q of scores(q) - wx * (q_x - p_x - o_x)^2 - wy * (q_y - p_y - o_y)^2``, in time linear in the number of
    cells.

    Args:
        scores: float32 (N, C, h, w). -inf marks cells that may not be taken. The last two dimensions should be packed.
        weights: (wx, wy), cost of the square of one cell in x and in y, positive.
        offsets: (C, 2): x, y in cells of where the best is expected from each cell, within +-2^20; fractions are allowed.
        out: float32 (N, C, h, w) to write the best scores into, packed but for the first dimension.
        backend: "native", "reference" or None (the fastest).

    Returns:
        The best scores, float32 (N, C, h, w), and where they are taken from, int32 (N, C, h, w, 2): x, y of q in cells. Of equal
        ones the smallest y in each column, then the smallest x. In a map of -inf alone the best is -inf, taken from (0, 0).

    Raises:
        InputError: wrong dtype or shapes, NaN or +inf among the scores, weights that are not positive, offsets out of range.

    Source: specs structured_features K15. The sums are float64: along y first, then along x.
    """
    scores = _check.array(scores, "scores", np.float32, (None,) * 4, "(N, C, h, w)", 2)
    if scores.size and not scores.max() < np.inf:
        raise InputError("scores hold NaN or +inf; use -inf for cells that may not be taken")
    pair = _check.as_array(weights, "weights", "two numbers, (wx, wy)")
    if pair.shape != (2,):
        raise InputError(f"weights must be two numbers, (wx, wy), got shape {pair.shape}")
    weight_x, weight_y = (_check.real(weight, "a weight", positive=True) for weight in pair.tolist())
    channels, height, width = scores.shape[1:]
    shifts = _check.numbers(offsets, "offsets", f"({channels}, 2)")
    if shifts.shape == (0,):  # an empty list is no offsets
        shifts = shifts.reshape(0, 2)
    if shifts.shape != (channels, 2) or not (np.abs(shifts) <= _check.MAX_SIDE).all():
        raise InputError(
            f"offsets must be numbers within +-{_check.MAX_SIDE} of shape ({channels}, 2): x, y of each channel; "
            f"got shape {shifts.shape}"
        )
    if max(height, width) > _check.MAX_SIDE:
        raise InputError(f"scores of {height} x {width} cells exceed {_check.MAX_SIDE} a side")
    out = _check.output(out, scores.shape, np.float32, scores, shifts)
    location = np.empty((*scores.shape, 2), np.int32)
    run = implementation("distance_transform", backend, scores, shifts).distance_transform
    run(scores, weight_x, weight_y, shifts, out, location)
    return out, location
