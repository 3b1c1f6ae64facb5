"""The poses of 32 people as 18 planes of 256 x 256 each: a new drawing, and one over the drawing of the frame before."""

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
from poses import standing

from posert import ops

PEOPLE, SIDE, RADIUS = 32, 256, 4
_SPAN = np.arange(-RADIUS, RADIUS + 1)
_DISC = np.argwhere(_SPAN[:, None] ** 2 + _SPAN[None] ** 2 <= RADIUS**2) - RADIUS


class Inputs:
    def __init__(self) -> None:
        self.keypoints = standing(PEOPLE)
        self.previous = self.keypoints + np.array([3, -2, 0], np.float32)
        self.expected = ops.rasterize_discs(self.keypoints, (SIDE, SIDE), RADIUS, backend="reference")
        self.out = np.empty_like(self.expected)
        drawn = [self.expected, ops.rasterize_discs(self.previous, (SIDE, SIDE), RADIUS, backend="reference")]
        # Each of two frames erases the discs of the other and draws its own.
        self.touched_bytes = 2 * sum(int((planes > 0).sum()) for planes in drawn) * self.out.itemsize


def posert(data: Inputs) -> None:
    ops.rasterize_discs(data.keypoints, (SIDE, SIDE), RADIUS, out=data.out)


def numpy_loop(data: Inputs) -> None:
    data.out.fill(-1)
    for person, joint in np.ndindex(PEOPLE, 18):
        x, y = data.keypoints[person, joint, :2].astype(int)
        rows, columns = (_DISC + (y, x)).T
        inside = (rows >= 0) & (rows < SIDE) & (columns >= 0) & (columns < SIDE)
        data.out[person, joint, rows[inside], columns[inside]] = 1


def torch_distances(data: Inputs) -> None:
    torch = pytest.importorskip("torch")
    centre = torch.from_numpy(data.keypoints).trunc()
    axis = torch.arange(SIDE)
    squared = (axis[:, None] - centre[..., 1, None, None]) ** 2 + (axis - centre[..., 0, None, None]) ** 2
    high, low = torch.tensor(1.0), torch.tensor(-1.0)
    torch.where(squared <= RADIUS**2, high, low, out=torch.from_numpy(data.out))


def only_write(data: Inputs) -> None:
    data.out.fill(-1)


def memset(data: Inputs) -> None:
    ctypes.memset(data.out.ctypes.data, 0xCD, data.out.nbytes)


PEERS: dict[str, Callable[[Inputs], None]] = {
    "posert": posert,
    "NumPy loop over discs": numpy_loop,
    "torch distances": torch_distances,
    "only write it all (ndarray.fill)": only_write,
    "only write it all (memset)": memset,
}


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return Inputs()


@pytest.mark.parametrize("peer", PEERS)
def test_new_drawing(peer: str, inputs: Inputs, timed):
    inputs.out.fill(np.nan)
    PEERS[peer](inputs)
    if "only write" not in peer:
        np.testing.assert_array_equal(inputs.out, inputs.expected)
    timed("rasterize_discs, new drawing", peer, lambda: PEERS[peer](inputs), inputs.out.nbytes)


def posert_over_previous(data: Inputs) -> None:
    # Two calls, so that each round draws something else than what is there, and ends where it began.
    for now, before in ((data.previous, data.keypoints), (data.keypoints, data.previous)):
        ops.rasterize_discs(now, (SIDE, SIDE), RADIUS, previous=before, out=data.out)


def twice(work: Callable[[Inputs], None]) -> Callable[[Inputs], None]:
    def both(data: Inputs) -> None:
        work(data)
        work(data)

    return both


REUSING: dict[str, Callable[[Inputs], None]] = {
    "posert": posert_over_previous,
    "only write it all (ndarray.fill)": twice(only_write),
    "only write it all (memset)": twice(memset),
}


@pytest.mark.parametrize("peer", REUSING)
def test_reused_buffer(peer: str, inputs: Inputs, timed):
    posert(inputs)
    REUSING[peer](inputs)
    if peer == "posert":
        np.testing.assert_array_equal(inputs.out, inputs.expected)
    bytes_moved = inputs.touched_bytes if peer == "posert" else 2 * inputs.out.nbytes
    timed("rasterize_discs, reused buffer, two frames", peer, lambda: REUSING[peer](inputs), bytes_moved)
