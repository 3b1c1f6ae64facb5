"""One person's motion on another person's body: directions from the driver, lengths of bones from the source.

A pose is a tree that grows from the middle of the hips. Every bone keeps its direction in the picture and is scaled by the
ratio of the source's length of this bone to the driver's, both measured beforehand: so a bone that points at the camera stays
short, and one that the driver shows in full gets the source's length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.geometry import check_keypoints
from posert.skeleton import Skeleton, get_skeleton

_PARENTS = {
    **{"neck": "pelvis", "thorax": "pelvis", "nose": "neck", "head_top": "neck", "mid_hip": "pelvis"},
    **{"shoulder": "neck", "elbow": "shoulder", "wrist": "elbow", "hip": "pelvis", "knee": "hip", "ankle": "knee"},
    **{"eye": "nose", "ear": "nose", "big_toe": "ankle", "small_toe": "ankle", "heel": "ankle"},
}
"""Joint -> the joint that it hangs on, sides left out; the order is that of the tree from the pelvis."""

_LONG = ("neck", "elbow", "wrist", "knee", "ankle")
"""Bones whose lengths say how large somebody is; widths depend on where one is seen from."""

_RIGID = ("eye", "ear", "big_toe", "small_toe", "heel")
"""Bones too short to be measured: they are scaled with the whole body."""

_UNUSUAL = (0.7, 1.4)
"""A bone's factor stays within so many times that of the whole body: a bone may have been seen from its end."""

_FULL = 0.8
"""Share of the frames that show a bone at most as long as it is taken to be."""


@dataclass(frozen=True)
class Proportions:
    """How somebody is built, and where they are.

    Attributes:
        lengths: of bones in pixels, by the joint at their outer end, sides left out: ``"elbow"`` is the upper arm.
        root: x, y of the middle of the hips (or else of the neck) in pixels, the median of the frames; NaN where it was not seen.
        ground: y of the lower ankle in pixels, the median of the frames; NaN where none was seen.
    """

    lengths: Mapping[str, float]
    root: tuple[float, float]
    ground: float


def measure(keypoints: ArrayLike, skeleton: str | Skeleton) -> Proportions:
    """Measure somebody in one or more frames.

    A bone's length is that of its longer side in each frame, and of the frames the value that four of five do not exceed.

    Args:
        keypoints: (N, K, 3): x, y in pixels, score; one person.
        skeleton: which joints these are.

    Raises:
        InputError: keypoints are not usable.
    """
    skeleton = get_skeleton(skeleton)
    keypoints = check_keypoints(keypoints, len(skeleton))
    joints = _joints(keypoints, skeleton)
    lengths: dict[str, list[NDArray[np.float64]]] = {}
    for name, points in joints.items():
        parent = _parent(name)
        if parent in joints:
            lengths.setdefault(_bone(name), []).append(np.hypot(*(points - joints[parent]).T))
    longest = {bone: np.fmax.reduce(found) for bone, found in lengths.items()}
    full = {bone: float(np.nanquantile(of, _FULL)) for bone, of in longest.items() if np.isfinite(of).any()}
    empty = np.full((len(joints["pelvis"]), 2), np.nan)
    root = roots(keypoints, skeleton)
    ankles = np.fmax(joints.get("left_ankle", empty)[:, 1], joints.get("right_ankle", empty)[:, 1])
    return Proportions(
        {bone: length for bone, length in full.items() if length > 0}, (_median(root[:, 0]), _median(root[:, 1])), _median(ankles)
    )


def retarget(
    keypoints: ArrayLike, skeleton: str | Skeleton, driver: Proportions, source: Proportions, *, bones: bool = True
) -> NDArray[np.float32]:
    """Put the driver's poses on the source's body, where the source is.

    The driver's root at its median place comes to the source's root, and its ankles to the source's ground; from there the root
    follows the driver's, in the source's size. A joint that the driver lacks is missing; one whose parent is missing hangs on the
    nearest joint further in.

    Args:
        keypoints: (N, K, 3): the driver's poses, x, y in pixels, score.
        skeleton: which joints these are.
        driver: the driver's proportions, in the same pixels.
        source: the source's, in the pixels wanted.
        bones: scale each bone by its own factor; False: all by one, so the driver's proportions stay.

    Returns:
        float32 (N, K, 3): in pixels of the source's picture, scores unchanged.

    Raises:
        InputError: keypoints are not usable, or driver and source have no bone in common or no root.
    """
    skeleton = get_skeleton(skeleton)
    given = check_keypoints(keypoints, len(skeleton))
    joints = _joints(given, skeleton)
    whole = _whole(driver, source)
    factors = {bone: _factor(bone, driver, source, whole) if bones else whole for bone in _PARENTS}
    placed: dict[str, NDArray[np.float64]] = {"pelvis": _place(joints["pelvis"], driver, source, whole, factors)}
    order = list(_PARENTS)
    for name in sorted(joints, key=lambda name: order.index(_bone(name)) if _bone(name) in order else -1):
        if name == "pelvis":
            continue
        points, inner = joints[name], _parent(name)
        result = np.full_like(points, np.nan)
        factor = factors.get(_bone(name), whole)
        while inner:  # the nearest joint further in that is there
            if inner in placed:
                open_ = np.isnan(result).any(1)
                result[open_] = (placed[inner] + factor * (points - joints[inner]))[open_]
            inner, factor = _parent(inner), whole
        open_ = np.isnan(result).any(1)
        result[open_] = _place(points, driver, source, whole, factors)[open_]
        placed[name] = result
    moved = np.stack([placed[name] for name in skeleton.joints], axis=1)
    return check_keypoints(np.concatenate([moved, given[..., 2:]], axis=2))


def roots(keypoints: ArrayLike, skeleton: str | Skeleton) -> NDArray[np.float64]:
    """Where people's trees begin: x, y (N, 2) of the middle of the hips, or else of the neck; NaN where neither is there.

    Args:
        keypoints: (N, K, 3): x, y in pixels, score.
        skeleton: which joints these are.
    """
    skeleton = get_skeleton(skeleton)
    joints = _joints(check_keypoints(keypoints, len(skeleton)), skeleton)
    return np.where(np.isnan(joints["pelvis"][:, :1]), joints["neck"], joints["pelvis"])


def _joints(keypoints: NDArray[np.float32], skeleton: Skeleton) -> dict[str, NDArray[np.float64]]:
    """Each joint's x, y (N, 2), NaN where it is missing; with pelvis and neck, whatever the skeleton has."""
    joints = {name: keypoints[:, k, :2].astype(np.float64) for k, name in enumerate(skeleton.joints)}
    empty = np.full((len(keypoints), 2), np.nan)
    for name, others, pair in (("pelvis", ("mid_hip",), "hip"), ("neck", ("thorax",), "shoulder")):
        if name not in joints:
            middle = (joints.get(f"left_{pair}", empty) + joints.get(f"right_{pair}", empty)) / 2
            joints[name] = next((joints[other] for other in others if other in joints), middle)
    return joints


def _bone(joint: str) -> str:
    return joint.removeprefix("left_").removeprefix("right_")


def _parent(joint: str) -> str:
    """The joint that a joint hangs on, on its own side; "" for the pelvis and for joints of unknown names."""
    parent = _PARENTS.get(_bone(joint), "")
    side = joint.partition("_")[0] if joint != _bone(joint) else ""
    return f"{side}_{parent}" if parent in ("shoulder", "elbow", "hip", "knee", "ankle") and side else parent


def _whole(driver: Proportions, source: Proportions) -> float:
    """How much larger the source is, by the median of the long bones that both have, or else of any."""
    if not np.isfinite([*driver.root, *source.root]).all():
        raise InputError("hips or shoulders were not found in the source or in the poses, so the poses cannot be placed")
    common = [bone for bone in source.lengths if bone in driver.lengths]
    if not common:
        raise InputError(
            "source and poses have no bone in common, so sizes cannot be compared; use a picture of the whole person"
        )
    ratios = {bone: source.lengths[bone] / driver.lengths[bone] for bone in common}
    long = [ratio for bone, ratio in ratios.items() if bone in _LONG]
    return float(np.median(long or list(ratios.values())))


def _factor(bone: str, driver: Proportions, source: Proportions, whole: float) -> float:
    if bone in _RIGID or bone not in driver.lengths or bone not in source.lengths:
        return whole
    low, high = _UNUSUAL
    return float(np.clip(source.lengths[bone] / driver.lengths[bone], low * whole, high * whole))


def _place(
    points: NDArray[np.float64], driver: Proportions, source: Proportions, whole: float, factors: Mapping[str, float]
) -> NDArray[np.float64]:
    """From the driver's picture into the source's: heights above the ground are scaled as the legs are."""
    x = source.root[0] + whole * (points[:, 0] - driver.root[0])
    if np.isfinite([driver.ground, source.ground]).all():
        legs = [factors[bone] * driver.lengths[bone] for bone in ("knee", "ankle") if bone in driver.lengths]
        height = sum(legs) / sum(driver.lengths[bone] for bone in ("knee", "ankle") if bone in driver.lengths) if legs else whole
        y = source.ground + height * (points[:, 1] - driver.ground)
    else:
        y = source.root[1] + whole * (points[:, 1] - driver.root[1])
    return np.stack([x, y], axis=1)


def _median(values: NDArray[np.float64]) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else float("nan")
