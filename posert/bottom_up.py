"""Everybody in an image at once: from heatmaps and part affinity fields to people (specs paf, K12 to K14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.geometry import box_transforms, fit_aspect, person_boxes
from posert.images import Color, whole_boxes
from posert.look import Workspace, look
from posert.manifest import Manifest
from posert.mosaic import average_maps
from posert.ops import PAF_LIMBS, assemble_people, find_peaks, limb_scores
from posert.processing import Decoding
from posert.separate_peaks import separate_peaks
from posert.skeleton import Skeleton
from posert.stopwatch import Stopwatch
from posert.tensors import on_host
from posert.types import Image, Poses


def find_everybody(
    images: Sequence[Image],
    manifest: Manifest,
    workspace: Workspace,
    watch: Stopwatch,
    *,
    color: Color,
    flip_test: bool,
    scales: Sequence[float] = (1.0,),
) -> Poses:
    """Find all people of all images.

    Args:
        images: N checked images of any sizes.
        manifest: of a part affinity field model.
        workspace: where the network is run.
        watch: measures the steps crop, network and decode.
        color: channel order of the images.
        flip_test: whether every image is looked at twice, the second time mirrored, and the maps are averaged.
        scales: see `posert.mosaic.average_maps`.

    Returns:
        The people, image after image, in each from the surest to the least sure; `boxes` are those around their joints
        (`posert.geometry.person_boxes`).
    """
    pre, post, largest = manifest.preprocess, manifest.postprocess, manifest.batch_sizes[-1]
    cells = (pre.size[0] // post.stride, pre.size[1] // post.stride)

    def see(images: Sequence[Image], boxes: NDArray[np.float32], index: NDArray[np.int64]) -> NDArray[np.float32]:
        maps = []
        for start in range(0, len(boxes), largest):
            part = slice(start, start + largest)
            looks = [
                look(images, boxes[part], pre, workspace, watch, color=color, mirrored=mirrored, image_index=index[part])[0]
                for mirrored in (False, True)[: 1 + flip_test]
            ]
            looks = [{name: on_host(one) for name, one in found.items()} for found in looks]  # peaks are found on the CPU
            maps.append(_both(looks, manifest.skeleton))
        return np.concatenate(maps)

    keypoints, index = [np.zeros((0, len(manifest.skeleton), 3), np.float32)], [np.zeros(0, np.int64)]
    for start in range(0, len(images), largest):
        batch = images[start : start + largest]
        boxes = letterbox(batch, pre.size)
        maps = average_maps(batch, boxes, scales, cells, see)
        with watch.step("decode"):
            heatmaps, pafs = maps[:, : len(manifest.skeleton)], maps[:, len(manifest.skeleton) :]
            transforms = box_transforms(boxes, (maps.shape[2] * post.stride, maps.shape[3] * post.stride))
            sizes = np.array([image.shape[:2] for image in batch], np.int64)
            found, image = decode(heatmaps, pafs, transforms, sizes, post.stride, post.decoding)
        keypoints.append(found)
        index.append(image + start)
    people = np.concatenate(keypoints)
    return Poses(people, np.concatenate(index), person_boxes(people), manifest.skeleton)


def _both(looks: Sequence[dict[str, NDArray[np.float32]]], skeleton: Skeleton) -> NDArray[np.float32]:
    """Heatmaps without the background, then fields, of one look or of two that mirror each other: (M, K + 2 L, h, w)."""
    joints = len(skeleton)
    maps = np.concatenate([looks[0]["heatmaps"][:, :joints], looks[0]["pafs"]], 1)
    if len(looks) == 1:
        return maps
    mirrored = mirror_back(looks[1]["heatmaps"][:, :joints], looks[1]["pafs"], skeleton)
    result: NDArray[np.float32] = (maps + np.concatenate(mirrored, 1)) * np.float32(0.5)
    return result


def letterbox(images: Sequence[Image], size: tuple[int, int]) -> NDArray[np.float32]:
    """The boxes that show whole images in a network's proportions, (N, 4): x0, y0, x1, y1; they reach beyond the images."""
    return fit_aspect(whole_boxes(images), size[1] / size[0])


def mirror_back(
    heatmaps: NDArray[np.float32], pafs: NDArray[np.float32], skeleton: Skeleton
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Maps of mirrored images as those of the images themselves.

    Args:
        heatmaps: float32 (N, K, h, w), without the background.
        pafs: float32 (N, 2 L, h, w).
        skeleton: the joints, with their mirror pairs.

    Returns:
        Both, as views or copies.
    """
    limbs = [(skeleton.flip[a], skeleton.flip[b]) for a, b in PAF_LIMBS]
    channels = np.array([2 * PAF_LIMBS.index(limb) + axis for limb in limbs for axis in (0, 1)])
    fields = pafs[:, channels, :, ::-1].copy()
    fields[:, ::2] *= -1  # what pointed to the left now points to the right
    return heatmaps[:, list(skeleton.flip), :, ::-1], fields


def decode(
    heatmaps: NDArray[np.float32],
    pafs: NDArray[np.float32],
    transforms: NDArray[np.float32],
    sizes: NDArray[np.int64],
    stride: int,
    decoding: Decoding,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read the people out of the network's maps.

    Args:
        heatmaps: float32 (N, K, h, w), without the background.
        pafs: float32 (N, 2 L, h, w).
        transforms: float32 (N, 2, 3), as of `posert.ops.crop_resize`: from network pixels to image pixels.
        sizes: (N, 2): height and width of the images; what lies outside, in the padding, is no joint.
        stride: network pixels a cell.
        decoding: thresholds.

    Returns:
        float32 (P, K, 3): x, y in pixels of the image, score in [0, 1], missing joints (NaN, NaN, 0); and int64 (P,): the image
        of each. Image after image, in each by the sum of joint and limb scores, the greatest first.
    """
    as_published = decoding.decoder == "cvpr17"
    peaks = (separate_peaks if as_published else find_peaks)(heatmaps, decoding.threshold, stride=stride)
    options: dict[str, Any] = {"samples": 10, "near_score": 0.0} if as_published else {}
    places = np.einsum("nij,nkmj->nkmi", transforms[:, :, :2], peaks[..., :2]) + transforms[:, None, None, :, 2]
    with np.errstate(invalid="ignore"):  # rows without a peak are NaN
        inside = (places >= -0.5).all(-1) & (places <= sizes[:, None, None, ::-1] - 0.5).all(-1)
    peaks[~inside] = (np.nan, np.nan, 0)
    scores = limb_scores(
        peaks,
        pafs,
        stride=stride,
        sample_threshold=decoding.sample_threshold,
        accepted_fraction=decoding.accepted_fraction,
        length_limit=None if decoding.length_limit is None else decoding.length_limit * pafs.shape[2] * stride,
        **options,
    )
    people, totals = assemble_people(peaks, scores, min_joints=decoding.min_joints, min_score=decoding.min_person_score)
    people[..., :2] = np.einsum("nij,npkj->npki", transforms[:, :, :2], people[..., :2]) + transforms[:, None, None, :, 2]
    people[..., 2] = people[..., 2].clip(0, 1)
    keypoints, index = [np.zeros((0, heatmaps.shape[1], 3), np.float32)], [np.zeros(0, np.int64)]
    for image, (found, total) in enumerate(zip(people, totals, strict=True)):
        rows = np.flatnonzero((found[..., 2] > 0).any(1))
        rows = rows[np.argsort(-total[rows], kind="stable")]
        keypoints.append(found[rows])
        index.append(np.full(len(rows), image))
    return np.concatenate(keypoints), np.concatenate(index)
