"""Keypoint sets: joint names, limbs to draw, mirror pairs, and conversions between them (specs R-6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError

Keypoints = NDArray[np.float32]


@dataclass(frozen=True)
class Skeleton:
    """A named, ordered set of joints.

    Attributes:
        name: registry name, such as ``"coco18"``.
        joints: joint names in channel order; left and right are the person's own.
        limbs: pairs of joint indices that are joined when a skeleton is drawn.
        flip: ``flip[k]`` is the joint that joint ``k`` becomes in a mirrored image.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    flip: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        count = len(self.joints)
        if not self.flip:
            alone = [joint for joint in self.joints if _mirror_name(joint) not in self.joints]
            if alone:
                raise InputError(f"skeleton {self.name!r}: {alone} have no counterpart on the other side; name it, or give flip")
            object.__setattr__(self, "flip", tuple(self.joints.index(_mirror_name(j)) for j in self.joints))
        if sorted(self.flip) != list(range(count)) or any(self.flip[other] != k for k, other in enumerate(self.flip)):
            raise InputError(
                f"skeleton {self.name!r}: flip must be a permutation of 0..{count - 1} that is its own inverse, got {self.flip}"
            )
        if any(not (0 <= a < count and 0 <= b < count) for a, b in self.limbs):
            raise InputError(f"skeleton {self.name!r}: limbs must index the {count} joints, got {self.limbs}")

    def __len__(self) -> int:
        return len(self.joints)


def _mirror_name(joint: str) -> str:
    if joint.startswith("left_"):
        return "right_" + joint[5:]
    if joint.startswith("right_"):
        return "left_" + joint[6:]
    return joint


def _side(side: str, *parts: str) -> tuple[str, ...]:
    return tuple(f"{side}_{part}" for part in parts)


_RIGHT_LEFT_ARMS = _side("right", "shoulder", "elbow", "wrist") + _side("left", "shoulder", "elbow", "wrist")
_RIGHT_LEFT_LEGS = _side("right", "hip", "knee", "ankle") + _side("left", "hip", "knee", "ankle")
_FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
_COCO17_PAIRS = tuple(
    f"{s}_{p}" for p in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle") for s in ("left", "right")
)
_LEGS_UP = _side("right", "ankle", "knee", "hip") + _side("left", "hip", "knee", "ankle")
_ARMS_ACROSS = _side("right", "wrist", "elbow", "shoulder") + _side("left", "shoulder", "elbow", "wrist")

_OPENPOSE_BODY = ((1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13))
_CPM_ARMS = ((0, 1), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7))
_CPM_LIMBS = (*_CPM_ARMS, (2, 8), (5, 11), (8, 11), (8, 9), (9, 10), (11, 12), (12, 13))

SKELETONS: dict[str, Skeleton] = {
    skeleton.name: skeleton
    for skeleton in (
        Skeleton(
            "coco17",
            ("nose", *_COCO17_PAIRS),
            ((0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10))
            + ((5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)),
        ),
        Skeleton(
            "coco18",
            ("nose", "neck", *_RIGHT_LEFT_ARMS, *_RIGHT_LEFT_LEGS, "right_eye", "left_eye", "right_ear", "left_ear"),
            (*_OPENPOSE_BODY, (1, 0), (0, 14), (14, 16), (0, 15), (15, 17)),
        ),
        Skeleton(
            "body25",
            ("nose", "neck", *_RIGHT_LEFT_ARMS, "mid_hip", *_RIGHT_LEFT_LEGS)
            + ("right_eye", "left_eye", "right_ear", "left_ear", *_FEET),
            ((1, 8), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11), (8, 12), (12, 13), (13, 14))
            + ((1, 0), (0, 15), (15, 17), (0, 16), (16, 18), (14, 19), (19, 20), (14, 21), (11, 22), (22, 23), (11, 24)),
        ),
        Skeleton(
            "mpii16",
            (*_LEGS_UP, "pelvis", "thorax", "neck", "head_top", *_ARMS_ACROSS),
            (
                (0, 1),
                (1, 2),
                (2, 6),
                (3, 6),
                (3, 4),
                (4, 5),
                (6, 7),
                (7, 8),
                (8, 9),
                (10, 11),
                (11, 12),
                (12, 7),
                (13, 7),
                (13, 14),
                (14, 15),
            ),
        ),
        Skeleton(
            "lsp14",
            (*_LEGS_UP, *_ARMS_ACROSS, "neck", "head_top"),
            (
                (0, 1),
                (1, 2),
                (3, 4),
                (4, 5),
                (6, 7),
                (7, 8),
                (9, 10),
                (10, 11),
                (12, 13),
                (8, 12),
                (9, 12),
                (2, 8),
                (3, 9),
                (2, 3),
            ),
        ),
        Skeleton("cpm14", ("head_top", "neck", *_RIGHT_LEFT_ARMS, *_RIGHT_LEFT_LEGS), _CPM_LIMBS),
        Skeleton(  # what posert's own networks find: all that lsp14, cpm14 and coco18 have
            "lsp19",
            ("head_top", "neck", *_RIGHT_LEFT_ARMS, *_RIGHT_LEFT_LEGS, "nose", "right_eye", "left_eye", "right_ear", "left_ear"),
            (*_CPM_LIMBS, (1, 14), (14, 15), (15, 17), (14, 16), (16, 18)),
        ),
    )
}


def get_skeleton(name: str | Skeleton) -> Skeleton:
    """Return a registered skeleton by name, or the skeleton itself.

    Raises:
        InputError: the name is not registered.
    """
    if isinstance(name, Skeleton):
        return name
    if name not in SKELETONS:
        raise InputError(f"unknown skeleton {name!r}; known: {', '.join(sorted(SKELETONS))}")
    return SKELETONS[name]


def _midpoint(a: Keypoints, b: Keypoints) -> Keypoints:
    middle = np.asarray((a + b) / 2, np.float32)
    middle[..., 2] = np.where((a[..., 2] > 0) & (b[..., 2] > 0), np.minimum(a[..., 2], b[..., 2]), 0)
    return middle


def _along(start: Keypoints, end: Keypoints, amount: float) -> Keypoints:
    point = start + amount * (end - start)
    point[..., 2] = np.where((start[..., 2] > 0) & (end[..., 2] > 0), np.minimum(start[..., 2], end[..., 2]), 0)
    return point.astype(np.float32)


# Joints that a skeleton lacks but that follow from others. Those of the head and the thorax are approximations (specs R-6).
_DERIVED: dict[str, Callable[[dict[str, Keypoints]], Keypoints]] = {
    "neck": lambda j: _midpoint(j["left_shoulder"], j["right_shoulder"]),
    "thorax": lambda j: j["neck"],
    "pelvis": lambda j: _midpoint(j["left_hip"], j["right_hip"]),
    "mid_hip": lambda j: _midpoint(j["left_hip"], j["right_hip"]),
    "head_top": lambda j: _along(j["neck"], j["nose"], 1.9),
    "nose": lambda j: _along(j["neck"], j["head_top"], 0.55),
}


def convert_keypoints(keypoints: Keypoints, source: str | Skeleton, target: str | Skeleton) -> Keypoints:
    """Re-order keypoints from one skeleton to another, deriving what follows from other joints (specs R-6).

    The neck is the middle of the shoulders where the source has none; head top and nose are extrapolated from each other and the
    neck. A joint that cannot be had is missing in the result: (NaN, NaN, 0).

    Args:
        keypoints: float (..., K_source, 3): x, y in pixels, score in [0, 1].
        source: skeleton of `keypoints`.
        target: skeleton wanted.

    Returns:
        float32 (..., K_target, 3), fresh memory.

    Raises:
        InputError: a skeleton is unknown, or `keypoints` does not have the source's number of joints.
    """
    source, target = get_skeleton(source), get_skeleton(target)
    keypoints = np.asarray(keypoints, np.float32)
    if keypoints.ndim < 2 or keypoints.shape[-2:] != (len(source), 3):
        raise InputError(f"keypoints of skeleton {source.name!r} must have shape (..., {len(source)}, 3), got {keypoints.shape}")
    joints = {name: keypoints[..., k, :] for k, name in enumerate(source.joints)}
    for name in ("neck", *(n for n in _DERIVED if n != "neck")):
        if name not in joints:
            try:
                joints[name] = _DERIVED[name](joints)
            except KeyError:  # what it follows from is not there either
                continue
    missing = np.broadcast_to(np.array([np.nan, np.nan, 0], np.float32), keypoints.shape[:-2] + (3,))
    result = np.stack([joints.get(name, missing) for name in target.joints], axis=-2).astype(np.float32)
    result[result[..., 2] <= 0, :2] = np.nan
    result[np.isnan(result[..., :2]).any(-1)] = (np.nan, np.nan, 0)
    return result
