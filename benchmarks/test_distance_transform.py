"""Messages of one joint with 13 mixtures over 8 maps of 42 x 42 cells."""

from collections.abc import Callable

import numpy as np
import pytest

from posert import ops

IMAGES, MIXTURES, SIDE, WEIGHT = 8, 13, 42, 0.03

Result = tuple[np.ndarray, np.ndarray]


def posert(scores: np.ndarray, offsets: np.ndarray) -> Result:
    return ops.distance_transform(scores, (WEIGHT, WEIGHT), offsets)


def numpy_axes(scores: np.ndarray, offsets: np.ndarray) -> Result:
    """Every pair of cells of a line, at once for a map; the same sums in float32."""
    best, location = np.empty_like(scores), np.empty((*scores.shape, 2), np.int32)
    cells = np.arange(SIDE, dtype=np.float32)
    for image, mixture in np.ndindex(scores.shape[:2]):
        cost_x, cost_y = (np.float32(WEIGHT) * (cells - cells[:, None] - shift) ** 2 for shift in offsets[mixture])
        down = scores[image, mixture].T[:, None, :] - cost_y
        row = down.argmax(-1)
        lines = np.take_along_axis(down, row[..., None], -1)[..., 0].T
        across = lines[:, None, :] - cost_x
        column = across.argmax(-1)
        best[image, mixture] = np.take_along_axis(across, column[..., None], -1)[..., 0]
        location[image, mixture] = np.stack([column, row.T[np.arange(SIDE)[:, None], column]], -1)
    return best, location


def python_envelope(scores: np.ndarray, offsets: np.ndarray) -> Result:
    """Linear in the number of cells, as it is published, in plain Python."""
    best, location = np.empty_like(scores), np.empty((*scores.shape, 2), np.int32)
    for image, mixture in np.ndindex(scores.shape[:2]):
        shift_x, shift_y = offsets[mixture].tolist()
        columns = [envelope(line, shift_y) for line in scores[image, mixture].T.tolist()]
        for y in range(SIDE):
            values, places = envelope([column[0][y] for column in columns], shift_x)
            best[image, mixture, y] = values
            location[image, mixture, y] = [(x, columns[x][1][y]) for x in places]
    return best, location


def envelope(values: list[float], shift: float) -> tuple[list[float], list[int]]:
    cells, starts = [0], [-np.inf]
    for q in range(1, len(values)):
        while True:
            p = cells[-1]
            start = (p + q) / 2 + (values[p] - values[q]) / (2 * WEIGHT * (q - p)) - shift
            if start > starts[-1] or len(cells) == 1:
                break
            cells.pop()
            starts.pop()
        cells.append(q)
        starts.append(start)
    best, places, current = [], [], 0
    for p in range(len(values)):
        while current + 1 < len(cells) and starts[current + 1] < p:
            current += 1
        q = cells[current]
        best.append(values[q] - WEIGHT * (q - p - shift) ** 2)
        places.append(q)
    return best, places


def only_read(scores: np.ndarray, offsets: np.ndarray) -> float:
    return float(scores.max())


READ = "only read it all (numpy.max)"
PEERS: dict[str, Callable[[np.ndarray, np.ndarray], object]] = {
    "posert": posert,
    READ: only_read,
    "NumPy, all pairs of a line": numpy_axes,
    "Python, linear": python_envelope,
}


@pytest.mark.parametrize("peer", PEERS)
def test_distance_transform(peer: str, timed):
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 1, (IMAGES, MIXTURES, SIDE, SIDE)).astype(np.float32) ** 8
    offsets = np.round(rng.uniform(-4, 4, (MIXTURES, 2))).astype(np.float32)
    result = PEERS[peer](scores, offsets)
    if isinstance(result, tuple):
        best, location = ops.distance_transform(scores, (WEIGHT, WEIGHT), offsets, backend="reference")
        np.testing.assert_allclose(result[0], best, atol=1e-5)
        assert np.mean(result[1] != location) < (0 if peer == "posert" else 1e-3) + 1e-9  # float32 may find other near ties
    moved = scores.nbytes + (scores.nbytes + 2 * scores.nbytes if peer != READ else 0)
    timed("distance_transform", peer, lambda: PEERS[peer](scores, offsets), moved)
