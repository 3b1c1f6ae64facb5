"""The one person in each picture, looked for again and again, more closely each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from posert.errors import InputError
from posert.types import Image, Poses

if TYPE_CHECKING:
    from posert.estimator import Estimator

LOOKS = 3
"""How often a picture is looked at. On photographs in which the person is half as high as the picture (LSP), the second look
finds two thirds more of the joints than the first, the third a tenth more than the second, and a fourth next to nothing."""


def find_people(estimator: Estimator, images: Sequence[Image]) -> Poses:
    """Find the one person in each picture: in the whole of it, then in the box around the joints found so far.

    Args:
        estimator: any.
        images: N pictures, uint8 (H, W, 3), RGB.

    Returns:
        N poses, with boxes around their joints; where no joint was found, the box is the whole picture.
    """
    from posert.geometry import person_boxes

    whole = np.array([(0, 0, image.shape[1], image.shape[0]) for image in images], np.float32).reshape(-1, 4)
    poses = estimator.run(list(images))
    boxes = whole
    for look in range(1, LOOKS + 1):
        found = (poses.keypoints[..., 2] > 0).any(axis=1)
        boxes = whole.copy()
        boxes[found] = person_boxes(poses.keypoints[found])
        if look < LOOKS:
            inside = np.concatenate([np.maximum(boxes[:, :2], 0), np.minimum(boxes[:, 2:], whole[:, 2:])], axis=1)
            outside = (inside[:, 2:] <= inside[:, :2]).any(axis=1)
            inside[outside] = whole[outside]
            poses = estimator.run(list(images), boxes=inside)
    return Poses(poses.keypoints, poses.image_index, boxes, poses.skeleton)


def require_people(poses: Poses, names: Sequence[str]) -> Poses:
    """Refuse pictures in which nobody was found.

    Args:
        poses: one for each picture.
        names: what to call the pictures in an error.

    Returns:
        The poses.

    Raises:
        InputError: a pose has no joints.
    """
    for name, person in zip(names, poses.keypoints, strict=True):
        if not (person[:, 2] > 0).any():
            raise InputError(f"no person was found in {name!r}; use a picture of one person")
    return poses
