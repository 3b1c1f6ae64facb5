"""Triton's masks where their ways part: words of 32 and 64 rows, tiles and lines, margins, values that only tensors bring."""

from collections.abc import Callable

import backends
import numpy as np
import pytest

from posert import ops
from posert.ops import _tensors

torch = pytest.importorskip("torch", reason="tensors are torch's; pip install posert[gpu]")

pytestmark = [] if backends.INTERPRETED else [pytest.mark.gpu]

LIMBS = [(0, 1), (2, 3), (1, 2)]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    if backends.INTERPRETED:
        monkeypatch.setattr(_tensors, "CUDA_DEVICES", (1,))  # DLPack's number for the CPU
    return "cpu" if backends.INTERPRETED else "cuda"


def poses(people: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height * width)
    points = rng.uniform(-0.2, 1.2, (people, 4, 3)).astype(np.float32)
    points[..., 0] *= width
    points[..., 1] *= height
    points[..., 2] = 1
    return points


@pytest.mark.parametrize("closing", [1, 9, 11, 33, 35, 2001])
@pytest.mark.parametrize("size", [(24, 33), (33, 16), (65, 300)], ids=str)
def test_closings_of_every_kind(size: tuple[int, int], closing: int):
    points = poses(2, *size)
    given, wanted = (ops.pose_mask(points, size, LIMBS, 3, closing, backend=backend) for backend in ("triton", "reference"))
    np.testing.assert_array_equal(given, wanted)
    assert 0 < wanted.mean() <= 1


@pytest.mark.parametrize("radius", [1, 2, 5, 64, 4095, 4096])
def test_edges_of_discs_are_exact(radius: int):
    """The rim of the disc passes through the frame, far from its centre."""
    points = np.array(
        [[(20.7 - radius, 15.2, 1), (20.7 - radius, 15.2, 1)], [(12, radius + 3, 1), (12, radius + 3, 1)]], np.float32
    )
    given, wanted = (ops.pose_mask(points, (40, 45), [(0, 1)], radius, 1, backend=backend) for backend in ("triton", "reference"))
    np.testing.assert_array_equal(given, wanted)


def test_limbs_from_far_away_and_more_limbs_than_lanes():
    far = np.array(
        [
            [(-1e9, 20, 1), (1e9, 21, 1), (10, 1e38, 1), (12, -1e38, 1)],
            [(3e38, 3e38, 1), (-3e38, -3e38, 1), (-5e5, -5e5, 1), (5e5, 5e5 + 9, 1)],
            [(5, -30000, 1), (5, 60000, 1), (1e-40, 3, 1), (-1e-40, 30, 1)],
            [(4e12, 7, 1), (-4e12, 7, 1), (33.5, 33.5, 1), (33.5, 33.5, 1)],
        ],
        np.float32,
    )
    limbs = [(a, b) for a in range(4) for b in range(4)] * 5
    given, wanted = (ops.pose_mask(far, (41, 37), limbs, 2, 5, backend=backend) for backend in ("triton", "reference"))
    np.testing.assert_array_equal(given, wanted)


def test_infinite_keypoints_of_a_tensor_are_missing(device: str):
    points = poses(3, 40, 30)
    points[0, 0, 0], points[1, 2, 1], points[2, 1, 2] = np.inf, -np.inf, np.nan
    missing = np.where(np.isfinite(points).all(-1, keepdims=True), points, np.nan)
    given = ops.pose_mask(torch.from_numpy(points).to(device), (40, 30), LIMBS)
    np.testing.assert_array_equal(given.cpu().numpy(), ops.pose_mask(missing, (40, 30), LIMBS, backend="reference"))


@pytest.mark.parametrize("size", [5, 17, 19, 35, 151])
@pytest.mark.parametrize("operation", [ops.dilate, ops.erode, ops.opening, ops.closing])
def test_morphology_of_every_size_also_in_place(operation: Callable[..., np.ndarray], size: int, device: str):
    rng = np.random.default_rng(size)
    mask = rng.integers(0, 256, (1, 67, 70), np.uint8)
    wanted = operation(mask, size, backend="reference")
    tensor = torch.from_numpy(mask).to(device)
    assert torch.equal(operation(tensor, size).cpu(), torch.from_numpy(wanted))
    assert operation(tensor, size, out=tensor).data_ptr() == tensor.data_ptr()
    assert torch.equal(tensor.cpu(), torch.from_numpy(wanted))
