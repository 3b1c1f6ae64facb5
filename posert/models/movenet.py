"""MoveNet's trunk: MobileNetV2 with a three-level feature pyramid, a pose-trained feature extractor for small estimators.

Rebuilt from the graph published by Google (Apache-2.0) with batch norm folded; MoveNet's own heads are not part of it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from posert.errors import InputError

# Output channels of the 17 inverted residual blocks after the stem's, by variant.
_BLOCKS = {
    "lightning": (32, (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)),
    "thunder": (56, (32, 40, 40, 56, 56, 56, 112, 112, 112, 112, 168, 168, 168, 280, 280, 280, 560)),
}
_STRIDE_TWO = (1, 3, 6, 13)
_TAPS = {16: 9, 8: 5, 4: 2}  # the block whose output feeds the pyramid at each stride
_PYRAMID = {16: 32, 8: 24, 4: 24}  # output channels at each stride
_EXPANSION = 6


class _Conv(nn.Conv2d):
    """3 x 3 convolution that pads as TensorFlow's SAME does on even sizes: at stride 2, bottom and right only."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, depthwise: bool = False, bias: bool = True) -> None:
        padding = 1 if stride == 1 else 0
        super().__init__(inputs, outputs, 3, stride, padding, groups=inputs if depthwise else 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (0, 1, 0, 1)) if self.stride[0] == 2 else x)


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = nn.Conv2d(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = _Conv(inner, inner, stride, depthwise=True)
        self.project = nn.Conv2d(inner, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs and expansion > 1

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else functional.relu6(self.expand(x))
        y = self.project(functional.relu6(self.depthwise(y)))
        return x + y if self.shortcut else y


class _Smooth(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = _Conv(inputs, inputs, depthwise=True, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.pointwise(self.depthwise(x)))


class _Pyramid(nn.Module):
    """Adds coarse levels onto finer ones, top down."""

    def __init__(self, top: int, taps: dict[int, int]) -> None:
        super().__init__()
        # The laterals bring each tap to the channels of the level above it.
        widths = {16: 64, 8: _PYRAMID[16], 4: _PYRAMID[8]}
        self.top = nn.Conv2d(top, 64, 1)
        for stride, channels in taps.items():
            self.add_module(f"lateral{stride}", nn.Conv2d(channels, widths[stride], 1))
            self.add_module(f"smooth{stride}", _Smooth(widths[stride], _PYRAMID[stride]))

    def forward(self, top: Tensor, taps: dict[int, Tensor]) -> dict[int, Tensor]:
        y, levels = self.top(top), {}
        for stride in (16, 8, 4):
            y = functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=False)
            y = self.get_submodule(f"smooth{stride}")(y + self.get_submodule(f"lateral{stride}")(taps[stride]))
            levels[stride] = y
        return levels


class MoveNetTrunk(nn.Module):
    """Features at strides 4, 8 and 16 with 24, 24 and 32 channels.

    Their ranges differ: at strides 8 and 16 the largest values are in the tens, at stride 4 about 2.
    """

    def __init__(self, variant: str = "lightning") -> None:
        super().__init__()
        if variant not in _BLOCKS:
            raise InputError(f"unknown MoveNet trunk {variant!r}; known: {', '.join(_BLOCKS)}")
        stem, widths = _BLOCKS[variant]
        self.stem = _Conv(3, stem, 2)
        inputs = [stem, *widths[:-1]]
        self.blocks = nn.ModuleList(
            _InvertedResidual(a, b, 2 if i in _STRIDE_TWO else 1, _EXPANSION if i else 1)
            for i, (a, b) in enumerate(zip(inputs, widths, strict=True))
        )
        self.top = nn.Conv2d(widths[-1], 1280, 1)
        self.pyramid = _Pyramid(1280, {stride: widths[block] for stride, block in _TAPS.items()})

    def forward(self, image: Tensor) -> dict[int, Tensor]:
        """Return features by stride.

        Args:
            image: (N, 3, H, W), RGB in [-1, 1] (``v / 127.5 - 1``), H and W multiples of 32.
        """
        x = functional.relu6(self.stem(image))
        taps: dict[int, Tensor] = {}
        for i, block in enumerate(self.blocks):
            x = block(x)
            taps |= {stride: x for stride, tap in _TAPS.items() if tap == i}
        return self.pyramid(functional.relu6(self.top(x)), taps)

    def convolutions(self) -> list[nn.Conv2d]:
        """All convolutions in the order they run, the stem first: to freeze the early ones."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d)]


def combine(features: dict[int, Tensor]) -> Tensor:
    """Bring all three levels to stride 8 and comparable ranges: (N, 80, H/8, W/8)."""
    fine = functional.avg_pool2d(features[4], 2)
    coarse = functional.interpolate(features[16], scale_factor=2, mode="bilinear", align_corners=False)
    return torch.cat([fine, 0.1 * features[8], 0.1 * coarse], 1)


COMBINED_CHANNELS = sum(_PYRAMID.values())


class Features(nn.Module):
    """The trunk, its three levels brought to stride 8, and two convolutions: what small models build on."""

    def __init__(self, variant: str, width: int) -> None:
        super().__init__()
        self.trunk = MoveNetTrunk(variant)
        self.adapt = nn.Sequential(
            nn.Conv2d(COMBINED_CHANNELS, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Features at stride 8, (N, width, H/8, W/8), not negative; `image` as in `MoveNetTrunk`."""
        return self.adapt(combine(self.trunk(image)))
