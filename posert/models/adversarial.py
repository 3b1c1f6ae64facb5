"""Adversarial PoseNet (Chen et al., ICCV 2017, arXiv 1705.00389; specs adversarial_posenet).

A stacked, multi-task network draws where joints are and where hidden joints are. In training, two discriminators judge whether
its maps look like those of a body and whether they look sure of themselves; they are no part of what is run afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from posert.errors import InputError
from posert.models import movenet

BACKBONES = ("hourglass", "movenet-lightning", "movenet-thunder")


@dataclass(frozen=True)
class AdversarialConfig:
    """Sizes of an Adversarial PoseNet; the defaults are posert's reading of the paper.

    Attributes:
        backbone: ``"hourglass"`` (features at stride 4), ``"movenet-lightning"`` or ``"movenet-thunder"`` (stride 8).
        joints: number of joints.
        stacks: number of stacks.
        width: channels of the stacks.
        depth: how often an hourglass halves its maps.
        separate: whether each stack has an hourglass for poses and one for occlusion, or one for both and a residual after it.
        adapt_width: channels of the convolutions that follow a movenet backbone.
        discriminator_width: channels of the discriminators.
    """

    backbone: str = "hourglass"
    joints: int = 16
    stacks: int = 4
    width: int = 256
    depth: int = 4
    separate: bool = True
    adapt_width: int = 64
    discriminator_width: int = 128

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise InputError(f"unknown backbone {self.backbone!r}; known: {', '.join(BACKBONES)}")
        sizes = (self.joints, self.stacks, self.depth, self.adapt_width)
        if min(sizes) < 1 or min(self.width, self.discriminator_width) < 2:
            raise InputError(f"joints, stacks, depth and channels must be at least 1 (widths 2), got {self}")

    @property
    def stride(self) -> int:
        """Input pixels a cell of the maps."""
        return 4 if self.backbone == "hourglass" else 8


APN = AdversarialConfig()
APN_LITE = AdversarialConfig(separate=False)


class _Residual(nn.Module):
    """Pre-activation bottleneck: 1 x 1 to half the channels, 3 x 3, 1 x 1, added to the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        middle = outputs // 2
        self.body = nn.Sequential(
            *(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, middle, 1)),
            *(nn.BatchNorm2d(middle), nn.ReLU(inplace=True), nn.Conv2d(middle, middle, 3, padding=1)),
            *(nn.BatchNorm2d(middle), nn.ReLU(inplace=True), nn.Conv2d(middle, outputs, 1)),
        )
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.body(x)


class _Hourglass(nn.Module):
    """Halves the maps `depth` times and comes back up, with a skip at every size."""

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.above = _Residual(width, width)
        self.before = _Residual(width, width)
        self.inner: nn.Module = _Hourglass(depth - 1, width) if depth > 1 else _Residual(width, width)
        self.after = _Residual(width, width)

    def forward(self, x: Tensor) -> Tensor:
        low = self.after(self.inner(self.before(functional.max_pool2d(x, 2))))
        return self.above(x) + functional.interpolate(low, scale_factor=2, mode="nearest")


class _Stack(nn.Module):
    """One stack: pose features Y and maps y, occlusion features Z and maps z, and what the next stack starts from."""

    def __init__(self, config: AdversarialConfig, *, last: bool) -> None:
        super().__init__()
        width, joints = config.width, config.joints
        between = [] if config.separate else [_Residual(width, width)]
        self.pose = nn.Sequential(_Hourglass(config.depth, width), *between, *_linear(width))
        maps = joints if config.separate else 2 * joints
        self.pose_maps = nn.Conv2d(width, maps, 1)
        self.occlusion: nn.Sequential | None = None
        if config.separate:
            self.join = nn.Conv2d(2 * width, width, 1)
            self.occlusion = nn.Sequential(_Hourglass(config.depth, width), *_linear(width))
            self.occlusion_maps = nn.Conv2d(width, joints, 1)
        if not last:
            self.features_back = nn.Conv2d(width * (1 + config.separate), width, 1)
            self.maps_back = nn.Conv2d(2 * joints, width, 1)
        self.last = last

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps, y then z, and the next stack's input (the last stack: its own)."""
        features = self.pose(u)
        maps = self.pose_maps(features)
        if self.occlusion is not None:
            hidden = self.occlusion(self.join(torch.cat([features, u], 1)))
            maps = torch.cat([maps, self.occlusion_maps(hidden)], 1)
            features = torch.cat([features, hidden], 1)
        return maps, u if self.last else u + self.features_back(features) + self.maps_back(maps)


def _linear(width: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)


def _stem(width: int) -> nn.Sequential:
    """Features at stride 4."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(inplace=True), _Residual(64, 128), nn.MaxPool2d(2)),
        *(_Residual(128, 128), _Residual(128, width)),
    )


class Generator(nn.Module):
    """The network that finds joints; every stack's maps are returned, for supervision."""

    def __init__(self, config: AdversarialConfig = APN) -> None:
        super().__init__()
        self.config = config
        if config.backbone == "hourglass":
            self.backbone: nn.Module = _stem(config.width)
            self.widen: nn.Module = nn.Identity()
        else:
            self.backbone = movenet.Features(config.backbone.removeprefix("movenet-"), config.adapt_width)
            self.widen = nn.Conv2d(config.adapt_width, config.width, 1)
        self.stacks = nn.ModuleList(_Stack(config, last=i + 1 == config.stacks) for i in range(config.stacks))

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps of each stack, coarse to fine.

        Args:
            image: (N, 3, H, W), RGB: in [0, 1] for the hourglass backbone, H and W multiples of 4 * 2^depth; in [-1, 1] for
                movenet, multiples of 32 and of 8 * 2^depth.

        Returns:
            One (N, 2 * joints, H/s, W/s) tensor a stack, s = `config.stride`: linear, nominally in [0, 1]; maps of all joints
            first, then those of hidden joints.

        Raises:
            InputError: the maps cannot be halved `depth` times.
        """
        u = self.widen(self.backbone(image))
        step = 2**self.config.depth
        if u.shape[-2] % step or u.shape[-1] % step:
            raise InputError(
                f"maps of {u.shape[-2]} x {u.shape[-1]} cells cannot be halved {self.config.depth} times; "
                f"use sides that are multiples of {step * self.config.stride} pixels"
            )
        results = []
        for stack in self.stacks:
            maps, u = stack(u)
            results.append(maps)
        return results


class Discriminator(nn.Module):
    """Judges maps joint by joint; for training only.

    The pose discriminator P sees the image and the maps, the confidence discriminator C the maps alone.
    """

    def __init__(self, config: AdversarialConfig = APN, size: tuple[int, int] = (64, 64), *, image: bool) -> None:
        """Build.

        Args:
            config: of the generator that is judged.
            size: rows and columns of the maps.
            image: whether the image is seen too.

        Raises:
            InputError: the maps cannot be halved as often as the generator does.
        """
        super().__init__()
        width, depth = config.discriminator_width, config.depth
        if size[0] % 2**depth or size[1] % 2**depth:
            raise InputError(f"maps of {size[0]} x {size[1]} cells cannot be halved {depth} times")
        cells = (size[0] >> depth) * (size[1] >> depth)
        self.body = nn.Sequential(
            nn.Conv2d((3 if image else 0) + 2 * config.joints, width, 1),
            _Hourglass(depth, width),
            *(layer for _ in range(depth) for layer in (_Residual(width, width), nn.MaxPool2d(2))),
            nn.Flatten(),
            nn.Linear(cells * width, config.joints),
        )
        self.image = image

    def forward(self, maps: Tensor, image: Tensor | None = None) -> Tensor:
        """Return one logit a joint, (N, joints); its sigmoid is how real the joint looks.

        Args:
            maps: (N, 2 * joints, h, w), as the generator draws them.
            image: (N, 3, H, W), the generator's own input; its sides are multiples of h and w.
        """
        if not self.image:
            return self.body(maps)
        if image is None:
            raise InputError("the pose discriminator needs the image that the maps were drawn from")
        stride = image.shape[-2] // maps.shape[-2]
        return self.body(torch.cat([functional.avg_pool2d(image, stride), maps], 1))


class PoseAndOcclusion(nn.Module):
    """What is exported: the last stack's maps, of all joints and of hidden ones."""

    def __init__(self, model: Generator) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return heatmaps (N, joints, h, w) and occlusion maps of the same shape."""
        maps = self.model(image)[-1]
        joints = self.model.config.joints
        return maps[:, :joints], maps[:, joints:]
