"""A perceptual loss: how pictures differ in the features of VGG-16's first four convolutions (Johnson et al., ECCV 2016)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = "vgg16_conv1_1_to_conv4_3.fp16.safetensors"
_LAYERS = (0, 2, 5, 7)  # conv1_1, conv1_2, conv2_1, conv2_2 under torchvision's key names


class PerceptualLoss(nn.Module):
    """Mean absolute difference of relu1_2 and relu2_2, summed."""

    def __init__(self, weights: Path | str) -> None:
        """Read VGG-16 from the folder `weights`, file `WEIGHTS`."""
        super().__init__()
        tensors = load_file(Path(weights) / WEIGHTS)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in ((3, 64), (64, 64), (64, 128), (128, 128)))
        for conv, layer in zip(self.convs, _LAYERS, strict=True):
            conv.load_state_dict({name: tensors[f"features.{layer}.{name}"].float() for name in ("weight", "bias")})
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1))
        self.requires_grad_(False).eval()
        self.to(memory_format=torch.channels_last)

    def _features(self, images: Tensor) -> list[Tensor]:
        x = ((images + 1) / 2 - self.mean) / self.std
        fine = functional.relu(self.convs[1](functional.relu(self.convs[0](x))))
        x = functional.max_pool2d(fine, 2)
        return [fine, functional.relu(self.convs[3](functional.relu(self.convs[2](x))))]

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of a batch (N, 3, H, W), RGB in [-1, 1]; no gradient flows into `target`."""
        with torch.no_grad():
            wanted = self._features(target)
        pairs = zip(self._features(output), wanted, strict=True)
        return torch.stack([(a.float() - b.float()).abs().mean() for a, b in pairs]).sum()
