"""One person a picture: found, then looked at again more closely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from posert.errors import InputError
from posert.types import Image, Poses

if TYPE_CHECKING:
    from posert.estimator import Estimator


def find_people(estimator: Estimator, images: Sequence[Image], names: Sequence[str]) -> Poses:
    """Find the one person in each picture: first in the whole of it, then again in the box around the joints that were found.

    Args:
        estimator: any.
        images: N pictures, uint8 (H, W, 3), RGB.
        names: what to call them in an error.

    Returns:
        N poses, with boxes around their joints.

    Raises:
        InputError: there is no joint in a picture.
    """
    from posert.geometry import person_boxes

    poses = estimator.run(list(images))
    _check_found(poses, names)
    boxes = person_boxes(poses.keypoints)
    whole = np.array([(0, 0, image.shape[1], image.shape[0]) for image in images], np.float32).reshape(-1, 4)
    inside = np.concatenate([np.maximum(boxes[:, :2], whole[:, :2]), np.minimum(boxes[:, 2:], whole[:, 2:])], axis=1)
    outside = (inside[:, 2:] <= inside[:, :2]).any(axis=1)
    inside[outside] = whole[outside]
    poses = estimator.run(list(images), boxes=inside)
    _check_found(poses, names)
    return Poses(poses.keypoints, poses.image_index, person_boxes(poses.keypoints), poses.skeleton)


def _check_found(poses: Poses, names: Sequence[str]) -> None:
    for name, person in zip(names, poses.keypoints, strict=True):
        if not (person[:, 2] > 0).any():
            raise InputError(f"no person was found in {name!r}; use a picture of one person")
