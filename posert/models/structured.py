"""Structured Feature Learning (Chu et al., CVPR 2016, arXiv 1603.09065; specs structured_features).

Every body part has feature maps of its own. Before anything is classified, they pass messages along a tree of parts, from the
leaves to the root and, independently, from the root to the leaves: convolutions with large kernels, which learn where
neighbouring parts lie from each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from posert.errors import InputError
from posert.models import movenet
from posert.models.layers import VGG16, vgg_trunk
from posert.trees import TREES, get_tree

BACKBONES = ("vgg", "movenet-lightning", "movenet-thunder")


@dataclass(frozen=True)
class StructuredConfig:
    """Sizes of a structured-feature network; the defaults are the released model for LSP.

    Attributes:
        tree: name of the tree of parts, one of `posert.trees.TREES`.
        backbone: ``"vgg"``, ``"movenet-lightning"`` or ``"movenet-thunder"``.
        mixtures: types of each part that are told apart by where it lies from its parent.
        width: channels of the convolutions that follow a movenet backbone.
        features: channels of the features that all parts share.
        features_kernel: side of the convolution that makes them.
        normalise: whether batch norm follows that convolution.
        part_channels: channels of each part's own feature maps.
        transform_kernel: side of the convolutions along the tree's edges.
        transform_hidden: channels between the convolutions of one edge; one more convolution than entries.
        background_hidden: channels of a layer before the background's map; 0 = none.
        message_passing: whether parts pass messages at all; without, each is found by its own features.
    """

    tree: str = "lsp26"
    backbone: str = "vgg"
    mixtures: int = 13
    width: int = 64
    features: int = 1024
    features_kernel: int = 7
    normalise: bool = True
    part_channels: int = 128
    transform_kernel: int = 7
    transform_hidden: tuple[int, ...] = (64,)
    background_hidden: int = 512
    message_passing: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "transform_hidden", tuple(self.transform_hidden))  # a list in configuration files
        if self.backbone not in BACKBONES:
            raise InputError(f"unknown backbone {self.backbone!r}; known: {', '.join(BACKBONES)}")
        get_tree(self.tree)
        sizes = (self.mixtures, self.width, self.features, self.part_channels, *self.transform_hidden)
        if min(sizes) < 1 or self.background_hidden < 0:
            raise InputError(f"mixtures and channels must be at least 1, background_hidden at least 0; got {self}")
        if any(kernel < 1 or kernel % 2 == 0 for kernel in (self.features_kernel, self.transform_kernel)):
            raise InputError(f"kernels must be odd, so that maps keep their size; got {self}")

    @property
    def parts(self) -> int:
        """Number of parts."""
        return len(TREES[self.tree])


LSP26 = StructuredConfig()
LSP14 = StructuredConfig(tree="lsp14", mixtures=1)
FLIC18 = StructuredConfig(
    tree="flic18", mixtures=1, features=4096, normalise=False, transform_hidden=(128, 128), background_hidden=0
)


class _Transforms(nn.Module):
    """The convolutions along several edges at once, each with weights of its own: one group of channels an edge."""

    def __init__(self, edges: int, config: StructuredConfig) -> None:
        super().__init__()
        channels = (config.part_channels, *config.transform_hidden, config.part_channels)
        kernel = config.transform_kernel
        self.convs = nn.ModuleList(
            nn.Conv2d(edges * before, edges * after, kernel, padding=kernel // 2, groups=edges)
            for before, after in pairwise(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Transform (N, edges * channels, h, w); ReLU between the convolutions, none after the last."""
        for i, conv in enumerate(self.convs):
            x = conv(functional.relu(x) if i else x)
        return x


class _Messages(nn.Module):
    """Both passes over the tree. All edges of one level run as one grouped convolution."""

    def __init__(self, config: StructuredConfig) -> None:
        super().__init__()
        self.tree = get_tree(config.tree)
        self.up = nn.ModuleList(_Transforms(len(level), config) for level in self.tree.levels[1:])
        self.down = nn.ModuleList(_Transforms(len(level), config) for level in self.tree.levels[1:])

    def upward(self, own: tuple[Tensor, ...]) -> list[Tensor]:
        """From the leaves: ReLU of a part's own features and what its children send."""
        sums, result = list(own), list(own)
        for level, transform in zip(reversed(self.tree.levels[1:]), reversed(self.up), strict=True):
            for k in level:
                result[k] = functional.relu(sums[k])
            sent = transform(torch.cat([result[k] for k in level], 1)).chunk(len(level), 1)
            for k, message in zip(level, sent, strict=True):
                sums[self.tree.parents[k]] = sums[self.tree.parents[k]] + message
        result[0] = functional.relu(sums[0])
        return result

    def downward(self, own: tuple[Tensor, ...]) -> list[Tensor]:
        """From the root: ReLU of a part's own features and what its parent sends."""
        result = [functional.relu(own[0]), *own[1:]]
        for level, transform in zip(self.tree.levels[1:], self.down, strict=True):
            sent = transform(torch.cat([result[self.tree.parents[k]] for k in level], 1)).chunk(len(level), 1)
            for k, message in zip(level, sent, strict=True):
                result[k] = functional.relu(own[k] + message)
        return result


class Structured(nn.Module):
    """A structured-feature network: logits of every part and mixture and of the background, at stride 8."""

    def __init__(self, config: StructuredConfig = LSP26) -> None:
        super().__init__()
        self.config = config
        parts, channels = config.parts, config.part_channels
        if config.backbone == "vgg":
            self.backbone: nn.Module = vgg_trunk(VGG16)
            inputs = VGG16[-1]
        else:
            self.backbone = movenet.Features(config.backbone.removeprefix("movenet-"), config.width)
            inputs = config.width
        kernel = config.features_kernel
        self.shared = nn.Sequential(
            nn.Conv2d(inputs, config.features, kernel, padding=kernel // 2),
            *([nn.BatchNorm2d(config.features)] if config.normalise else []),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.5 if config.backbone == "vgg" else 0.0),
        )
        self.own = nn.Conv2d(config.features, 2 * parts * channels, 1)
        self.messages = _Messages(config) if config.message_passing else None
        self.predict = nn.Conv2d(2 * parts * channels, parts * config.mixtures, 1, groups=parts)
        hidden = config.background_hidden
        self.background = nn.Sequential(
            *([nn.Conv2d(config.features, hidden, 1), nn.ReLU(inplace=True), nn.Dropout2d(0.5)] if hidden else []),
            nn.Conv2d(hidden or config.features, 1, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits.

        Args:
            image: (N, 3, H, W): for vgg BGR, ``v - 128``, H and W multiples of 8; for movenet RGB in [-1, 1], multiples of 32.

        Returns:
            (N, parts * mixtures + 1, H/8, W/8): part by part its mixtures, the background last. For the released labels a cell g
            lies at image pixel 8g + 3, for those of posert's own models at 8g + 3.5.
        """
        shared = self.shared(self.backbone(image))
        parts = self.config.parts
        own = self.own(shared).chunk(2 * parts, 1)
        if self.messages is None:
            up, down = [functional.relu(x) for x in own[:parts]], [functional.relu(x) for x in own[parts:]]
        else:
            up, down = self.messages.upward(own[:parts]), self.messages.downward(own[parts:])
        pairs = torch.cat([features for pair in zip(up, down, strict=True) for features in pair], 1)
        return torch.cat([self.predict(pairs), self.background(shared)], 1)


class Probabilities(nn.Module):
    """What is exported: the softmax over all parts and the background at each cell."""

    def __init__(self, model: Structured) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> Tensor:
        """Return probabilities (N, parts * mixtures + 1, H/8, W/8), background last."""
        return self.model(image).softmax(1)
