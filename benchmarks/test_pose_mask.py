"""The body masks of 32 people at 256 x 256."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from poses import standing

from posert import ops

PEOPLE, SIDE, RADIUS = 32, 256, 4
SQUARE = np.ones((5, 5), np.uint8)


def posert(keypoints: np.ndarray, out: np.ndarray) -> None:
    ops.pose_mask(keypoints, (SIDE, SIDE), out=out)


def opencv_lines(keypoints: np.ndarray, out: np.ndarray) -> None:
    """Thick lines, which is what a user would draw, of the thickness that comes closest to the definition."""
    for points, result in zip(keypoints.astype(np.int32).tolist(), out[:, 0], strict=True):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for start, end in ops.PG2_LIMBS:
            cv2.line(mask, points[start][:2], points[end][:2], 1, 2 * RADIUS - 1)
        result[...] = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, SQUARE)


def opencv_circles(keypoints: np.ndarray, out: np.ndarray) -> None:
    """The chain of discs of the definition, drawn by OpenCV."""
    for points, result in zip(keypoints[..., :2].astype(np.float64), out[:, 0], strict=True):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        for start, end in ops.PG2_LIMBS:
            steps = max(int(np.hypot(*(points[end] - points[start])) / RADIUS), 1)
            chain = points[start] + (points[end] - points[start]) * np.arange(steps + 1)[:, None] / steps
            for centre in chain.astype(int).tolist():
                cv2.circle(mask, centre, RADIUS, 1, -1)
        result[...] = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, SQUARE)


PEERS: dict[str, Callable[[np.ndarray, np.ndarray], None]] = {
    "posert": posert,
    "cv2.line + cv2.morphologyEx": opencv_lines,
    "cv2.circle + cv2.morphologyEx": opencv_circles,
}


@pytest.mark.parametrize("peer", PEERS)
def test_pose_mask(peer: str, timed):
    keypoints = standing(PEOPLE)
    out = np.full((PEOPLE, 1, SIDE, SIDE), 9, np.uint8)
    expected = ops.pose_mask(keypoints, (SIDE, SIDE), backend="reference")
    PEERS[peer](keypoints, out)
    if peer == "posert":
        np.testing.assert_array_equal(out, expected)
    else:  # intersection over union
        assert (out & expected).sum() / (out | expected).sum() > 0.9
    timed("pose_mask", peer, lambda: PEERS[peer](keypoints, out), out.nbytes)
