"""PG2: pose guided person image generation (Ma et al., NIPS 2017, arXiv 1705.09368; specs pg2).

Two generators and a discriminator. `CoarseGenerator` (G1) draws the person in the target pose, blurred; `RefinementGenerator`
(G2) adds the difference that makes it sharp; `Generator` is both in a row, or G1 alone, which is what is exported. Convolutions
pad as TensorFlow's SAME does, so that the layout of the released weights is kept: stride 2 pads one row and column at the bottom
and right.

Every variant of the paper takes the same input, the source picture and the target pose's disc planes. How G1 is told the pose is
`PG2Config.embedding`. The paper does not publish the widths of its coordinate embedding (CE) and heat-map embedding (HME): those
here are posert's reconstruction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from posert.errors import InputError
from posert.models.layers import SameDownsample, glorot_conv

_CHOICES = {
    "pair_mode": ("triplet", "pair6"),
    "embedding": ("heatmaps", "coordinates", "heatmap_encoder"),
    "stages": (1, 2),
    "pose_range": ("signed", "unit"),
}


@dataclass(frozen=True)
class PG2Config:
    """Sizes of a PG2 model; the defaults are the official Market-1501 model.

    Attributes:
        height: rows of the picture, a power of two from 64 on; it sets the number of U-Net blocks, log2(height) - 2.
        width: columns of the picture, a multiple of 2 ** (blocks - 1).
        channels: width of the coarse generator's first block (block i has ``channels * (i + 1)``).
        refinement_channels: the same of the refinement generator.
        discriminator_channels: width of the discriminator's first layer.
        bottleneck: length of the coarse generator's fully connected code.
        joints: pose planes.
        pair_mode: what the discriminator judges: ``"triplet"`` single pictures (official), ``"pair6"`` pairs with the source
            (paper).
        embedding: how the coarse generator is told the pose (specs pg2, 3). ``"heatmaps"``: the planes lie beside the picture
            (G1). ``"coordinates"``: two linear layers read x, y and presence of each joint, and what they say stands beside the
            picture's code in the bottleneck (G1-CE). ``"heatmap_encoder"``: a second encoder reads the planes, its code stands
            there (G1-HME). The last two are posert's reconstruction: the paper does not say how wide they are.
        stages: 2 with a refinement generator, 1 without.
        pose_range: values that the planes have inside the network: ``"signed"`` -1 and 1 (official), ``"unit"`` 0 and 1 (paper).
            The input is -1 and 1 in any case.
    """

    height: int = 128
    width: int = 64
    channels: int = 128
    refinement_channels: int = 128
    discriminator_channels: int = 64
    bottleneck: int = 64
    joints: int = 18
    pair_mode: str = "triplet"
    embedding: str = "heatmaps"
    stages: int = 2
    pose_range: str = "signed"

    def __post_init__(self) -> None:
        if self.height < 64 or self.height & (self.height - 1) or self.width % 2 ** (self.blocks - 1) or self.width < 1:
            raise InputError(
                f"PG2 needs a height that is a power of two >= 64 and a width that is a multiple of {2 ** (self.blocks - 1)}, "
                f"got {self.height} x {self.width}"
            )
        if self.width >> self.judged_halvings < 1:
            raise InputError(f"the discriminator halves the width {self.judged_halvings} times; {self.width} is too little")
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise InputError(f"{name} must be {' or '.join(map(repr, known))}, got {value!r}")

    @property
    def judged_halvings(self) -> int:
        """Layers of the discriminator, each of stride 2: 4 for Market-1501, 5 for DeepFashion."""
        return 4 if self.blocks <= 5 else self.blocks - 1

    @property
    def blocks(self) -> int:
        """Blocks of the coarse generator's encoder: 5 for Market-1501, 6 for DeepFashion."""
        return max(int(math.log2(max(self.height, 1))) - 2, 1)


MARKET = PG2Config()
DEEPFASHION = PG2Config(height=256, width=256)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    linear = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class _Downsample(SameDownsample):
    """With ReLU behind it."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(super().forward(x))


class _ConvPair(nn.Module):
    """Two 3 x 3 convolutions with ReLU; with `residual`, the input is added behind the second ReLU."""

    def __init__(self, inputs: int, outputs: int, *, residual: bool) -> None:
        super().__init__()
        self.conv1 = glorot_conv(inputs, outputs)
        self.conv2 = glorot_conv(outputs, outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        return x + y if self.residual else y


def _widths(config: PG2Config) -> list[int]:
    """Channels of the coarse generator's blocks."""
    return [config.channels * (i + 1) for i in range(config.blocks)]


def _base(config: PG2Config) -> tuple[int, int, int]:
    """Channels, rows and columns of the map that the coarse generator's decoder starts from."""
    return config.channels, config.height >> (config.blocks - 1), config.width >> (config.blocks - 1)


def _upsample(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


class _Encoder(nn.Module):
    """The contracting half of G1: blocks of growing width, and a linear layer to a short code."""

    def __init__(self, config: PG2Config, inputs: int) -> None:
        super().__init__()
        widths = _widths(config)
        self.stem = glorot_conv(inputs, config.channels)
        self.encoder = nn.ModuleList(_ConvPair(w, w, residual=True) for w in widths)
        self.down = nn.ModuleList(_Downsample(a, b) for a, b in pairwise(widths))
        self.fc_down = _linear(widths[-1] * math.prod(_base(config)[1:]), config.bottleneck)

    def encode(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The code (N, bottleneck) of a picture (N, inputs, H, W), and each block's output, finest first."""
        x = functional.relu(self.stem(x))
        skips = []
        for i, block in enumerate(self.encoder):
            x = block(x)
            skips.append(x)
            if i < len(self.down):
                x = self.down[i](x)
        return self.fc_down(x.flatten(1)), skips


class CoarseGenerator(_Encoder):
    """G1: a residual U-Net with a fully connected bottleneck (specs pg2, 2.1 and 3).

    Flattening follows PyTorch's channel, row, column order; converted TensorFlow weights need their rows permuted.
    """

    def __init__(self, config: PG2Config = MARKET) -> None:
        super().__init__(config, 3 + (config.joints if config.embedding == "heatmaps" else 0))
        ch, widths = config.channels, _widths(config)
        self.config = config
        self.base = _base(config)
        codes = 1 if config.embedding == "heatmaps" else 2
        self.fc_up = _linear(codes * config.bottleneck, math.prod(self.base))
        self.decoder = nn.ModuleList()
        self.up = nn.ModuleList()
        inputs = ch
        for skip in reversed(widths):
            self.decoder.append(_ConvPair(inputs + skip, inputs + skip, residual=True))
            if skip != ch:
                self.up.append(glorot_conv(inputs + skip, skip - ch, kernel=1))
                inputs = skip - ch
        self.out = glorot_conv(inputs + ch, 3)
        if config.embedding == "coordinates":
            length = config.bottleneck
            self.pose_embedding = nn.Sequential(_linear(3 * config.joints, length), nn.ReLU(), _linear(length, length))
        elif config.embedding == "heatmap_encoder":
            self.pose_encoder = _Encoder(config, config.joints)

    def forward(self, x: Tensor) -> Tensor:
        """Draw the coarse picture.

        Args:
            x: (N, 3 + joints, H, W): the source picture, RGB in [-1, 1], then the target pose's disc planes in {-1, +1}.

        Returns:
            (N, 3, H, W), linear, nominally in [-1, 1].
        """
        if self.config.pose_range == "unit":
            x = torch.cat([x[:, :3], (x[:, 3:] + 1) * 0.5], 1)
        if self.config.embedding == "heatmaps":
            code, skips = self.encode(x)
        else:
            code, skips = self.encode(x[:, :3])
            code = torch.cat([code, self._pose_code(x[:, 3:])], 1)
        x = self.fc_up(code).reshape(-1, *self.base)
        for i, block in enumerate(self.decoder):
            x = block(torch.cat([x, skips.pop()], 1))
            if i < len(self.up):
                x = functional.relu(self.up[i](_upsample(x)))
        return self.out(x)

    def _pose_code(self, planes: Tensor) -> Tensor:
        """What stands beside the picture's code: (N, bottleneck)."""
        if self.config.embedding == "heatmap_encoder":
            return self.pose_encoder.encode(planes)[0]
        return self.pose_embedding(joint_coordinates(planes).to(self.fc_up.weight.dtype))


def joint_coordinates(planes: Tensor) -> Tensor:
    """Read the joints' places back from their disc planes (specs pg2, 3: G1-CE).

    A disc is symmetric about its joint's truncated place, so its mean is that place, unless the frame cuts it.

    Args:
        planes: (N, K, H, W), any two values, such as -1 and 1; what is greater than 0 belongs to the disc.

    Returns:
        float32 (N, 3 K): for each joint ``2 x / W - 1``, ``2 y / H - 1`` and 1; three zeros where the plane holds no disc.
    """
    height, width = planes.shape[2:]
    disc = (planes > 0).float()
    area = disc.sum((2, 3))
    there = (area > 0).float()
    x = (disc.sum(2) * torch.arange(width, dtype=torch.float32, device=planes.device)).sum(2) / area.clamp(min=1)
    y = (disc.sum(3) * torch.arange(height, dtype=torch.float32, device=planes.device)).sum(2) / area.clamp(min=1)
    return torch.stack([(2 * x / width - 1) * there, (2 * y / height - 1) * there, there], 2).flatten(1)


class RefinementGenerator(nn.Module):
    """G2: a plain convolutional U-Net that predicts what to add to the coarse picture (specs pg2, 2.2).

    Its first decoder block reads the encoder's last output twice, ``cat[x, x]``; `fold_twin_input` removes the copy. At Market
    size the finest level has no skip connection, as in the released model.
    """

    def __init__(self, config: PG2Config = MARKET) -> None:
        super().__init__()
        ch, blocks = config.refinement_channels, config.blocks - 2
        widths = [ch * (i + 1) for i in range(blocks)]
        self.full_resolution_skip = config.blocks > 5
        self.folded = False
        self.stem = glorot_conv(6, ch)
        self.encoder = nn.ModuleList(_ConvPair(a, b, residual=False) for a, b in zip([ch, *widths], widths, strict=False))
        self.down = nn.ModuleList(_Downsample(w, w) for w in widths[:-1])
        inputs = [2 * widths[-1]] + [ch + w for w in reversed(widths[:-1])]
        if not self.full_resolution_skip:
            inputs[-1] = ch
        self.decoder = nn.ModuleList(_ConvPair(w, ch, residual=False) for w in inputs)
        self.out = glorot_conv(ch, 3)

    def forward(self, coarse: Tensor, source: Tensor) -> Tensor:
        """Return the difference to add to `coarse`.

        Args:
            coarse: (N, 3, H, W), G1's output, not clipped.
            source: (N, 3, H, W), the source picture, RGB in [-1, 1].
        """
        x = functional.relu(self.stem(torch.cat([coarse, source], 1)))
        skips = []
        for i, block in enumerate(self.encoder):
            x = block(x)
            skips.append(x)
            if i < len(self.down):
                x = self.down[i](x)
        last = len(self.decoder) - 1
        for i, block in enumerate(self.decoder):
            skip = skips.pop()
            if i == 0:
                x = x if self.folded else torch.cat([x, skip], 1)
            elif i < last or self.full_resolution_skip:
                x = torch.cat([x, skip], 1)
            x = block(x)
            if i < last:
                x = _upsample(x)
        return self.out(x)

    @torch.no_grad()
    def fold_twin_input(self) -> None:
        """Replace the first decoder convolution, which reads ``cat[x, x]``, by one that reads ``x`` (exact but for rounding)."""
        if self.folded:
            return
        block = self.decoder[0]
        assert isinstance(block, _ConvPair)  # noqa: S101 - for the type checker
        conv = block.conv1
        channels = conv.in_channels // 2
        folded = nn.Conv2d(channels, conv.out_channels, 3, padding=1, device=conv.weight.device, dtype=conv.weight.dtype)
        weight = conv.weight[:, :channels] + conv.weight[:, channels:]
        folded.load_state_dict({"weight": weight, "bias": conv.bias})
        block.conv1 = folded
        self.folded = True


class Generator(nn.Module):
    """Both generators in a row: ``coarse = G1(input)``, ``image = coarse + G2(coarse, source)``; or G1 alone."""

    def __init__(self, config: PG2Config = MARKET) -> None:
        super().__init__()
        self.config = config
        self.coarse = CoarseGenerator(config)
        if config.stages == 2:
            self.refine = RefinementGenerator(config)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Draw a batch of people in their target poses.

        Args:
            x: (N, 3 + joints, H, W): source picture, RGB in [-1, 1], then disc planes in {-1, +1} (specs K1).

        Returns:
            coarse and final picture, of one stage the coarse one alone: each (N, 3, H, W), linear, nominally in [-1, 1]: neither
            is clipped.
        """
        coarse = self.coarse(x)
        return (coarse, coarse + self.refine(coarse, x[:, :3])) if self.config.stages == 2 else (coarse,)


class Discriminator(nn.Module):
    """Judges whether pictures are real (specs pg2, 2.3); batch norm always uses the statistics of the batch at hand."""

    def __init__(self, config: PG2Config = MARKET) -> None:
        super().__init__()
        layers = config.judged_halvings
        widths = [config.discriminator_channels * min(2**i, 8) for i in range(layers)]
        inputs = [3 if config.pair_mode == "triplet" else 6, *widths[:-1]]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 5, stride=2) for a, b in zip(inputs, widths, strict=True))
        self.norms = nn.ModuleList(nn.BatchNorm2d(w, eps=1e-5, track_running_stats=False) for w in widths[1:])
        self.fc = nn.Linear(widths[-1] * (config.height >> layers) * (config.width >> layers), 1)
        limit = 0.02 * math.sqrt(3)  # a uniform distribution of standard deviation 0.02
        for module in (*self.convs, self.fc):
            nn.init.uniform_(module.weight, -limit, limit)
            nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N,) of images in [-1, 1].

        Args:
            images: (N, 3, H, W); of ``"pair6"`` (N, 6, H, W), the source picture first.
        """
        x = images
        for i, conv in enumerate(self.convs):
            x = conv(functional.pad(x, (1, 2, 1, 2)))
            if i:
                x = self.norms[i - 1](x)
            x = functional.leaky_relu(x, 0.2)
        return self.fc(x.flatten(1)).squeeze(1)
