"""The loss of Synthesizing Images of Humans in Unseen Poses: distances between VGG-19's features (specs unseen_poses, 4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from posert.errors import InputError
from training.weights import read_weights

FEATURES = "vgg19_conv1_1_to_conv4_4.fp16.safetensors"
STATISTICS = "posewarp_vgg19_activation_mean_std.npz"
_POOLED_BEFORE = (2, 4, 8)  # convolutions that begin a block
TAPS = 12


class Perceptual(nn.Module):
    """Mean over taps of the absolute difference of features, each channel in units of its deviation over pictures."""

    def __init__(self, weights: Path | str, taps: int = TAPS) -> None:
        """Read VGG's weights and the deviations.

        Args:
            weights: folder of the files `FEATURES` and `STATISTICS`.
            taps: how many of the twelve convolutions count, from the first on: fewer are cheaper.

        Raises:
            InputError: a file is missing, or `taps` is not in 1..12.
        """
        super().__init__()
        if not 1 <= taps <= TAPS:
            raise InputError(f"taps must be 1 to {TAPS}, got {taps}")
        for name in (FEATURES, STATISTICS):
            if not (Path(weights) / name).is_file():
                raise InputError(f"{Path(weights) / name} is missing; it is needed for the perceptual loss")
        tensors = read_weights(Path(weights) / FEATURES)
        numbers = sorted(int(key.split(".")[1]) for key in tensors if key.endswith(".weight"))[:taps]
        self.convs = nn.ModuleList()
        with np.load(Path(weights) / STATISTICS) as statistics:
            for tap, number in enumerate(numbers):
                weight, bias = (tensors[f"features.{number}.{part}"].float() for part in ("weight", "bias"))
                conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
                conv.load_state_dict({"weight": weight, "bias": bias})
                self.convs.append(conv)
                deviation = torch.from_numpy(statistics[f"layer{tap}_std"].astype(np.float32))
                self.register_buffer(f"scale{tap}", 1 / (deviation[:, None, None] + 0.1))
        self.register_buffer("mean", torch.tensor([103.939, 116.779, 123.68])[:, None, None])
        self.requires_grad_(False).eval()

    def _features(self, images: Tensor) -> list[Tensor]:
        x = 127.5 * (images.flip(1) + 1) - self.mean
        taps = []
        for i, conv in enumerate(self.convs):
            x = functional.relu(conv(functional.avg_pool2d(x, 2) if i in _POOLED_BEFORE else x))
            taps.append(x)
        return taps

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """The loss, a scalar, of pictures (N, 3, H, W), RGB in [-1, 1]; gradients reach `made`."""
        with torch.no_grad():
            wanted = self._features(real)
        found = self._features(made)
        distances = [
            (_channel_means((a - b).abs()) * getattr(self, f"scale{tap}").flatten()).mean()
            for tap, (a, b) in enumerate(zip(found, wanted, strict=True))
        ]
        return torch.stack(distances).mean()


def _channel_means(x: Tensor) -> Tensor:
    """Mean of each channel of (N, C, H, W), float32; in the memory order of channels-last maps, which a CPU is much faster in."""
    return x.permute(0, 2, 3, 1).flatten(0, 2).mean(0, dtype=torch.float32)
