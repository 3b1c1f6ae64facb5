"""Synthesizing images of humans in unseen poses (Balakrishnan et al., CVPR 2018, arXiv 1804.07739; specs unseen_poses).

Three U-Nets with fixed geometry between them: `SourceSegmentation` cuts the source into parts, which are moved to where the
target pose has them; `ForegroundSynthesis` makes a person of them, `BackgroundSynthesis` fills what the person hid, and a mask
lays one over the other. `Unseen` is all of it, for training; the networks are exported one by one, so that what depends on the
source alone is computed once. `UNetBaseline` is the single network that the paper compares itself with. Convolutions pad as
TensorFlow's SAME does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from posert.errors import InputError
from posert.models.holes import around, fill_hole, grow_hole, surely_background
from posert.models.layers import SameDownsample, glorot_conv

JOINTS, PARTS = 14, 10
HALVINGS = 5
_SLOPE = 0.2


@dataclass(frozen=True)
class UnseenConfig:
    """Sizes of the model; the defaults are the official ones.

    Attributes:
        height: rows of the picture, a multiple of 32.
        width: columns of the picture, likewise.
        channels: width of the networks' first layers; deeper ones are twice as wide.
        background_channels: the same of the background network, or None: as the others.
        residual: the networks add to what is there, the masked source and the sum of the moved parts, instead of making every
            pixel anew, and the mask begins near the background (specs unseen_poses, 9; not in the paper).
        pull_push: what the background network adds to is the masked source with its hole filled by `fill_hole`; for residual
            networks alone.
        hole_growth: by how many pixels the background network's hole is made larger than the person was found to be, since
            what is left of a person's rim is drawn as a line. For networks with `pull_push`.
        repair_margin: how many pixels beyond the hole the background network changes anything; what lies farther away stays the
            source's, exactly. 0: it may change everything. For networks with `pull_push`.
        mask_gain: outside of training the mask's logits are multiplied by it. Trained to be right on average, the mask is half a
            person where it is unsure, and people look translucent; eyes, and LPIPS, rather have it decided.
        part_power: likewise, the shares of the source's parts are raised to it and normalised again (`posert.ops.part_masks`).
    """

    height: int = 256
    width: int = 256
    channels: int = 64
    background_channels: int | None = None
    residual: bool = False
    pull_push: bool = False
    hole_growth: int = 0
    repair_margin: int = 0
    mask_gain: float = 1.0
    part_power: int = 1

    def __post_init__(self) -> None:
        step = 2**HALVINGS
        if min(self.height, self.width) < 2 * step or self.height % step or self.width % step:
            raise InputError(f"height and width must be multiples of {step} from {2 * step} on, got {self.height} x {self.width}")
        if self.pull_push and not self.residual:
            raise InputError("pull_push is what a residual network adds to; set residual as well")
        for name, pixels in (("hole_growth", self.hole_growth), ("repair_margin", self.repair_margin)):
            if pixels < 0 or (pixels and not self.pull_push):
                raise InputError(f"{name} must be at least 0, and 0 without pull_push, got {pixels}")
        if self.mask_gain <= 0 or self.part_power < 1:
            raise InputError(f"mask_gain must be above 0, part_power at least 1, got {self.mask_gain:g} and {self.part_power}")
        for name, value in (("channels", self.channels), ("background_channels", self.background_channels)):
            if value is not None and (value < 2 or value % 2):
                raise InputError(f"{name} must be an even number of at least 2, got {value}")


OFFICIAL = UnseenConfig()


def upsample(x: Tensor) -> Tensor:
    """Double height and width: even outputs are the inputs, odd ones means of two neighbours; the border mirrors (specs K5)."""
    height, width = x.shape[2:]
    mirrored = functional.pad(x, (0, 1, 0, 1), mode="reflect")
    size = (2 * height + 1, 2 * width + 1)
    return functional.interpolate(mirrored, size, mode="bilinear", align_corners=True)[..., :-1, :-1]


def upsample_in_training(x: Tensor) -> Tensor:
    """`upsample`, three times as fast with its gradient on a CPU: means of neighbours, in the memory order of channels last."""
    y = x.permute(0, 2, 3, 1)
    for side in (1, 2):
        following = torch.cat([y.narrow(side, 1, y.shape[side] - 1), y.narrow(side, y.shape[side] - 2, 1)], side)
        y = torch.stack([y, (y + following) * 0.5], side + 1).flatten(side, side + 1)
    return y.permute(0, 3, 1, 2)


class UNet(nn.Module):
    """The U-Net that all networks share; the pose joins at half resolution.

    Attributes:
        outputs: channels of what `forward` gives.
    """

    def __init__(self, inputs: int, pose: int, encoder: tuple[int, ...], decoder: tuple[int, ...]) -> None:
        """Build it.

        Args:
            inputs: channels of the picture.
            pose: channels of the pose maps.
            encoder: widths of the eleven convolutions: at full size, then twice at every size, where the second of a pair halves,
                and one at the bottom.
            decoder: widths of the five on the way back.
        """
        super().__init__()
        self.outputs = decoder[-1]
        self.stem = glorot_conv(inputs, encoder[0], 7)
        self.down = nn.ModuleList([SameDownsample(encoder[0], encoder[1])])
        self.level = nn.ModuleList()
        width, skips = encoder[1] + pose, [encoder[0]]
        for level, down in zip(encoder[2:-1:2], encoder[3:-1:2], strict=True):
            self.level.append(glorot_conv(width, level))
            self.down.append(SameDownsample(level, down))
            skips.append(level)
            width = down
        self.bottom = glorot_conv(width, encoder[-1])
        self.up = nn.ModuleList()
        width = encoder[-1]
        for skip, up in zip(reversed(skips), decoder, strict=True):
            self.up.append(glorot_conv(width + skip, up))
            width = up

    def forward(self, image: Tensor, pose: Tensor) -> Tensor:
        """Features of every pixel.

        Args:
            image: (N, C, H, W).
            pose: (N, J, H / 2, W / 2).

        Returns:
            (N, outputs, H, W).
        """
        skips = [_active(self.stem(image))]
        x = torch.cat([_active(self.down[0](skips[0])), pose], 1)
        for level, down in zip(self.level, list(self.down)[1:], strict=True):
            skips.append(_active(level(x)))
            x = _active(down(skips[-1]))
        x = _active(self.bottom(x))
        double = upsample_in_training if self.training else upsample
        for up, skip in zip(self.up, reversed(skips), strict=True):
            x = _active(up(torch.cat([double(x), skip], 1)))
        return x


def _active(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, _SLOPE)


def _unet(inputs: int, channels: int, last: int) -> UNet:
    return UNet(inputs, JOINTS, (channels,) * 2 + (2 * channels,) * 9, (2 * channels,) * 4 + (last,))


class SourceSegmentation(nn.Module):
    """What is added to the limb priors before the softmax over background and parts."""

    def __init__(self, config: UnseenConfig = OFFICIAL) -> None:
        super().__init__()
        self.unet = _unet(3, config.channels, config.channels // 2)
        self.head = glorot_conv(self.unet.outputs, PARTS + 1)

    def forward(self, image: Tensor, pose: Tensor) -> Tensor:
        """Logits (N, 11, H, W) of a source (N, 3, H, W) in [-1, 1] whose pose maps are (N, 14, H / 2, W / 2)."""
        logits: Tensor = self.head(self.unet(image, pose))
        return logits


class BackgroundSynthesis(nn.Module):
    """The picture without the person."""

    def __init__(self, config: UnseenConfig = OFFICIAL) -> None:
        super().__init__()
        channels = config.background_channels or config.channels
        self.unet = _unet(4, channels, channels)
        self.head = glorot_conv(self.unet.outputs, 3)
        self.residual, self.pull_push = config.residual, config.pull_push
        self.hole_growth, self.repair_margin = config.hole_growth, config.repair_margin

    def forward(self, masked: Tensor, pose: Tensor) -> Tensor:
        """The background.

        Args:
            masked: (N, 4, H, W): the source times its background mask, then that mask.
            pose: (N, 14, H / 2, W / 2): of the source.

        Returns:
            (N, 3, H, W): in [-1, 1]; of a residual network, nominally.
        """
        if self.hole_growth:
            masked = grow_hole(masked, self.hole_growth)
        made = self.head(self.unet(masked, pose))
        picture, share = masked[:, :3], masked[:, 3:]
        if not self.residual:
            return torch.tanh(made)
        if not self.pull_push:
            return picture + 0.5 * made
        if self.repair_margin:
            made = made * around(1 - surely_background(share), self.repair_margin).detach()
        return fill_hole(picture, share) + 0.5 * made


class ForegroundSynthesis(nn.Module):
    """The person in the target pose, and where it is."""

    def __init__(self, config: UnseenConfig = OFFICIAL) -> None:
        super().__init__()
        self.unet = _unet(3 * PARTS, config.channels, config.channels)
        self.head = glorot_conv(self.unet.outputs, 3)
        self.mask = glorot_conv(self.unet.outputs, 1)
        self.residual, self.mask_gain = config.residual, config.mask_gain
        if self.residual:
            nn.init.constant_(self.mask.bias, -1.0)  # type: ignore[arg-type]

    def forward(self, layers: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
        """The foreground and its mask.

        Args:
            layers: (N, 30, H, W): the source's parts where the target pose has them, three channels each.
            pose: (N, 14, H / 2, W / 2): of the target.

        Returns:
            (N, 3, H, W) in [-1, 1] (of a residual network, nominally), and (N, 1, H, W) in [0, 1].
        """
        features = self.unet(layers, pose)
        made = self.head(features)
        parts = layers.reshape(-1, PARTS, 3, *layers.shape[2:]).sum(1)
        mask = self.mask(features) if self.training else self.mask_gain * self.mask(features)
        return parts + 0.5 * made if self.residual else torch.tanh(made), torch.sigmoid(mask)


class Synthesis(NamedTuple):
    """What `Unseen` makes of a batch.

    Attributes:
        image: (N, 3, H, W): the composite.
        foreground: (N, 3, H, W).
        background: (N, 3, H, W).
        mask: (N, 1, H, W): the foreground's share.
        parts: (N, 11, H, W): what each pixel of the source shows, the background first.
    """

    image: Tensor
    foreground: Tensor
    background: Tensor
    mask: Tensor
    parts: Tensor


class Unseen(nn.Module):
    """All three networks, and what lies between them, differentiable."""

    def __init__(self, config: UnseenConfig = OFFICIAL) -> None:
        super().__init__()
        self.config = config
        self.segmentation = SourceSegmentation(config)
        self.background = BackgroundSynthesis(config)
        self.foreground = ForegroundSynthesis(config)

    def forward(self, source: Tensor, source_pose: Tensor, priors: Tensor, transforms: Tensor, target_pose: Tensor) -> Synthesis:
        """Draw the source person in the target pose.

        Args:
            source: (N, 3, H, W), in [-1, 1].
            source_pose: (N, 14, H / 2, W / 2): Gaussian maps of the source's joints (specs K3).
            priors: (N, 11, H, W): log priors of the source's limbs, background first (specs K4).
            transforms: (N, 11, 2, 3): from target to source pixels, background first (specs K6).
            target_pose: as `source_pose`, of the target.
        """
        logits = self.segmentation(source, source_pose)
        power = 1 if self.training else self.config.part_power
        parts = (power * (logits.float() + priors)).softmax(1)
        layers = warp(source, parts[:, 1:], transforms[:, 1:])
        masked = torch.cat([source * parts[:, :1], parts[:, :1]], 1)
        background = self.background(masked, source_pose).float()
        foreground, mask = self.foreground(layers, target_pose)
        foreground, mask = foreground.float(), mask.float()
        return Synthesis(mask * foreground + (1 - mask) * background, foreground, background, mask, parts)


def warp(source: Tensor, masks: Tensor, transforms: Tensor) -> Tensor:
    """`posert.ops.warp_parts` in torch, differentiable, in float32 (specs K7).

    Args:
        source: (N, 3, H, W).
        masks: (N, P, H, W).
        transforms: (N, P, 2, 3): from the layers' pixels to the source's.

    Returns:
        (N, 3 P, H, W), part by part.
    """
    count, parts, height, width = masks.shape
    with torch.autocast(source.device.type, enabled=False):
        cut = (source.float()[:, None] * masks.float()[:, :, None]).flatten(0, 1)
        padded = functional.pad(cut, (1, 1, 1, 1), mode="reflect")
        y, x = torch.meshgrid(
            torch.arange(height, device=source.device), torch.arange(width, device=source.device), indexing="ij"
        )
        pixels = torch.stack([x, y, torch.ones_like(x)], -1).float().flatten(0, 1)
        places = pixels @ transforms.float().flatten(0, 1).transpose(1, 2)
        last = torch.tensor([width + 1.0, height + 1.0], device=source.device)
        grid = ((places + 1) / last * 2 - 1).reshape(count * parts, height, width, 2)
        moved = functional.grid_sample(padded, grid, padding_mode="border", align_corners=True)
    return moved.reshape(count, 3 * parts, height, width)


class Discriminator(nn.Module):
    """Judges a picture with the two poses (specs unseen_poses, 3)."""

    def __init__(self, config: UnseenConfig = OFFICIAL, channels: int = 64) -> None:
        """Build it; `channels` is the width of the first layer."""
        super().__init__()
        c = channels
        widths = [
            (3, c, 5),
            (c + 2 * JOINTS, 2 * c, 5),
            (2 * c, 4 * c, 3),
            (4 * c, 4 * c, 3),
            (4 * c, 4 * c, 3),
            (4 * c, 4 * c, 3),
        ]
        self.convs = nn.ModuleList(glorot_conv(*width) for width in widths)
        area = (config.height >> HALVINGS) * (config.width >> HALVINGS)
        self.fc = nn.ModuleList([nn.Linear(4 * c * area, 256), nn.Linear(256, 256), nn.Linear(256, 1)])

    def forward(self, image: Tensor, source_pose: Tensor, target_pose: Tensor) -> Tensor:
        """Logits (N, 1) that pictures (N, 3, H, W) are real, whose poses are (N, 14, H / 2, W / 2) each."""
        x = functional.max_pool2d(_active(self.convs[0](image)), 2)
        x = torch.cat([x, source_pose, target_pose], 1)
        for conv in list(self.convs)[1:-1]:
            x = functional.max_pool2d(_active(conv(x)), 2)
        x = _active(self.convs[-1](x)).flatten(1)
        for layer in list(self.fc)[:-1]:
            x = functional.relu(layer(x))
        logits: Tensor = self.fc[-1](x)
        return logits


class UNetBaseline(nn.Module):
    """One U-Net from the source and both poses to the picture, with neither parts nor layers."""

    def __init__(self, config: UnseenConfig = OFFICIAL) -> None:
        super().__init__()
        c = config.channels
        self.unet = UNet(3, 2 * JOINTS, (c, 2 * c, 2 * c, 2 * c, *(4 * c,) * 7), (4 * c, 4 * c, 4 * c, 2 * c, c))
        self.head = glorot_conv(self.unet.outputs, 3)

    def forward(self, source: Tensor, source_pose: Tensor, target_pose: Tensor) -> Tensor:
        """The picture (N, 3, H, W) in [-1, 1]; inputs as of `Unseen`."""
        return torch.tanh(self.head(self.unet(source, torch.cat([source_pose, target_pose], 1))))
