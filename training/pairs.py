"""Batches of frame pairs, augmented alike in both frames, and what networks of unseen poses take (specs unseen_poses, 2, 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posert import ops
from posert.redrawing.unseen import pose_maps
from posert.skeleton import get_skeleton
from training.data.pairs import Clip, Frame, RenderedPairs
from training.pixels import SIGNED, normalise

FLIP = list(get_skeleton("cpm14").flip)
# The parts' mirror images, by their numbers in a map of parts.
_MIRRORED = np.arange(256, dtype=np.uint8)
_MIRRORED[2:10] = [4, 5, 2, 3, 8, 9, 6, 7]


@dataclass(frozen=True)
class PairAugmentation:
    """How much pairs vary, both frames alike; the defaults are the released training's.

    Attributes:
        scale: least and greatest factor on the size.
        shift: pixels to either side, of frames 256 pixels high.
        rotation: degrees to either side.
        saturation: how much values, in -1..1, are multiplied at most, above and below 1.
        missing: chance that a pose lacks one to three joints, as estimators leave them. Not in the released training.
    """

    scale: tuple[float, float] = (0.9, 1.05)
    shift: float = 5.0
    rotation: float = 5.0
    saturation: float = 0.05
    missing: float = 0.0


@dataclass(frozen=True)
class Pairs:
    """A batch of pairs.

    Attributes:
        source: uint8 (N, H, W, 3), RGB.
        target: likewise.
        source_joints: float32 (N, 14, 3), CPM-14.
        target_joints: likewise.
        source_parts: uint8 (N, H, W): 0 the background, 1 to 10 a part, `training.data.pairs.UNKNOWN`.
        target_person: bool (N, H, W).
    """

    source: NDArray[np.uint8]
    target: NDArray[np.uint8]
    source_joints: NDArray[np.float32]
    target_joints: NDArray[np.float32]
    source_parts: NDArray[np.uint8]
    target_person: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.source)


class PairSource(Protocol):
    """What pairs are drawn from."""

    def draw(self, rng: np.random.Generator, count: int) -> list[tuple[Frame, Frame]]:
        """Pairs at random."""


class RenderedSource:
    """Rendered pairs at random."""

    def __init__(self, pairs: RenderedPairs, first: int = 1 << 24) -> None:
        """Of numbers `first` and above, so that those below stay unseen."""
        self.pairs, self.first = pairs, first

    def draw(self, rng: np.random.Generator, count: int) -> list[tuple[Frame, Frame]]:
        """Pairs at random; up to four in a row show one person, which is drawn in half the time."""
        together = self.pairs.renderer.reuse
        people = self.first // together + rng.integers(1 << 28, size=-(-count // together))
        return [self.pairs.pair(int(people[i // together]) * together + i % together) for i in range(count)]


class ClipSource:
    """Two frames of one clip at random, at least 2 % of its length apart (specs unseen_poses, 4)."""

    def __init__(self, clips: Mapping[str, Clip]) -> None:
        self.clips = list(clips.values())

    def draw(self, rng: np.random.Generator, count: int) -> list[tuple[Frame, Frame]]:
        """Pairs at random; clips count by their lengths."""
        lengths = np.array([len(clip) for clip in self.clips], np.float64)
        pairs: list[tuple[Frame, Frame]] = []
        while len(pairs) < count:
            clip = self.clips[int(rng.choice(len(lengths), p=lengths / lengths.sum()))]
            first, second = (int(number) for number in rng.integers(0, len(clip), 2))
            if abs(first - second) >= 0.02 * len(clip):
                pairs.append((clip.frame(first), clip.frame(second)))
        return pairs


class PairSampler:
    """Draws batches of pairs; batch number and seed decide, so a run can resume anywhere."""

    def __init__(
        self,
        sources: Sequence[tuple[PairSource, float]],
        size: tuple[int, int],
        seed: int,
        amount: PairAugmentation | None = None,
    ) -> None:
        """Prepare.

        Args:
            sources: where pairs come from, each with its share.
            size: rows and columns of the frames.
            seed: of all chance.
            amount: how much pairs vary.
        """
        self.sources = [source for source, _ in sources]
        shares = np.array([share for _, share in sources], np.float64)
        self.shares = shares / shares.sum()
        self.size, self.seed, self.amount = size, seed, amount or PairAugmentation()

    def batch(self, number: int, count: int) -> Pairs:
        """`count` pairs."""
        rng = np.random.default_rng((self.seed, number))
        counts = rng.multinomial(count, self.shares)
        drawn = [pair for source, share in zip(self.sources, counts, strict=True) for pair in source.draw(rng, int(share))]
        return stack([augmented(source, target, self.size, self.amount, rng) for source, target in drawn])


def stack(pairs: Sequence[tuple[Frame, Frame]]) -> Pairs:
    """Pairs of equally large frames as a batch."""
    sources, targets = zip(*pairs, strict=True)
    return Pairs(
        np.stack([frame.image for frame in sources]),
        np.stack([frame.image for frame in targets]),
        np.stack([frame.joints for frame in sources]),
        np.stack([frame.joints for frame in targets]),
        np.stack([frame.parts for frame in sources]),
        np.stack([frame.person for frame in targets]),
    )


def augmented(
    source: Frame, target: Frame, size: tuple[int, int], amount: PairAugmentation, rng: np.random.Generator
) -> tuple[Frame, Frame]:
    """Both frames cut to a size, moved, turned, mirrored and brightened alike."""
    height, width = source.image.shape[:2]
    zoom = min(size[0] / height, size[1] / width) * rng.uniform(*amount.scale)
    angle = np.deg2rad(rng.uniform(-1, 1) * amount.rotation)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirrored = rng.random() < 0.5
    if mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    middle = np.array([width - 1, height - 1]) / 2
    shift = np.trunc(rng.uniform(-1, 1, 2) * amount.shift * size[0] / 256)
    place = np.array([size[1] - 1, size[0] - 1]) / 2 + shift
    matrix = np.concatenate([linear, (place - linear @ middle)[:, None]], 1)
    gain = 1 + amount.saturation * rng.uniform(-1, 1)
    moved = (_move(frame, matrix, size, mirrored, gain, amount.missing, rng) for frame in (source, target))
    first, second = moved
    return first, second


def resized(frame: Frame, size: tuple[int, int]) -> Frame:
    """A frame at another size of the same proportions."""
    height, width = frame.image.shape[:2]
    scale = np.array([size[1] / width, size[0] / height])
    matrix = np.concatenate([np.diag(scale), (0.5 * scale - 0.5)[:, None]], 1)
    return _move(frame, matrix, size, False, 1.0, 0.0, np.random.default_rng(0))


def _move(
    frame: Frame,
    matrix: NDArray[np.float64],
    size: tuple[int, int],
    mirrored: bool,
    gain: float,
    missing: float,
    rng: np.random.Generator,
) -> Frame:
    def warped(image: NDArray[np.uint8], how: int) -> NDArray[np.uint8]:
        return cv2.warpAffine(image, matrix, size[::-1], flags=how, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[return-value]

    image = warped(frame.image, cv2.INTER_AREA if abs(np.linalg.det(matrix[:, :2])) < 1 else cv2.INTER_LINEAR)
    brighter = np.clip((image / np.float32(127.5) - 1) * np.float32(gain), -1, 1)  # black grows with the rest, as released
    joints = frame.joints.copy()
    joints[:, :2] = frame.joints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    parts = warped(frame.parts, cv2.INTER_NEAREST)
    if mirrored:
        joints, parts = joints[FLIP], _MIRRORED[parts]
    if rng.random() < missing:
        joints[rng.choice(len(joints), rng.integers(1, 4), replace=False)] = (np.nan, np.nan, 0)
    person = warped(frame.person.astype(np.uint8), cv2.INTER_NEAREST) > 0
    return Frame(((brighter + 1) * np.float32(127.5)).round().astype(np.uint8), joints, parts, person)


@dataclass(frozen=True)
class Inputs:
    """What `posert.models.unseen.Unseen.forward` takes, by its names, and the target.

    Attributes:
        source: float32 (N, 3, H, W) in [-1, 1].
        source_pose: float32 (N, 14, H / 2, W / 2).
        priors: float32 (N, 11, H, W).
        transforms: float32 (N, 11, 2, 3).
        target_pose: as `source_pose`.
    """

    source: Tensor
    source_pose: Tensor
    priors: Tensor
    transforms: Tensor
    target_pose: Tensor


def inputs(pairs: Pairs, device: torch.device | str = "cpu") -> Inputs:
    """A batch as the networks take it; RGB, which a network trained from scratch sees as well as the paper's BGR."""
    size = pairs.source.shape[1:3]
    return Inputs(
        normalise(pairs.source, SIGNED, device),
        torch.from_numpy(pose_maps(pairs.source_joints, size)).to(device),
        torch.from_numpy(ops.limb_priors(pairs.source_joints, size)).to(device),
        torch.from_numpy(ops.part_transforms(pairs.target_joints, pairs.source_joints)).to(device),
        torch.from_numpy(pose_maps(pairs.target_joints, size)).to(device),
    )
