"""Training targets (K9, 46 x 46 cells, truncated) and whole Gaussians (256 x 256) of 32 people with 18 joints."""

from collections.abc import Callable

import numpy as np
import pytest
from poses import standing

from posert import ops

PEOPLE = 32
SETTINGS = {
    "rasterize_gaussians, 46x46 truncated": {"size": (46, 46), "sigma": 7.0, "stride": 8, "cutoff": 4.6052},
    "rasterize_gaussians, 256x256": {"size": (256, 256), "sigma": 7.0, "stride": 1, "cutoff": None},
}


def posert(keypoints: np.ndarray, out: np.ndarray, **setting) -> None:
    ops.rasterize_gaussians(keypoints, out=out, **setting)


def numpy_loop(keypoints: np.ndarray, out: np.ndarray, size, sigma, stride, cutoff) -> None:
    rows, columns = (stride * np.arange(side, dtype=np.float32) + (stride - 1) / 2 for side in size)
    for person, joint in np.ndindex(keypoints.shape[:2]):
        x, y, _ = keypoints[person, joint]
        exponent = ((columns[None] - x) ** 2 + (rows[:, None] - y) ** 2) / (2 * sigma**2)
        value = np.exp(-exponent)
        if cutoff is not None:
            value[exponent > cutoff] = 0
        out[person, joint] = value


def torch_separable(keypoints: np.ndarray, out: np.ndarray, size, sigma, stride, cutoff) -> None:
    torch = pytest.importorskip("torch")
    points = torch.from_numpy(keypoints)
    rows, columns = (stride * torch.arange(side) + (stride - 1) / 2 for side in size)
    across = torch.exp(-((columns - points[..., 0, None]) ** 2) / (2 * sigma**2))
    down = torch.exp(-((rows - points[..., 1, None]) ** 2) / (2 * sigma**2))
    value = torch.mul(down[..., :, None], across[..., None, :], out=torch.from_numpy(out))
    if cutoff is not None:
        value[value < float(np.exp(-cutoff))] = 0


PEERS: dict[str, Callable[..., None]] = {"posert": posert, "NumPy loop": numpy_loop, "torch separable": torch_separable}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("group", SETTINGS)
def test_rasterize_gaussians(group: str, peer: str, timed):
    setting, keypoints = SETTINGS[group], standing(PEOPLE)
    expected = ops.rasterize_gaussians(keypoints, backend="reference", **setting)
    out = np.empty_like(expected)
    PEERS[peer](keypoints, out, **setting)
    np.testing.assert_allclose(out, expected, atol=2e-6 if setting["cutoff"] is None else 0.0101)
    assert np.mean(np.abs(out - expected) > 2e-6) < 1e-4  # cells at the very cutoff may fall either way
    timed(group, peer, lambda: PEERS[peer](keypoints, out, **setting), out.nbytes)
