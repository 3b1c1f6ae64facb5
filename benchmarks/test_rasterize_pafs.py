"""Training targets of part affinity fields: 8 images of 46 x 46 cells with 4 people each."""

from collections.abc import Callable

import numpy as np
import pytest
from poses import standing

from posert import ops

IMAGES, PEOPLE, SIZE, STRIDE = 8, 4, (46, 46), 8


def posert(keypoints: np.ndarray, out: np.ndarray) -> None:
    ops.rasterize_pafs(keypoints, SIZE, stride=STRIDE, out=out)


def numpy_boxes(keypoints: np.ndarray, out: np.ndarray) -> None:
    """A loop over the limbs, NumPy in the box of each."""
    out[...] = 0
    for image, people in enumerate(keypoints[..., :2] / STRIDE):
        for limb, (first, second) in enumerate(ops.PAF_LIMBS):
            for points in people:
                a, b = points[first], points[second]
                vector = (b - a) / np.linalg.norm(b - a)
                low = np.maximum(np.floor(np.minimum(a, b) - 1 + 0.5), 0).astype(int)
                high = np.minimum(np.floor(np.maximum(a, b) + 1 + 0.5), SIZE[::-1]).astype(int)
                x, y = np.arange(low[0], high[0]), np.arange(low[1], high[1])[:, None]
                cells = np.abs((x - a[0]) * vector[1] - (y - a[1]) * vector[0]) <= 1
                for axis in (0, 1):
                    out[image, 2 * limb + axis, low[1] : high[1], low[0] : high[0]][cells] = vector[axis]


def numpy_frames(keypoints: np.ndarray, out: np.ndarray) -> None:
    """The same over the whole map, which is what most ports do."""
    out[...] = 0
    x, y = np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0]))
    for image, people in enumerate(keypoints[..., :2] / STRIDE):
        for limb, (first, second) in enumerate(ops.PAF_LIMBS):
            for points in people:
                a, b = points[first], points[second]
                vector = (b - a) / np.linalg.norm(b - a)
                low, high = np.floor(np.minimum(a, b) - 0.5), np.floor(np.maximum(a, b) + 1.5)
                inside = (x >= low[0]) & (x < high[0]) & (y >= low[1]) & (y < high[1])
                cells = inside & (np.abs((x - a[0]) * vector[1] - (y - a[1]) * vector[0]) <= 1)
                out[image, 2 * limb : 2 * limb + 2, cells] = vector


def only_write(keypoints: np.ndarray, out: np.ndarray) -> None:
    out.fill(-1.0)


WRITE = "only write it all (ndarray.fill)"
PEERS: dict[str, Callable[[np.ndarray, np.ndarray], None]] = {
    "posert": posert,
    WRITE: only_write,
    "NumPy in boxes": numpy_boxes,
    "NumPy over the map": numpy_frames,
}


@pytest.mark.parametrize("peer", PEERS)
def test_rasterize_pafs(peer: str, timed):
    keypoints = standing(IMAGES * PEOPLE).reshape(IMAGES, PEOPLE, 18, 3)
    expected = ops.rasterize_pafs(keypoints, SIZE, stride=STRIDE, backend="reference")
    out = np.full_like(expected, 7)
    PEERS[peer](keypoints, out)
    if peer != WRITE:  # in float32 a cell at the very edge may fall either way
        assert np.mean(np.abs(out - expected) > 1e-5) < 1e-4
    timed("rasterize_pafs", peer, lambda: PEERS[peer](keypoints, out), out.nbytes)
