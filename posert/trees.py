"""Trees of body parts, along which structured features send messages and parts find each other (specs structured_features, 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.skeleton import Skeleton, get_skeleton

Source = tuple[tuple[str, float], ...]
"""Joints and their weights, which sum to 1: a part lies at their weighted mean."""


@dataclass(frozen=True)
class Tree:
    """Parts of a body, each but the first hanging on one before it.

    Attributes:
        name: registry name, such as ``"lsp26"``.
        parts: names, the root first.
        parents: index of each part's parent; -1 for the root. A parent comes before its children.
        sources: where each part lies.
        observer_centric: whether left and right are the viewer's, of an upright person, instead of the person's own.
    """

    name: str
    parts: tuple[str, ...]
    parents: tuple[int, ...]
    sources: tuple[Source, ...]
    observer_centric: bool = False

    def __post_init__(self) -> None:
        count = len(self.parts)
        if not count or len(self.parents) != count or len(self.sources) != count:
            raise InputError(f"tree {self.name!r} needs a parent and a source for each of its {count} parts")
        if self.parents[0] != -1 or any(not 0 <= parent < k for k, parent in enumerate(self.parents) if k):
            raise InputError(f"tree {self.name!r}: the root comes first and each parent before its children; got {self.parents}")

    def __len__(self) -> int:
        return len(self.parts)

    @cached_property
    def levels(self) -> tuple[tuple[int, ...], ...]:
        """Parts by their distance from the root, the root's own level first."""
        depths = [0] * len(self)
        for k, parent in enumerate(self.parents[1:], 1):
            depths[k] = depths[parent] + 1
        return tuple(tuple(k for k, depth in enumerate(depths) if depth == level) for level in range(max(depths) + 1))

    @cached_property
    def joints(self) -> dict[str, int]:
        """The parts that are joints: index of the part by the joint's name."""
        return {source[0][0]: k for k, source in enumerate(self.sources) if len(source) == 1}

    def locate(self, keypoints: NDArray[np.float32], skeleton: str | Skeleton) -> NDArray[np.float32]:
        """Where the parts lie.

        Args:
            keypoints: float (..., K, 3): x, y, score.
            skeleton: of `keypoints`.

        Returns:
            float32 (..., P, 3): x, y, the least score of the joints that a part follows from; (NaN, NaN, 0) where one is missing.

        Raises:
            InputError: the skeleton lacks a joint that a part follows from, or does not fit the keypoints.
        """
        skeleton = get_skeleton(skeleton)
        keypoints = np.asarray(keypoints, np.float32)
        if keypoints.ndim < 2 or keypoints.shape[-2:] != (len(skeleton), 3):
            raise InputError(
                f"keypoints of skeleton {skeleton.name!r} must have shape (..., {len(skeleton)}, 3), got {keypoints.shape}"
            )
        lacking = sorted({joint for source in self.sources for joint, _ in source} - set(skeleton.joints))
        if lacking:
            raise InputError(f"tree {self.name!r} needs the joints {lacking}, which skeleton {skeleton.name!r} does not have")
        parts = np.empty((*keypoints.shape[:-2], len(self), 3), np.float32)
        for k, source in enumerate(self.sources):
            points = keypoints[..., [skeleton.joints.index(joint) for joint, _ in source], :]
            weights = np.array([weight for _, weight in source])[:, None]
            parts[..., k, :2] = (weights * points[..., :2].astype(np.float64)).sum(-2)
            parts[..., k, 2] = points[..., 2].min(-1)
        parts[~(parts[..., 2] > 0) | np.isnan(parts[..., :2]).any(-1)] = (np.nan, np.nan, 0)
        return parts


def _side_chain(side: str, stations: tuple[tuple[str, str, float], ...]) -> tuple[tuple[str, ...], tuple[Source, ...]]:
    """Names and places of one side's parts from (part, joint it lies beyond, how far it is on the way to the next joint)."""
    following = {"shoulder": "elbow", "elbow": "wrist", "hip": "knee", "knee": "ankle", "torso": "hip"}
    names, sources = [], []
    for part, joint, way in stations:
        start, end = f"{side}_{'shoulder' if joint == 'torso' else joint}", f"{side}_{following.get(joint, joint)}"
        names.append(f"{side}_{part}")
        sources.append(((start, 1 - way), (end, way)) if way else ((start, 1.0),))
    return tuple(names), tuple(sources)


_ARM = tuple((joint, joint, 0.0) for joint in ("shoulder", "elbow", "wrist"))
_LEG = tuple((joint, joint, 0.0) for joint in ("hip", "knee", "ankle"))
_DENSE_ARM = (_ARM[0], ("upper_arm", "shoulder", 0.5), _ARM[1], ("forearm", "elbow", 0.5), _ARM[2])
_SIDE = (("upper_side", "torso", 1 / 3), ("lower_side", "torso", 2 / 3))
_DENSE_LEG = (_LEG[0], ("thigh", "hip", 0.5), _LEG[1], ("shin", "knee", 0.5), _LEG[2])


def _body(
    name: str,
    top: tuple[tuple[str, Source], ...],
    stations: tuple[tuple[str, str, float], ...],
    order: tuple[str, str],
    more: tuple[tuple[str, str], ...] = (),
    *,
    observer_centric: bool = False,
) -> Tree:
    """A head and a neck, two equal sides in which arm and flank hang on the shoulder, and more joints with their parents."""
    parts, sources = tuple(part for part, _ in top), tuple(source for _, source in top)
    parents = [-1, 0]
    arm = sum(joint in ("shoulder", "elbow", "wrist") for _, joint, _ in stations)
    for side in order:
        names, places = _side_chain(side, stations)
        first = len(parts)
        parents += [1, *range(first, first + arm - 1), first, *range(first + arm, first + len(stations) - 1)]
        parts, sources = parts + names, sources + places
    for joint, parent in more:
        parents.append(parts.index(parent))
        parts, sources = (*parts, joint), (*sources, ((joint, 1.0),))
    return Tree(name, parts, tuple(parents), sources, observer_centric)


_HEAD_NECK: tuple[tuple[str, Source], ...] = (("head_top", (("head_top", 1.0),)), ("neck", (("neck", 1.0),)))
_NOSE_NECK: tuple[tuple[str, Source], ...] = (
    ("nose", (("nose", 1.0),)),
    ("neck", (("left_shoulder", 0.5), ("right_shoulder", 0.5))),
)
_FACE = (("nose", "head_top"), ("right_eye", "nose"), ("left_eye", "nose"), ("right_ear", "right_eye"), ("left_ear", "left_eye"))


def _own_order(name: str, more: tuple[tuple[str, str], ...]) -> Tree:
    """A tree whose parts are a skeleton's joints in its order: arms of both sides before the legs."""
    skeleton = get_skeleton(name)
    body = _body(name, _HEAD_NECK, _ARM + _LEG, ("right", "left"), more)
    parents = {part: body.parts[parent] for part, parent in zip(body.parts[1:], body.parents[1:], strict=True)}
    indices = tuple(skeleton.joints.index(parents[joint]) if joint in parents else -1 for joint in skeleton.joints)
    return Tree(name, skeleton.joints, indices, tuple(((joint, 1.0),) for joint in skeleton.joints))


TREES: dict[str, Tree] = {
    tree.name: tree
    for tree in (
        _body("lsp26", _HEAD_NECK, _DENSE_ARM + _SIDE + _DENSE_LEG, ("left", "right"), observer_centric=True),
        _body("lsp14", _HEAD_NECK, _ARM + _LEG, ("left", "right"), observer_centric=True),
        _body("flic18", _NOSE_NECK, _DENSE_ARM + _SIDE + (_LEG[0],), ("left", "right")),
        _own_order("cpm14", ()),
        _own_order("lsp19", _FACE),
    )
}


def get_tree(name: str | Tree) -> Tree:
    """Return a registered tree by name, or the tree itself.

    Raises:
        InputError: the name is not registered.
    """
    if isinstance(name, Tree):
        return name
    if name not in TREES:
        raise InputError(f"unknown tree {name!r}; known: {', '.join(sorted(TREES))}")
    return TREES[name]
