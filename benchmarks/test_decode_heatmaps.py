"""32 x 19 heatmaps of 46 x 46 cells to keypoints, by every method."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from posert import ops

PEOPLE, JOINTS, CELLS, STRIDE = 32, 19, 46, 8


@pytest.fixture(scope="module")
def heatmaps() -> np.ndarray:
    """One blob a map, of the size that CPM is trained for, over a little noise."""
    rng = np.random.default_rng(0)
    points = np.ones((PEOPLE, JOINTS, 3), np.float32)
    points[..., :2] = rng.uniform(2 * STRIDE, (CELLS - 2) * STRIDE, (PEOPLE, JOINTS, 2))
    maps = ops.rasterize_gaussians(points, (CELLS, CELLS), 7.0, STRIDE)
    return maps + rng.normal(0, 0.01, maps.shape).astype(np.float32)


def only_read(maps: np.ndarray) -> np.floating[Any]:
    return np.max(maps)


def numpy_argmax(maps: np.ndarray) -> np.ndarray:
    flat = maps.reshape(PEOPLE, JOINTS, -1)
    peak = flat.argmax(-1)
    score = np.take_along_axis(flat, peak[..., None], -1)[..., 0]
    middle = (STRIDE - 1) / 2
    return np.stack([STRIDE * (peak % CELLS) + middle, STRIDE * (peak // CELLS) + middle, np.minimum(score, 1)], -1)


def numpy_quarter(maps: np.ndarray) -> np.ndarray:
    """The loop that pose estimation code bases share: argmax, then a look at the neighbours of each joint."""
    keypoints = numpy_argmax(maps)
    for person, joint in np.ndindex(PEOPLE, JOINTS):
        x, y = (int(c) // STRIDE for c in keypoints[person, joint, :2])
        if 0 < x < CELLS - 1 and 0 < y < CELLS - 1:
            heatmap = maps[person, joint]
            keypoints[person, joint, 0] += 0.25 * STRIDE * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
            keypoints[person, joint, 1] += 0.25 * STRIDE * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
    return keypoints


def torch_argmax(maps: np.ndarray) -> np.ndarray:
    torch = pytest.importorskip("torch")
    score, peak = torch.from_numpy(maps).flatten(2).max(-1)
    middle = (STRIDE - 1) / 2
    return torch.stack([STRIDE * (peak % CELLS) + middle, STRIDE * (peak // CELLS) + middle, score.clamp(max=1)], -1).numpy()


def opencv_upsampled(maps: np.ndarray) -> np.ndarray:
    keypoints = np.empty((PEOPLE, JOINTS, 3), np.float32)
    for person, joint in np.ndindex(PEOPLE, JOINTS):
        enlarged = cv2.resize(maps[person, joint], (CELLS * STRIDE, CELLS * STRIDE), interpolation=cv2.INTER_CUBIC)
        _, score, _, (x, y) = cv2.minMaxLoc(enlarged)
        keypoints[person, joint] = x, y, min(score, 1)
    return keypoints


def torch_upsampled(maps: np.ndarray) -> np.ndarray:
    torch = pytest.importorskip("torch")
    keypoints = np.empty((PEOPLE, JOINTS, 3), np.float32)
    for person in range(PEOPLE):
        enlarged = torch.nn.functional.interpolate(
            torch.from_numpy(maps[person : person + 1]), scale_factor=STRIDE, mode="bicubic"
        )
        score, peak = enlarged[0].flatten(1).max(-1)
        side = CELLS * STRIDE
        keypoints[person] = torch.stack([peak % side, peak // side, score.clamp(max=1)], -1).numpy()
    return keypoints


def torch_softargmax(maps: np.ndarray) -> np.ndarray:
    """The window of posert's method, gathered by unfolding nothing but the windows."""
    torch = pytest.importorskip("torch")
    reach = 3
    padded = torch.nn.functional.pad(torch.from_numpy(maps).flatten(0, 1), [reach] * 4, value=-torch.inf)
    score, peak = torch.from_numpy(maps).flatten(0, 1).flatten(1).max(-1)
    offset = torch.arange(-reach, reach + 1)
    rows = (peak // CELLS)[:, None, None] + reach + offset[:, None]
    columns = (peak % CELLS)[:, None, None] + reach + offset
    weight = torch.exp(10 * (padded[torch.arange(len(peak))[:, None, None], rows, columns] - score[:, None, None]))
    total = weight.sum((1, 2))
    x = (weight * (columns - reach)).sum((1, 2)) / total
    y = (weight * (rows - reach)).sum((1, 2)) / total
    middle = (STRIDE - 1) / 2
    return torch.stack([STRIDE * x + middle, STRIDE * y + middle, score.clamp(max=1)], -1).numpy().reshape(PEOPLE, JOINTS, 3)


READ = "only read it all (numpy.max)"
PEERS: dict[str, dict[str, Callable[[np.ndarray], Any]]] = {
    "argmax": {READ: only_read, "numpy.argmax": numpy_argmax, "torch max": torch_argmax},
    "quarter": {READ: only_read, "numpy.argmax + loop": numpy_quarter},
    "softargmax": {READ: only_read, "torch gather": torch_softargmax},
    "upsampled": {"cv2.resize + cv2.minMaxLoc": opencv_upsampled, "torch interpolate + max": torch_upsampled},
}
CASES = [(method, peer) for method, peers in PEERS.items() for peer in ("posert", *peers)]


@pytest.mark.parametrize(("method", "peer"), CASES)
def test_decode_heatmaps(method: str, peer: str, heatmaps: np.ndarray, timed):
    work = PEERS[method].get(peer) or (lambda maps: ops.decode_heatmaps(maps, method, stride=STRIDE))
    result, expected = work(heatmaps), ops.decode_heatmaps(heatmaps, method, stride=STRIDE, backend="reference")
    if peer != READ:
        different = ~(np.abs(result - expected).max(-1) <= 1e-3)  # NaN, too, is different
        # OpenCV and torch sum in float32: of two nearly equal pixels they may name the other.
        assert different.mean() <= (0.01 if method == "upsampled" and peer != "posert" else 0)
    timed(f"decode_heatmaps, {method}", peer, lambda: work(heatmaps), heatmaps.nbytes)
