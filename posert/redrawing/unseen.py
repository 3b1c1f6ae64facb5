"""Unseen Poses: the source cut into parts that are moved to where the target has them, over a background (specs unseen_poses)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.engine import Session
from posert.errors import InputError
from posert.manifest import Manifest
from posert.ops import composite, part_masks, part_transforms, rasterize_gaussians, warp_parts
from posert.ops.limb_priors.parts import PART_NAMES
from posert.redrawing import Drawn, Poses, Sources
from posert.stopwatch import Stopwatch
from posert.tensors import beside, empty, joined, on_host

POSE_SIGMA = 3.5
"""Of the pose maps' Gaussians, in pixels of a picture 256 pixels high (specs K3)."""

_WHEEL = np.arange(len(PART_NAMES))[:, None] * (2 * np.pi * 0.3) + np.array([0, 2, 4]) * (np.pi / 3)
PART_COLOURS = np.cos(_WHEEL).astype(np.float32)
"""A colour in [-1, 1] for each part, (10, 3); neighbours differ most."""


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

    def prepare(self, pictures: NDArray[np.float32], joints: NDArray[np.float32] | None, watch: Stopwatch) -> dict[str, Any]:
        """Cut the people into parts, and fill the backgrounds.

        Returns:
            The ``pictures``; ``parts``, float32 (N, 11, H, W): what each pixel shows, the background first; ``backgrounds``,
            float32 (N, 3, H, W): the pictures without the people.
        """
        if joints is None:
            raise InputError("Unseen Poses must know where the source's joints are")
        parts = empty((len(pictures), 11, *pictures.shape[2:]), "float32", pictures)
        backgrounds = empty(tuple(pictures.shape), "float32", pictures)
        largest = self.manifest.batch_sizes[-1]
        for start in range(0, len(pictures), largest):
            part = slice(start, start + largest)
            with watch.step("rasterize"):
                points = beside(joints[part], pictures)
                maps = pose_maps(points, tuple(pictures.shape[2:]))
            with watch.step("segmentation"):
                logits = self.session.run("segmentation", {"image": pictures[part], "pose": maps})["logits"]
            with watch.step("part_masks"):
                part_masks(logits, points, power=self.manifest.postprocess.part_power, out=parts[part])
                shown = parts[part, :1]
                masked = joined([pictures[part] * shown, shown])
            with watch.step("background"):
                backgrounds[part] = self.session.run("background", {"image": masked, "pose": maps})["background"]
        return {"pictures": pictures, "parts": parts, "backgrounds": backgrounds}

    def poses(self, target: NDArray[np.float32], joints: NDArray[np.float32] | None, watch: Stopwatch) -> dict[str, Any]:
        """The ``target``'s joints, and ``transforms``, float32 (M, 10, 2, 3): how its parts come from the source's."""
        if joints is None:
            raise InputError("Unseen Poses must know where the source's joints are")
        with watch.step("warp_parts"):
            return {"target": target, "transforms": np.ascontiguousarray(part_transforms(target, joints)[:, 1:])}

    def backgrounds(self, sources: Sources) -> NDArray[np.float32]:
        """What `prepare` made."""
        found: NDArray[np.float32] = sources["backgrounds"]
        return found

    def layers(self, sources: Sources, poses: Poses, watch: Stopwatch) -> Layers:
        """Move the parts and make people of them; arguments as of `draw`."""
        target = poses["target"]
        with watch.step("warp_parts"):
            transforms = beside(poses["transforms"], sources["pictures"])
            moved = warp_parts(sources["pictures"], sources["parts"][:, 1:], transforms)
        with watch.step("rasterize"):
            maps = pose_maps(beside(target, moved), self.manifest.preprocess.size)
        with watch.step("foreground"):
            height, width = self.manifest.preprocess.size
            inputs = {"image": moved.reshape(len(target), -1, height, width), "pose": maps}
            outputs = self.session.run("foreground", inputs)
        return Layers(moved, outputs["foreground"], outputs["mask"])

    def draw(self, sources: Sources, poses: Poses, drawn: Drawn, watch: Stopwatch) -> None:
        """Make the people, and lay them over the backgrounds."""
        layers = self.layers(sources, poses, watch)
        with watch.step("composite"):
            composite(layers.foregrounds, sources["backgrounds"], layers.masks, as_uint8=True, out=drawn.images)
            drawn.mask[...] = layers.masks[:, 0] >= 0.5

    def explain(self, sources: Sources, poses: Poses, watch: Stopwatch) -> dict[str, NDArray[np.float32]]:
        """The source, its parts in colours, every part where the target has it, the foreground, its mask, the background, all."""
        layers = self.layers(sources, poses, watch)
        sources = {name: on_host(value) for name, value in sources.items()}
        layers = Layers(*map(on_host, (layers.moved, layers.foregrounds, layers.masks)))
        found = {
            "source": sources["pictures"],
            "parts": np.einsum("nphw,pc->nchw", sources["parts"][:, 1:], PART_COLOURS + 1) - 1,
            **{name: layers.moved[:, part] for part, name in enumerate(PART_NAMES)},
            "foreground": layers.foregrounds,
            "mask": np.repeat(2 * layers.masks - 1, 3, 1),
            "background": sources["backgrounds"],
            "image": composite(layers.foregrounds, sources["backgrounds"], layers.masks),
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
