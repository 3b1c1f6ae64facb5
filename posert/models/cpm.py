"""Convolutional Pose Machines (Wei et al., CVPR 2016, arXiv 1602.00134; specs cpm).

A sequence of stages, each of which sees the image's features and the belief maps of the stage before. Three feature
extractors: the paper's own network, the VGG variant of the released model, and MoveNet's trunk for small models.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from posert.errors import InputError
from posert.models import movenet
from posert.models.layers import VGG19, caffe_pool, conv, relu_stack, vgg_trunk

BACKBONES = ("vgg", "paper", "movenet-lightning", "movenet-thunder")


@dataclass(frozen=True)
class CPMConfig:
    """Sizes of a Convolutional Pose Machine; the defaults are the official VGG model.

    Attributes:
        backbone: ``"vgg"``, ``"paper"``, ``"movenet-lightning"`` or ``"movenet-thunder"``.
        joints: number of joints; the networks draw one more map, the background, as the last channel.
        stages: number of stages, at least 2.
        width: channels of the stages' convolutions.
        kernel: side of the later stages' convolutions; None = the backbone's own (vgg 7, paper 11, movenet 3).
        depth: how many such convolutions a later stage has; None = the backbone's own (vgg 5, paper 3, movenet 5).
        center_map: whether the later stages also see a Gaussian at the person's centre, which tells people apart.
    """

    backbone: str = "vgg"
    joints: int = 14
    stages: int = 6
    width: int = 128
    kernel: int | None = None
    depth: int | None = None
    center_map: bool = True

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise InputError(f"unknown backbone {self.backbone!r}; known: {', '.join(BACKBONES)}")
        if self.stages < 2:
            raise InputError(f"a pose machine needs at least 2 stages, got {self.stages}")
        if self.kernel is not None and (self.kernel < 1 or self.kernel % 2 == 0):
            raise InputError(f"kernel must be odd, so that maps keep their size; got {self.kernel}")
        if min(self.joints, self.width, 1 if self.depth is None else self.depth) < 1:
            raise InputError(f"joints, width and depth must be at least 1; got {self.joints}, {self.width}, {self.depth}")

    @property
    def maps(self) -> int:
        """Channels of the belief maps: the joints and the background."""
        return self.joints + 1


PAPER = CPMConfig(backbone="paper")
VGG = CPMConfig()
FLIC = CPMConfig(backbone="paper", joints=9, stages=4)


def _paper_trunk() -> list[nn.Module]:
    """Three 9 x 9 convolutions, each pooled: stride 8, 128 channels."""
    layers: list[nn.Module] = []
    for inputs in (3, 128, 128):
        layers += [*relu_stack(conv(inputs, 128, 9)), caffe_pool(3)]
    return layers


class PaperBackbone(nn.Module):
    """The network of the paper: stage 1 and the later stages have trunks of their own (specs cpm, 2.1)."""

    kernel, depth = 11, 3
    feature_channels = 32
    belief_first = False

    def __init__(self, config: CPMConfig) -> None:
        super().__init__()
        head = [
            *relu_stack(conv(128, 32, 5), conv(32, 512, 9)),
            nn.Dropout(0.5),
            *relu_stack(conv(512, 512, 1)),
            nn.Dropout(0.5),
        ]
        self.first = nn.Sequential(*_paper_trunk(), *head, conv(512, config.maps, 1))
        self.trunk = nn.Sequential(*_paper_trunk())
        self.reduce = nn.ModuleList(relu_stack(conv(128, 32, 5)) for _ in range(config.stages - 1))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the first stage's belief maps and the features of every later stage."""
        shared = self.trunk(image)
        return self.first(image), [reduce(shared) for reduce in self.reduce]


class VGGBackbone(nn.Module):
    """VGG-19 up to conv4_2 and five more convolutions (specs cpm, 2.2)."""

    kernel, depth = 7, 5
    feature_channels = 128
    belief_first = True

    def __init__(self, config: CPMConfig) -> None:
        super().__init__()
        self.stages = config.stages
        self.trunk = vgg_trunk((*VGG19, 256, 256, 256, 256, 128))
        self.head = nn.Sequential(*relu_stack(conv(128, 512, 1)), conv(512, config.maps, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the first stage's belief maps and the features of every later stage."""
        shared = self.trunk(image)
        return self.head(shared), [shared] * (self.stages - 1)


class MoveNetBackbone(movenet.Features):
    """MoveNet's trunk with the two convolutions after it, and a light head for the first belief maps."""

    kernel, depth = 3, 5
    belief_first = True

    def __init__(self, config: CPMConfig) -> None:
        super().__init__(config.backbone.removeprefix("movenet-"), config.width)
        self.stages = config.stages
        self.feature_channels = width = config.width
        self.head = nn.Sequential(*relu_stack(conv(width, 2 * width, 1)), conv(2 * width, config.maps, 1))

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:  # type: ignore[override]
        """Return the first stage's belief maps and the features of every later stage."""
        shared = super().forward(image)
        return self.head(shared), [shared] * (self.stages - 1)


def _backbone(config: CPMConfig) -> PaperBackbone | VGGBackbone | MoveNetBackbone:
    if config.backbone == "paper":
        return PaperBackbone(config)
    return VGGBackbone(config) if config.backbone == "vgg" else MoveNetBackbone(config)


class CPM(nn.Module):
    """A Convolutional Pose Machine; every stage's belief maps are returned, for intermediate supervision."""

    def __init__(self, config: CPMConfig = VGG) -> None:
        super().__init__()
        self.config = config
        self.backbone = _backbone(config)
        kernel = self.backbone.kernel if config.kernel is None else config.kernel
        depth = self.backbone.depth if config.depth is None else config.depth
        width = config.width
        inputs = self.backbone.feature_channels + config.maps + config.center_map
        self.stages = nn.ModuleList(
            nn.Sequential(
                *relu_stack(*(conv(width if i else inputs, width, kernel) for i in range(depth)), conv(width, width, 1)),
                conv(width, config.maps, 1),
            )
            for _ in range(config.stages - 1)
        )

    def forward(self, image: Tensor, center_map: Tensor | None = None) -> list[Tensor]:
        """Return the belief maps of each stage, coarse to fine.

        Args:
            image: (N, 3, H, W): for the vgg and paper networks BGR in [-0.5, 0.5) (``v / 256 - 0.5``), for movenet RGB in
                [-1, 1].
            center_map: (N, 1, H, W), a Gaussian of sigma 21 px at the person's centre; needed if the configuration has one.

        Returns:
            One (N, joints + 1, H/8, W/8) tensor a stage, linear, nominally in [0, 1], background last. A map's cell g lies at
            image pixel 8g + 3.5.
        """
        belief, features = self.backbone(image)
        center = []
        if self.config.center_map:
            if center_map is None:
                raise InputError("this pose machine needs a center_map: (N, 1, H, W), a Gaussian at the person's centre")
            # Caffe divides by the part of the window inside the image, so the clipped last cells must not count padding.
            center = [functional.avg_pool2d(center_map, 9, 8, ceil_mode=True, count_include_pad=False)]
        beliefs = [belief]
        for stage, feature in zip(self.stages, features, strict=True):
            pair = [belief, feature] if self.backbone.belief_first else [feature, belief]
            belief = stage(torch.cat([*pair, *center], 1))
            beliefs.append(belief)
        return beliefs


def center_map(size: tuple[int, int]) -> Tensor:
    """A Gaussian of sigma 21 px in the middle of a picture of `size`, (1, 1, H, W): at (183, 183) of 368 x 368 (specs cpm, 3)."""
    y, x = (torch.arange(side) - (side // 2 - 1.0) for side in size)
    return torch.exp(-(y[:, None] ** 2 + x**2) / (2 * 21.0**2))[None, None]


class FinalBelief(nn.Module):
    """What is exported: the last stage's belief maps alone, of the person in the middle of the picture."""

    def __init__(self, model: CPM) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """Return the last stage's belief maps (N, joints + 1, H/8, W/8)."""
        center = None
        if self.model.config.center_map:
            center = center_map((image.shape[2], image.shape[3])).to(image.device).expand(image.shape[0], -1, -1, -1)
        return self.model(image, center)[-1]
