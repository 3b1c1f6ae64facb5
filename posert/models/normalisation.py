"""Batch norm as it is run: a multiplication and an addition a channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Affine(nn.Module):
    """Each channel times a number, plus a number."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.scale, self.shift = (nn.Parameter(value[:, None, None].clone()) for value in (scale, shift))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, h, w) of the same shape."""
        return x * self.scale + self.shift


@torch.no_grad()
def freeze_batch_norm(module: nn.Module) -> None:
    """Replace every batch norm in a module, for good, by what it does in evaluation mode.

    The convolutions keep their weights, so that those which half precision holds exactly still are.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _affine(child, child.running_mean, child.running_var))
        else:
            freeze_batch_norm(child)


def _affine(norm: nn.BatchNorm2d, mean: Tensor | None, variance: Tensor | None) -> Affine:
    if mean is None or variance is None:
        raise TypeError("a batch norm without running statistics cannot be replaced by a multiplication and an addition")
    scale = norm.weight.double() / (variance.double() + norm.eps).sqrt()
    return Affine(scale.to(mean.dtype), (norm.bias.double() - mean.double() * scale).to(mean.dtype))
