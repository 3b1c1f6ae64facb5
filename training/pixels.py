"""From pictures to what networks take, and weights that were trained on other pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from posert.errors import InputError
from training.weights import read_weights


@dataclass(frozen=True)
class Pixels:
    """What a network takes for a picture's values v in 0..255: ``scale * v + offset``, channel by channel.

    Attributes:
        bgr: whether blue comes first.
        scale: one number, or one a channel in the network's order.
        offset: likewise.
    """

    bgr: bool
    scale: tuple[float, ...]
    offset: tuple[float, ...]


SIGNED = Pixels(False, (1 / 127.5,), (-1.0,))
"""RGB in [-1, 1]: networks on MoveNet's trunk."""
CENTRED = Pixels(True, (1 / 256,), (-0.5,))
"""BGR in [-0.5, 0.5): pose machines and part affinity fields on VGG (specs cpm and paf)."""
SHIFTED = Pixels(True, (1.0,), (-128.0,))
"""BGR in -128..127: structured features on VGG (specs structured_features)."""
UNIT = Pixels(False, (1 / 255,), (0.0,))
"""RGB in [0, 1]: Adversarial PoseNet's hourglasses (specs adversarial_posenet)."""
CAFFE = Pixels(True, (1.0,), (-103.939, -116.779, -123.68))
"""BGR less ImageNet's mean: VGG's original weights."""
TORCHVISION = Pixels(False, tuple(1 / (255 * s) for s in (0.229, 0.224, 0.225)), (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225))
"""RGB, ImageNet's mean and deviation: torchvision's weights."""
PUBLISHED = {"caffe": CAFFE, "torchvision": TORCHVISION}


def normalise(images: NDArray[np.uint8], pixels: Pixels = SIGNED, device: torch.device | str = "cpu") -> Tensor:
    """uint8 RGB (N, H, W, 3) to float32 (N, 3, H, W) on a device, channels last in memory; bytes travel there."""
    return as_pixels(torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float(), pixels)


def as_pixels(images: Tensor, pixels: Pixels) -> Tensor:
    """RGB values in 0..255, (N, 3, H, W), as a network takes them."""
    scale, offset = (torch.tensor(values, device=images.device)[:, None, None] for values in (pixels.scale, pixels.offset))
    return (images.flip(1) if pixels.bgr else images) * scale + offset


def load_vgg(trunk: nn.Module, path: Path, published: Pixels, taken: Pixels) -> None:
    """Fill the beginning of a VGG network from published weights.

    The weights are changed so that the features for the pixels that the network takes are those for the pixels that they were
    trained on, times the ratio of the two scales: networks that take small numbers are made for small features. At the picture's
    rim, where convolutions see zeros, the two differ.

    Args:
        trunk: 3 x 3 convolutions; as many are filled as fit.
        path: weights (safetensors) named as torchvision names them, ``features.0.weight`` and so on.
        published: the pixels that they were trained on.
        taken: the pixels that the network takes.

    Raises:
        InputError: the weights, or the network, are not VGG's.
    """
    tensors = read_weights(path)
    numbers = sorted(int(name.split(".")[1]) for name in tensors if name.startswith("features.") and name.endswith(".weight"))
    convs = [module for module in trunk.children() if isinstance(module, nn.Conv2d)]
    if not convs or convs[0].weight.shape[2:] != (3, 3):
        raise InputError(f"{path}: weights of VGG fill a VGG backbone; this configuration has another")
    if not numbers or tensors[f"features.{numbers[0]}.weight"].shape != convs[0].weight.shape:
        raise InputError(f"{path} does not hold the weights of a VGG network, features.0.weight and so on")
    gain = np.mean(taken.scale) / np.mean(published.scale)
    for i, (number, conv) in enumerate(zip(numbers, convs, strict=False)):
        weight, bias = (tensors[f"features.{number}.{part}"].float() for part in ("weight", "bias"))
        if weight.shape != conv.weight.shape:
            break
        if i == 0:
            weight, bias = _for_pixels(weight, bias, published, taken)
            weight *= gain
        conv.load_state_dict({"weight": weight, "bias": gain * bias})  # ReLU and pooling pass factors on


def _for_pixels(weight: Tensor, bias: Tensor, published: Pixels, taken: Pixels) -> tuple[Tensor, Tensor]:
    """The convolution (64, 3, 3, 3) that does to `taken` what the given one does to `published`."""
    scale, offset = (torch.tensor(values).expand(3) for values in (published.scale, published.offset))
    if published.bgr != taken.bgr:
        weight, scale, offset = weight.flip(1), scale.flip(0), offset.flip(0)
    own_scale, own_offset = (torch.tensor(values).expand(3) for values in (taken.scale, taken.offset))
    factor = scale / own_scale
    shift = offset - own_offset * factor
    return weight * factor[:, None, None], bias + torch.einsum("oihw,i->o", weight, shift)
