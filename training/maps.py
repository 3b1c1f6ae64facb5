"""Heatmaps that networks learn to draw at stride 8 (specs K9)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posert import ops

STRIDE = 8
SIGMA = 7.0  # pixels of the network's input
CUTOFF = 4.6052


def heatmaps(keypoints: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A Gaussian for each of the joints (N, K, 3), whose x and y are pixels of a picture of `size`: (N, K, H/8, W/8)."""
    cells = (size[0] // STRIDE, size[1] // STRIDE)
    return ops.rasterize_gaussians(keypoints, cells, SIGMA, stride=STRIDE, cutoff=CUTOFF)


def with_background(maps: NDArray[np.float32]) -> Tensor:
    """Heatmaps (N, K, h, w) and, last, what no joint takes: (N, K + 1, h, w)."""
    joints = torch.from_numpy(maps)
    return torch.cat([joints, (1 - joints.amax(1, keepdim=True)).clamp(min=0)], 1)
