"""Scores of estimated joints: PCK, PCKh and PDJ from distances, strict PCP from sticks (docs/specs.md, R-7).

A joint that was not found (NaN) is wrong; a joint without a label counts neither as right nor as wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posert.skeleton import Skeleton

Points = NDArray[np.float32] | NDArray[np.float64]

CURVE_LIMIT = 0.5
"""Curves are drawn, and areas below them taken, for thresholds from 0 to this."""

THRESHOLDS = np.linspace(0, CURVE_LIMIT, 51)


def relative_distances(predicted: Points, truth: Points, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances between found and true joints in units of a length of each person.

    Args:
        predicted: (P, K, 2 or more): x, y in pixels; NaN where a joint was not found.
        truth: (P, K, 2 or more): x, y in pixels; NaN where a joint is not labelled.
        lengths: (P,): pixels; a person whose length is NaN or 0 cannot be measured.

    Returns:
        float64 (P, K): infinite where a joint was not found, NaN where there is nothing to compare with.
    """
    found, true = (np.asarray(points, np.float64)[..., :2] for points in (predicted, truth))
    unit = np.where(lengths > 0, lengths, np.nan)[:, None]
    distances = np.hypot(*np.moveaxis(found - true, -1, 0))
    distances = np.where(np.isnan(distances), np.inf, distances) / unit
    distances[~np.isfinite(true).all(-1)] = np.nan
    return distances


def fraction_right(distances: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Share of the measured joints whose distance is at most a threshold, joint by joint.

    Args:
        distances: (P, K), from `relative_distances`.
        threshold: in the unit of the distances.

    Returns:
        float64 (K,) in [0, 1]; NaN for a joint that was measured in nobody.
    """
    right, measured = (distances <= threshold).sum(0), (~np.isnan(distances)).sum(0)
    return np.asarray(np.divide(right, measured, out=np.full(len(right), np.nan), where=measured > 0))


def pck(predicted: Points, truth: Points, torso: tuple[int, int], threshold: float = 0.2) -> NDArray[np.float64]:
    """Percentage of correct keypoints per joint, as fractions (specs R-7): distance at most `threshold` of the torso's length.

    Args:
        predicted: (N, K, 2 or more): x, y in pixels; NaN counts as wrong.
        truth: (N, K, 2 or more): x, y in pixels; NaN is not counted.
        torso: indices of left shoulder and right hip; the distance between them in `truth` is the torso's length.
        threshold: in torso lengths.

    Returns:
        float64 (K,); NaN for a joint that is labelled in nobody.
    """
    return fraction_right(relative_distances(predicted, truth, segment_lengths(truth, *torso)), threshold)


def segment_lengths(points: Points, start: int, end: int) -> NDArray[np.float64]:
    """The distance between two joints of each person, float64 (P,); NaN where one of them is missing."""
    ends = np.asarray(points, np.float64)[:, [start, end], :2]
    return np.asarray(np.hypot(*(ends[:, 0] - ends[:, 1]).T))


@dataclass(frozen=True)
class Curve:
    """Shares of right joints over a range of thresholds.

    Attributes:
        thresholds: float64 (T,), ascending.
        joints: float64 (T, K); NaN for joints that were measured in nobody.
        total: float64 (T,): over all joints together.
    """

    thresholds: NDArray[np.float64]
    joints: NDArray[np.float64]
    total: NDArray[np.float64]

    @classmethod
    def of(cls, distances: NDArray[np.float64], thresholds: NDArray[np.float64] = THRESHOLDS) -> Curve:
        """The curve of distances (P, K): PDJ where their unit is the torso, PCKh where it is the head."""
        joints = np.stack([fraction_right(distances, t) for t in thresholds])
        total = np.stack([fraction_right(distances.reshape(-1, 1), t)[0] for t in thresholds])
        return cls(thresholds, joints, total)

    @property
    def area(self) -> float:
        """Area below the total's curve, as a share of the area that a perfect one would have."""
        steps = np.diff(self.thresholds)
        return float(np.sum((self.total[1:] + self.total[:-1]) / 2 * steps) / np.sum(steps))


_LIMBS = {
    "upper_arm": ("shoulder", "elbow"),
    "lower_arm": ("elbow", "wrist"),
    "upper_leg": ("hip", "knee"),
    "lower_leg": ("knee", "ankle"),
}


def strict_pcp(predicted: Points, truth: Points, skeleton: Skeleton, fraction: float = 0.5) -> dict[str, float]:
    """Percentage of correct parts, strictly, as fractions: both ends within `fraction` of the true stick's length.

    The ten sticks of LSP: head (head top to neck), torso (middle of the shoulders to middle of the hips), and left and right
    upper and lower arms and legs (specs R-7, SF section 7).

    Args:
        predicted: (P, K, 2 or more): x, y in pixels; a stick with an end that was not found is wrong.
        truth: (P, K, 2 or more); a stick with an end that is not labelled is not counted.
        skeleton: names of the K joints.
        fraction: of the true stick's length.

    Returns:
        A fraction for each stick, in the order above, without the sticks that the skeleton lacks or that are labelled in nobody.
    """
    found, true = (_stick_ends(points, skeleton) for points in (predicted, truth))
    result = {}
    for name, ends in true.items():
        length = np.hypot(*(ends[:, 0] - ends[:, 1]).T)
        right = fraction_right(relative_distances(found[name], ends, length).max(1, keepdims=True), fraction)[0]
        if not np.isnan(right):
            result[name] = float(right)
    return result


def _stick_ends(points: Points, skeleton: Skeleton) -> dict[str, NDArray[np.float64]]:
    """Both ends of every stick that can be had, each (P, 2, 2)."""
    joint = {name: np.asarray(points, np.float64)[:, k, :2] for k, name in enumerate(skeleton.joints)}
    for part in ("shoulder", "hip"):
        if {f"left_{part}", f"right_{part}"} <= joint.keys():
            joint[f"mid_{part}s"] = (joint[f"left_{part}"] + joint[f"right_{part}"]) / 2
    sticks = {"head": ("head_top", "neck"), "torso": ("mid_shoulders", "mid_hips")}
    for limb, (start, end) in _LIMBS.items():
        sticks.update({f"{side}_{limb}": (f"{side}_{start}", f"{side}_{end}") for side in ("left", "right")})
    return {name: np.stack([joint[a], joint[b]], 1) for name, (a, b) in sticks.items() if a in joint and b in joint}


def observer_centric(keypoints: NDArray[np.float32], skeleton: Skeleton) -> NDArray[np.float32]:
    """Rename left and right as an observer sees them: left is what lies left in a picture whose torso is turned upright.

    Arms and legs are judged apart: the arms by the shoulders, the legs by the hips (SF, sections 3 and 8). The torso's direction
    is from the middle of the shoulders to the middle of the hips. People without shoulders and hips stay as they are.

    Args:
        keypoints: (P, K, 3): x, y in pixels, score; left and right are the person's own.
        skeleton: names of the K joints.

    Returns:
        (P, K, 3), fresh memory, with the joints of the arms, of the legs or of both exchanged where need be.
    """
    number = {name: k for k, name in enumerate(skeleton.joints)}
    pairs = [[number[f"{side}_{part}"] for side in ("left", "right")] for part in ("shoulder", "hip")]
    ends = keypoints[..., :2].astype(np.float64)
    (dx, dy) = (ends[:, pairs[1]].mean(1) - ends[:, pairs[0]].mean(1)).T
    result = keypoints.copy()
    for (left, right), joints in zip(pairs, (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")), strict=True):
        across = ends[:, left] - ends[:, right]
        turned = across[:, 0] * dy - across[:, 1] * dx > 0  # the left one lies to the right; false where something is NaN
        for part in joints:
            a, b = number[f"left_{part}"], number[f"right_{part}"]
            result[turned, a], result[turned, b] = keypoints[turned, b], keypoints[turned, a]
    return result
