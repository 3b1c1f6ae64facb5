"""One person in each box: from images and boxes to joints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.geometry import box_transforms, fit_aspect
from posert.images import Color
from posert.look import Workspace, look, turned
from posert.manifest import Manifest
from posert.ops import decode_heatmaps
from posert.ops.crop_resize import usable_boxes
from posert.scales import resample_maps, scale_boxes
from posert.stopwatch import Stopwatch
from posert.tensors import alike, highest, on_host, packed
from posert.types import Image

_MAPS = ("heatmaps", "occlusion")

UPRIGHT = 0.05
"""How much higher the mean of the heatmaps' peaks must be for a turned look to count: most people are upright. Of 0 to 0.2, those
from 0.03 to 0.1 were about equally good on 300 acrobatic pictures (Leeds Sports Pose Extended, 9501 to 9800)."""

_Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Looks:
    """How often, and how, every person is looked at.

    Attributes:
        flip_test: a second time mirrored; the heatmaps are averaged.
        scales: at these sizes of the person; the heatmaps are averaged.
        rotation_test: all of it again with the person turned by 90, 180 and 270 degrees; the surest counts.
    """

    flip_test: bool = False
    scales: tuple[float, ...] = (1.0,)
    rotation_test: bool = False

    @property
    def once(self) -> bool:
        """Whether the maps of each turn are those of a single look, of which nothing is averaged."""
        return not self.flip_test and self.scales == (1.0,)


@dataclass(frozen=True)
class People:
    """Whom to look at.

    Attributes:
        images: N checked images of any sizes; or a tensor of all, (N, H, W, 3).
        boxes: float32 (P, 4): tight boxes, x0, y0, x1, y1 in pixels.
        image_index: int64 (P,), ascending: the image of each box.
        margin: how much larger than its box a crop is at least.
        color: channel order of the images.
    """

    images: Sequence[Image]
    boxes: _Floats
    image_index: NDArray[np.int64]
    margin: float
    color: Color


def find_in_boxes(
    people: People, manifest: Manifest, workspace: Workspace, watch: Stopwatch, looks: Looks
) -> tuple[_Floats, _Floats | None]:
    """Find the joints of the person in each box.

    Args:
        people: images and boxes.
        manifest: of a model of one person.
        workspace: where the network is run.
        watch: measures the steps crop, network and decode.
        looks: how often everybody is looked at.

    Returns:
        float32 (P, K, 3): x, y in pixels of the image and the height of the heatmap's peak in [0, 1]; and, of a model that tells
        it, float32 (P, K): how likely each joint is hidden.
    """
    keypoints, occlusion = _find(people, manifest, workspace, watch, looks, 0)
    least = keypoints[..., 2].mean(1) + np.float32(UPRIGHT)
    for turns in (1, 2, 3) if looks.rotation_test else ():
        others, hidden = _find(people, manifest, workspace, watch, looks, turns)
        score = others[..., 2].mean(1)
        surer = score > least
        keypoints[surer], least[surer] = others[surer], score[surer]
        if occlusion is not None and hidden is not None:
            occlusion[surer] = hidden[surer]
    return keypoints, occlusion


def _find(
    people: People, manifest: Manifest, workspace: Workspace, watch: Stopwatch, looks: Looks, turns: int
) -> tuple[_Floats, _Floats | None]:
    """As `find_in_boxes`, with the people seen after so many quarter turns."""
    joints, largest = len(manifest.skeleton), manifest.batch_sizes[-1]
    height, width = turned(manifest.preprocess.size, turns)
    crops, index = fit_aspect(people.boxes, width / height, people.margin), people.image_index
    keypoints = np.empty((len(crops), joints, 3), np.float32)
    tells = any(output.name == "occlusion" for output in manifest.network("estimator").outputs)
    occlusion = np.empty((len(crops), joints), np.float32) if tells else None
    for start in range(0, len(crops), largest):
        part = slice(start, start + largest)
        first, last = index[part][0], index[part][-1] + 1
        batch = People(people.images[first:last], crops[part], index[part] - first, 1.0, people.color)
        transforms = box_transforms(crops[part], (height, width))
        found = _replayed(batch, transforms, manifest, workspace, watch, looks, turns)
        if found is None:
            found = _joints(batch, transforms, manifest, workspace, watch, looks, turns)
        with watch.step("decode"):
            keypoints[part] = on_host(found["keypoints"])
            if occlusion is not None:
                occlusion[part] = on_host(found["occlusion"])
    return keypoints, occlusion


def _replayed(
    batch: People, transforms: _Floats, manifest: Manifest, workspace: Workspace, watch: Stopwatch, looks: Looks, turns: int
) -> dict[str, Any] | None:
    """As `_joints`, from a CUDA graph of all its steps; None where there is none.

    There may be one for images on the device that are of one size, as many people as a batch of the bundle has, and maps that
    the host does not average.
    """
    fits = alike(batch.images) and len(batch.boxes) in manifest.batch_sizes and looks.once
    if not fits or not usable_boxes(batch.boxes).all():  # of tensors no box is refused
        return None

    def work(given: Mapping[str, Any]) -> dict[str, Any]:
        people = People(given["images"], given["boxes"], given["image_index"], 1.0, batch.color)
        return _joints(people, given["transforms"], manifest, workspace, Stopwatch(), looks, turns)

    inputs = {"images": list(batch.images), "boxes": batch.boxes, "image_index": batch.image_index, "transforms": transforms}
    graph = Stopwatch()
    with graph.step("graph"):
        found = workspace(0, batch.images[0])[0].replay(("estimation", batch.color, turns), inputs, work)
    if found is not None:
        watch.add(graph)
    return found


def _joints(
    batch: People, transforms: Any, manifest: Manifest, workspace: Workspace, watch: Stopwatch, looks: Looks, turns: int
) -> dict[str, Any]:
    """Keypoints (P, K, 3) and, of a model that tells it, occlusion (P, K) of one batch of crops; tensors where the maps are.

    Boxes, their images' indices and `transforms`, (P, 2, 3), are arrays, or tensors where the images are.
    """
    post = manifest.postprocess
    maps = _average(batch, manifest, workspace, watch, looks, turns)
    with watch.step("decode"):
        heatmaps = packed(maps["heatmaps"])
        found = {"keypoints": decode_heatmaps(heatmaps, post.method, stride=post.stride, transforms=transforms)}
        return found | {"occlusion": highest(maps["occlusion"])} if "occlusion" in maps else found


def _average(
    batch: People, manifest: Manifest, workspace: Workspace, watch: Stopwatch, looks: Looks, turns: int
) -> dict[str, _Floats]:
    """The network's maps of one batch of crops, averaged over the scales."""
    if looks.scales == (1.0,):
        return _maps(batch, batch.boxes, manifest, workspace, watch, looks, turns)
    total: dict[str, _Floats] = {}
    for scale in looks.scales:
        maps = _maps(batch, scale_boxes(batch.boxes, 1 / scale), manifest, workspace, watch, looks, turns)
        with watch.step("decode"):
            for name, one in maps.items():
                maps_here = resample_maps(np.ascontiguousarray(one), one.shape[2:], 1 / scale)
                total[name] = total.get(name, np.float32(0)) + maps_here / np.float32(len(looks.scales))
    return total


def _maps(
    batch: People, boxes: _Floats, manifest: Manifest, workspace: Workspace, watch: Stopwatch, looks: Looks, turns: int
) -> dict[str, _Floats]:
    """The network's maps by name, one a joint, of one look or of two that mirror each other."""
    flip = list(manifest.skeleton.flip)

    def once(mirrored: bool) -> dict[str, _Floats]:
        found, _ = look(
            batch.images,
            boxes,
            manifest.preprocess,
            workspace,
            watch,
            color=batch.color,
            mirrored=mirrored,
            turns=turns,
            image_index=batch.image_index,
        )
        maps = {name: found[name][:, : len(flip)] for name in found if name in _MAPS}
        # What is averaged, is averaged on the host; the maps of a single look stay where they are.
        return maps if looks.once else {name: on_host(one) for name, one in maps.items()}

    maps = once(mirrored=False)
    if looks.flip_test:
        others = once(mirrored=True)
        maps = {name: (one + others[name][:, flip, :, ::-1]) * np.float32(0.5) for name, one in maps.items()}
    return maps
