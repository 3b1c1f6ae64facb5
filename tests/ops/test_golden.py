"""Golden values of specs R-11, which every backend must reproduce."""

import zlib

import backends
import numpy as np
import pytest

from posert import ops

pytestmark = pytest.mark.parametrize("backend", backends.ALL)

_HEAD_AND_ARMS = [(32, 18), (32, 30), (22, 31), (17, 47), (15, 62), (42, 31), (47.5, 47.5), (49, 62)]
_LEGS_AND_FACE = [(26, 64), (25, 88), (24.9, 112), (38, 64), (39, 88), None, (30, 16), (34, 16), (28, 17), None]
POSE_P = np.array([[(*p, 1) if p else (np.nan, np.nan, 0) for p in _HEAD_AND_ARMS + _LEGS_AND_FACE]], np.float32)


def test_discs(backend: str):
    planes = ops.rasterize_discs(POSE_P, (128, 64), low=0, high=1, backend=backend).astype(np.uint8)
    assert planes.shape == (1, 18, 128, 64)
    assert planes.sum() == 784
    assert zlib.crc32(planes.tobytes()) == 0xA5A5C3E2


def test_pose_mask(backend: str):
    assert ops.pose_mask(POSE_P, (128, 64), closing=1, backend=backend).sum() == 2026
    mask = ops.pose_mask(POSE_P, (128, 64), backend=backend)
    assert mask.sum() == 2320
    assert zlib.crc32(mask.tobytes()) == 0x8C96029F


def test_truncated_gaussian(backend: str):
    target = ops.rasterize_gaussians([[(100.2, 57.9, 1)]], (46, 46), 7.0, stride=8, cutoff=4.6052, backend=backend)[0, 0]
    assert np.count_nonzero(target) == 22
    assert target.sum(dtype=np.float64) == pytest.approx(4.768124, abs=2e-6)
    assert target[7, 12] == target.max() == pytest.approx(0.969357, abs=1e-6)


def test_half_resolution_gaussian(backend: str):
    joint = [[(96, 104, 1)]]
    target = ops.rasterize_gaussians(joint, (128, 128), 3.5, stride=2, offset=0.0, inside_only=True, backend=backend)[0, 0]
    assert target.sum(dtype=np.float64) == pytest.approx(19.242255, abs=2e-6)
    assert target[52, 48] == target.max() == 1
