"""Part affinity fields (Cao et al., CVPR 2017, arXiv 1611.08050; specs paf): everybody's joints and limbs in one look.

Two branches run side by side, one for the fields and one for the heatmaps; every stage after the first sees the maps of both and
the image's features. Feature extractors: VGG-19's beginning, as published, and MoveNet's trunk for small models.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from posert.errors import InputError
from posert.models import movenet
from posert.models.layers import VGG19, conv, relu_stack, vgg_trunk

BACKBONES = ("vgg", "movenet-lightning", "movenet-thunder")


@dataclass(frozen=True)
class PAFConfig:
    """Sizes of a part affinity field network; the defaults are the official COCO model.

    Attributes:
        backbone: ``"vgg"``, ``"movenet-lightning"`` or ``"movenet-thunder"``.
        joints: number of joints; one more heatmap, the background, is the last channel.
        limbs: number of limbs; each has two channels of the fields, x and y.
        stages: number of stages, at least 1.
        width: channels of each branch's convolutions.
        kernel: side of the later stages' convolutions, odd. The first stage's are 3 x 3.
        first_depth: how many convolutions the first stage has.
        depth: how many the later stages have.
        first_hidden: channels of the first stage's 1 x 1 convolution, the last but one.
        features: channels of the image's features, which all stages see.
    """

    backbone: str = "vgg"
    joints: int = 18
    limbs: int = 19
    stages: int = 6
    width: int = 128
    kernel: int = 7
    first_depth: int = 3
    depth: int = 5
    first_hidden: int = 512
    features: int = 128

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise InputError(f"unknown backbone {self.backbone!r}; known: {', '.join(BACKBONES)}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise InputError(f"kernel must be odd, so that maps keep their size; got {self.kernel}")
        counts = ("joints", "limbs", "stages", "width", "first_depth", "depth", "first_hidden", "features")
        for name in counts:
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")


COCO = PAFConfig()
MPI = PAFConfig(joints=15, limbs=14)


class Stage(nn.Module):
    """Both branches of one stage, as the two groups of grouped convolutions."""

    def __init__(self, config: PAFConfig, inputs: int, kernel: int, depth: int, hidden: int) -> None:
        super().__init__()
        width = 2 * config.width
        self.body = relu_stack(
            conv(inputs, width, kernel),  # both branches see all of the input, so one convolution serves both
            *(conv(width, width, kernel, groups=2) for _ in range(depth - 1)),
            conv(width, 2 * hidden, 1, groups=2),
        )
        self.pafs = conv(hidden, 2 * config.limbs, 1)
        self.heatmaps = conv(hidden, config.joints + 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the fields and the heatmaps."""
        fields, heat = self.body(x).chunk(2, 1)
        return self.pafs(fields), self.heatmaps(heat)


class PAF(nn.Module):
    """A part affinity field network; every stage's maps are returned, for intermediate supervision."""

    def __init__(self, config: PAFConfig = COCO) -> None:
        super().__init__()
        self.config = config
        if config.backbone == "vgg":
            self.backbone: nn.Module = vgg_trunk((*VGG19, 256, config.features))
        else:
            self.backbone = movenet.Features(config.backbone.removeprefix("movenet-"), config.features)
        maps = 2 * config.limbs + config.joints + 1
        first = Stage(config, config.features, 3, config.first_depth, config.first_hidden)
        seen = maps + config.features
        later = [Stage(config, seen, config.kernel, config.depth, config.width) for _ in range(config.stages - 1)]
        self.stages = nn.ModuleList([first, *later])

    def forward(self, image: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the fields and the heatmaps of each stage, coarse to fine.

        Args:
            image: (N, 3, H, W): for the vgg network BGR in [-0.5, 0.5) (``v / 256 - 0.5``) with sides that are multiples of 8,
                for movenet RGB in [-1, 1] with sides that are multiples of 32.

        Returns:
            For each stage the fields (N, 2 limbs, H/8, W/8), x and y of each limb, nominally unit vectors or 0; and the
            heatmaps (N, joints + 1, H/8, W/8), nominally in [0, 1], background last.
        """
        features = self.backbone(image)
        stages: list[tuple[Tensor, Tensor]] = []
        for stage in self.stages:
            seen = torch.cat([*stages[-1], features], 1) if stages else features
            stages.append(stage(seen))
        return stages


class FinalMaps(nn.Module):
    """What is exported: the last stage's maps alone."""

    def __init__(self, model: PAF) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last stage's heatmaps (N, joints + 1, H/8, W/8) and fields (N, 2 limbs, H/8, W/8)."""
        pafs, heatmaps = self.model(image)[-1]
        return heatmaps, pafs
