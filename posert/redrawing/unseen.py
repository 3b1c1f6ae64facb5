"""Unseen Poses: the source cut into parts that are moved to where the target has them, over a background (specs unseen_poses)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posert.engine import Session
from posert.errors import InputError
from posert.manifest import Manifest
from posert.ops import composite, part_masks, part_transforms, rasterize_gaussians, warp_parts
from posert.ops.limb_priors.parts import PART_NAMES
from posert.redrawing import Drawn
from posert.stopwatch import Stopwatch
from posert.tensors import beside, empty, joined, on_host, taken

POSE_SIGMA = 3.5
"""Of the pose maps' Gaussians, in pixels of a picture 256 pixels high (specs K3)."""

_WHEEL = np.arange(len(PART_NAMES))[:, None] * (2 * np.pi * 0.3) + np.array([0, 2, 4]) * (np.pi / 3)
PART_COLOURS = np.cos(_WHEEL).astype(np.float32)
"""A colour in [-1, 1] for each part, (10, 3); neighbours differ most."""


@dataclass(frozen=True)
class Sources:
    """N source people, taken apart.

    Attributes:
        pictures: float32 (N, 3, H, W).
        joints: float32 (N, 14, 3), in pixels of the pictures.
        parts: float32 (N, 11, H, W): what each pixel shows, the background first.
        backgrounds: float32 (N, 3, H, W): the pictures without the people.
    """

    pictures: NDArray[np.float32]
    joints: NDArray[np.float32]
    parts: NDArray[np.float32]
    backgrounds: NDArray[np.float32]


@dataclass(frozen=True)
class Layers:
    """What a picture is composed of.

    Attributes:
        moved: float32 (M, 10, 3, H, W): the source's parts where the target pose has them.
        foregrounds: float32 (M, 3, H, W).
        masks: float32 (M, 1, H, W): the foreground's share.
    """

    moved: NDArray[np.float32]
    foregrounds: NDArray[np.float32]
    masks: NDArray[np.float32]


class UnseenRedrawing:
    """See `posert.redrawing.Redrawing`."""

    needs_joints = True
    has_coarse = False

    def __init__(self, manifest: Manifest, session: Session) -> None:
        self.manifest, self.session = manifest, session

    def prepare(self, pictures: NDArray[np.float32], joints: NDArray[np.float32] | None, watch: Stopwatch) -> Sources:
        """Cut the people into parts, and fill the backgrounds."""
        if joints is None:
            raise InputError("Unseen Poses must know where the source's joints are")
        parts = empty((len(pictures), 11, *pictures.shape[2:]), "float32", pictures)
        backgrounds = empty(tuple(pictures.shape), "float32", pictures)
        largest = self.manifest.batch_sizes[-1]
        for start in range(0, len(pictures), largest):
            part = slice(start, start + largest)
            with watch.step("rasterize"):
                maps = pose_maps(beside(joints[part], pictures), tuple(pictures.shape[2:]))
            with watch.step("segmentation"):
                logits = self.session.run("segmentation", {"image": pictures[part], "pose": maps})["logits"]
            with watch.step("part_masks"):
                part_masks(logits, joints[part], power=self.manifest.postprocess.part_power, out=parts[part])
                shown = parts[part, :1]
                masked = joined([pictures[part] * shown, shown])
            with watch.step("background"):
                backgrounds[part] = self.session.run("background", {"image": masked, "pose": maps})["background"]
        return Sources(pictures, joints, parts, backgrounds)

    def backgrounds(self, sources: Sources) -> NDArray[np.float32]:
        """What `prepare` made."""
        return sources.backgrounds

    def layers(self, sources: Sources, index: NDArray[np.int64], target: NDArray[np.float32], watch: Stopwatch) -> Layers:
        """Move the parts and make people of them; arguments as of `draw`."""
        with watch.step("warp_parts"):
            transforms = part_transforms(target, np.ascontiguousarray(taken(sources.joints, index)))
            moved = warp_parts(taken(sources.pictures, index), taken(sources.parts, index)[:, 1:], transforms[:, 1:])
        with watch.step("rasterize"):
            maps = pose_maps(beside(target, moved), self.manifest.preprocess.size)
        with watch.step("foreground"):
            height, width = self.manifest.preprocess.size
            inputs = {"image": moved.reshape(len(target), -1, height, width), "pose": maps}
            outputs = self.session.run("foreground", inputs)
        return Layers(moved, outputs["foreground"], outputs["mask"])

    def draw(
        self, sources: Sources, index: NDArray[np.int64], target: NDArray[np.float32], drawn: Drawn, watch: Stopwatch
    ) -> None:
        """Make the people, and lay them over the backgrounds."""
        layers = self.layers(sources, index, target, watch)
        with watch.step("composite"):
            composite(layers.foregrounds, taken(sources.backgrounds, index), layers.masks, as_uint8=True, out=drawn.images)
            drawn.mask[...] = layers.masks[:, 0] >= 0.5

    def explain(
        self, sources: Sources, index: NDArray[np.int64], target: NDArray[np.float32], watch: Stopwatch
    ) -> dict[str, NDArray[np.float32]]:
        """The source, its parts in colours, every part where the target has it, the foreground, its mask, the background, all."""
        layers = self.layers(sources, index, target, watch)
        sources = Sources(*map(on_host, (sources.pictures, sources.joints, sources.parts, sources.backgrounds)))
        layers = Layers(*map(on_host, (layers.moved, layers.foregrounds, layers.masks)))
        backgrounds = taken(sources.backgrounds, index)
        found = {
            "source": taken(sources.pictures, index),
            "parts": np.einsum("nphw,pc->nchw", taken(sources.parts, index)[:, 1:], PART_COLOURS + 1) - 1,
            **{name: layers.moved[:, part] for part, name in enumerate(PART_NAMES)},
            "foreground": layers.foregrounds,
            "mask": np.repeat(2 * layers.masks - 1, 3, 1),
            "background": backgrounds,
            "image": composite(layers.foregrounds, backgrounds, layers.masks),
        }
        return {name: np.ascontiguousarray(pictures, np.float32) for name, pictures in found.items()}


def pose_maps(joints: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Gaussian maps of joints at half the size of a picture (specs K3).

    Args:
        joints: (N, 14, 3): x, y in pixels of the picture, score; an array or a CUDA tensor, which the maps then are, too.
        size: rows and columns of the picture.

    Returns:
        float32 (N, 14, rows / 2, columns / 2).
    """
    half, sigma = (size[0] // 2, size[1] // 2), POSE_SIGMA * size[0] / 256
    return rasterize_gaussians(joints, half, sigma, stride=2, offset=0.0, inside_only=True)
