"""How far apart the joints are that are read from two sets of maps: a variant's, and those of the float32 module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert import ops
from posert.bottom_up import decode
from posert.processing import Decoding
from posert.skeleton import get_skeleton

TIE = 0.01
"""Two peaks are equally high if the lower one lacks no more than this share. Specs R-5 asks for joints within half a cell, and is
silent on a joint that the float32 module itself gives two places: which of them is the higher, any rounding decides."""


def distance(found: Mapping[str, Any], expected: Mapping[str, Any], manifest: Mapping[str, Any]) -> tuple[float, int]:
    """Compare an estimator's outputs with those of the reference.

    Args:
        found: the variant's outputs by name.
        expected: the reference's, of the same shapes.
        manifest: what says how joints are read from them.

    Returns:
        The largest distance between joints, in cells, infinite if one side finds a joint or a person that the other does not; and
        how many joints were left out of it: the reference has two equally high peaks (`TIE`), and the variant took the other.
    """
    if "pafs" in found:
        return people_distance(found, expected, manifest["postprocess"]), 0
    joints = len(get_skeleton(manifest["skeleton"]))
    maps, reference = (np.ascontiguousarray(side["heatmaps"][:, :joints]) for side in (found, expected))
    return joint_distance(maps, reference, manifest["postprocess"]["method"])


def joint_distance(maps: NDArray[np.float32], reference: NDArray[np.float32], method: str) -> tuple[float, int]:
    """`distance` of heatmaps (N, K, H, W) that `ops.decode_heatmaps` reads with a method."""
    a, b = (ops.decode_heatmaps(side, method, stride=1)[..., :2] for side in (maps, reference))
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf"), 0
    distances = np.nan_to_num(np.linalg.norm(a - b, axis=-1))
    tied = np.array([[_tied(plane, point) for plane, point in zip(*row, strict=True)] for row in zip(reference, a, strict=True)])
    left_out = tied & (distances > 1)
    return float(distances[~left_out].max(initial=0.0)), int(left_out.sum())


def _tied(plane: NDArray[np.float32], point: NDArray[np.float32]) -> bool:
    """Whether a plane (H, W) is as high in the cells around a point as it is anywhere."""
    if np.isnan(point).any():
        return False
    x, y = np.rint(point).astype(int)
    around = plane[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
    return bool(around.max(initial=-np.inf) >= (1 - TIE) * plane.max() > 0)


def people_distance(maps: Mapping[str, Any], reference: Mapping[str, Any], post: Mapping[str, Any]) -> float:
    """Largest distance between the joints of the people read from two sets of maps, in cells; infinite if the people differ."""
    (people, index), (others, other_index) = (_people(side, post) for side in (maps, reference))
    if not (np.array_equal(index, other_index) and np.array_equal(people[..., 2] > 0, others[..., 2] > 0)):
        return float("inf")
    distances = np.linalg.norm(people[..., :2] - others[..., :2], axis=-1)
    return float(np.nan_to_num(distances).max(initial=0.0)) / int(post["stride"])


def _people(maps: Mapping[str, Any], post: Mapping[str, Any]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    count, _, height, width = maps["heatmaps"].shape
    stride = int(post["stride"])
    unmoved = np.tile(np.eye(2, 3, dtype=np.float32), (count, 1, 1))
    sizes = np.tile(np.array([height, width]) * stride, (count, 1))
    heatmaps = np.ascontiguousarray(maps["heatmaps"][:, :-1])
    return decode(heatmaps, maps["pafs"], unmoved, sizes, stride, Decoding.parse(dict(post)))
