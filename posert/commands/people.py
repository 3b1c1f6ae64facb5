"""What the commands demand of pictures of people."""

from __future__ import annotations

from collections.abc import Sequence

from posert.errors import InputError
from posert.types import Poses


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
