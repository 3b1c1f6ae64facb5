"""OSNet of width 0.25 (Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019): who is on a picture.

Two pictures of one person have vectors that point in similar directions, whatever the pose. Modules are named as the published
weights name them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from posert.errors import InputError
from training.pixels import TORCHVISION, as_pixels
from training.weights import read_weights

WEIGHTS = "osnet_x0_25_msmt17.safetensors"
SIZE = (256, 128)


class _Conv(nn.Module):
    """Convolution and batch norm, then ReLU unless `linear`."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, *, linear: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.conv(x))
        return x if self.linear else functional.relu(x)


class _LightConv(nn.Module):
    """A 3 x 3 convolution in two: across channels, then each channel by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv2(self.conv1(x))))


class _Gate(nn.Module):
    """Weighs the channels of a map by what the whole map holds; the four scales of a block share one gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(functional.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class _Block(nn.Module):
    """Four scales, of one to four light convolutions, gated and added; a residual block."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 4
        self.conv1 = _Conv(inputs, middle)
        self.conv2a = _LightConv(middle)
        self.conv2b, self.conv2c, self.conv2d = (
            nn.Sequential(*(_LightConv(middle) for _ in range(depth))) for depth in (2, 3, 4)
        )
        self.gate = _Gate(middle)
        self.conv3 = _Conv(middle, outputs, linear=True)
        self.downsample = _Conv(inputs, outputs, linear=True) if inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.conv1(x)
        scales = torch.stack([self.gate(scale(narrow)) for scale in (self.conv2a, self.conv2b, self.conv2c, self.conv2d)])
        return functional.relu(self.conv3(scales.sum(0)) + (x if self.downsample is None else self.downsample(x)))


def _stage(inputs: int, outputs: int, *, halve: bool) -> nn.Sequential:
    ending = [nn.Sequential(_Conv(outputs, outputs), nn.AvgPool2d(2, 2))] if halve else []
    return nn.Sequential(_Block(inputs, outputs), _Block(outputs, outputs), *ending)


class OSNet(nn.Module):
    """The vector (N, 512) of each of N pictures (N, 3, 256, 128), RGB less ImageNet's mean over its deviation."""

    def __init__(self, weights: Path | str | None = None) -> None:
        """Read the file `WEIGHTS` from the folder `weights`, if there is one.

        Raises:
            InputError: the file does not hold the weights of this network.
        """
        super().__init__()
        self.conv1 = _Conv(3, 16, 7, 2)
        self.conv2 = _stage(16, 64, halve=True)
        self.conv3 = _stage(64, 96, halve=True)
        self.conv4 = _stage(96, 128, halve=False)
        self.conv5 = _Conv(128, 128)
        self.fc = nn.Sequential(nn.Linear(128, 512), nn.BatchNorm1d(512), nn.ReLU())
        if weights is not None:
            path = Path(weights) / WEIGHTS
            state = {name: value for name, value in read_weights(path).items() if not name.startswith("classifier.")}
            try:
                self.load_state_dict(state)
            except RuntimeError as error:
                raise InputError(f"{path} does not hold the weights of OSNet x0.25: {error}") from error
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return the vectors."""
        x = functional.max_pool2d(self.conv1(x), 3, 2, 1)
        return self.fc(self.conv5(self.conv4(self.conv3(self.conv2(x)))).mean((2, 3)))

    @torch.no_grad()
    def directions(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Unit vectors (N, 512) of pictures, uint8 (N, H, W, 3), RGB, of any size: the product of two is their similarity."""
        device = self.conv1.conv.weight.device
        x = torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float()
        x = functional.interpolate(x, SIZE, mode="bilinear", align_corners=False)
        return functional.normalize(self(as_pixels(x, TORCHVISION))).cpu().numpy()
