"""LPIPS with AlexNet features (Zhang et al., CVPR 2018), version 0.1: a perceptual distance between pictures.

Both weight files are safetensors: AlexNet's convolutions under torchvision's key names, and the five linear layers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.weights import read_weights

FEATURES = "alexnet_features.fp16.safetensors"
LINEAR = "lpips_v0.1_alex.safetensors"


class LPIPS(nn.Module):
    """Distance (N,) between two batches (N, 3, H, W), RGB in [-1, 1]."""

    def __init__(self, weights: Path | str) -> None:
        """Read the two files `FEATURES` and `LINEAR` from the folder `weights`."""
        super().__init__()
        features = read_weights(Path(weights) / FEATURES)
        linear = read_weights(Path(weights) / LINEAR)
        self.convs = nn.ModuleList(
            [nn.Conv2d(3, 64, 11, 4, 2), nn.Conv2d(64, 192, 5, padding=2), nn.Conv2d(192, 384, 3, padding=1)]
            + [nn.Conv2d(384, 256, 3, padding=1), nn.Conv2d(256, 256, 3, padding=1)]
        )
        prefixes = sorted({key.rsplit(".", 1)[0] for key in features}, key=lambda k: int(k.rsplit(".", 1)[-1]))
        for conv, prefix in zip(self.convs, prefixes, strict=True):
            conv.load_state_dict({name: features[f"{prefix}.{name}"].float() for name in ("weight", "bias")})
        for i, key in enumerate(sorted(linear)):
            self.register_buffer(f"linear{i}", linear[key].float().reshape(1, -1, 1, 1))
        self.register_buffer("mean", torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def _features(self, x: Tensor) -> list[Tensor]:
        x = (x - self.mean) / self.std
        taps = []
        for i, conv in enumerate(self.convs):
            if i in (1, 2):
                x = functional.max_pool2d(x, 3, 2)
            x = functional.relu(conv(x))
            taps.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
        return taps

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the distance of each pair."""
        taps = zip(self._features(first), self._features(second), strict=True)
        return torch.stack(
            [((a - b) ** 2 * getattr(self, f"linear{i}")).sum(1).mean((1, 2)) for i, (a, b) in enumerate(taps)]
        ).sum(0)

    @torch.no_grad()
    def distances(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Distance of each pair of two uint8 batches (N, H, W, 3), RGB: float32 (N,)."""
        device = self.mean.device
        tensors = [torch.from_numpy(x).permute(0, 3, 1, 2).float() / 127.5 - 1 for x in (first, second)]
        pairs = zip(tensors[0].split(64), tensors[1].split(64), strict=True)
        found: NDArray[np.float32] = torch.cat([self(a.to(device), b.to(device)).cpu() for a, b in pairs]).numpy()
        return found

    def mean_distance(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
        """Mean distance of two uint8 batches (N, H, W, 3), RGB."""
        return float(self.distances(first, second).mean())
