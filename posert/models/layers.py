"""What the networks have in common: stacks of convolutions, TensorFlow's padding, and the beginnings of VGG networks."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional

VGG19 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512)
"""Widths of VGG-19's convolutions up to conv4_2; 0 is a pooling."""

VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 512, 512, 512)
"""Widths of all of VGG-16's convolutions, without its last two poolings."""


def conv(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size of its maps; the kernel is odd."""
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)


def glorot_conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    """As `conv`, with Glorot-uniform weights and biases of 0, as TensorFlow begins."""
    made = conv(inputs, outputs, kernel)
    nn.init.xavier_uniform_(made.weight)
    nn.init.zeros_(made.bias)  # type: ignore[arg-type]
    return made


class SameDownsample(nn.Conv2d):
    """3 x 3 convolution of stride 2 with TensorFlow's SAME padding on even sizes, Glorot-uniform as `glorot_conv`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Maps of half the height and width."""
        return super().forward(functional.pad(x, (0, 1, 0, 1)))


def relu_stack(*convs: nn.Conv2d) -> nn.Sequential:
    """Convolutions with ReLU after each."""
    return nn.Sequential(*(layer for c in convs for layer in (c, nn.ReLU(inplace=True))))


def caffe_pool(kernel: int) -> nn.MaxPool2d:
    """Caffe's pooling of stride 2, whose last window may lie partly outside."""
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)


def vgg_trunk(widths: Iterable[int]) -> nn.Sequential:
    """3 x 3 convolutions of these widths with ReLU after each; 0 is a 2 x 2 pooling."""
    layers: list[nn.Module] = []
    inputs = 3
    for width in widths:
        layers += relu_stack(conv(inputs, width, 3)) if width else [caffe_pool(2)]
        inputs = width or inputs
    return nn.Sequential(*layers)
