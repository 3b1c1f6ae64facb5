"""Poses from a file, the choice of one person, and writing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from posert.errors import InputError
from posert.formats.pose_files import read_pose_file
from posert.media.files import write_bytes
from posert.types import Poses


def read_poses(path: str | Path) -> Poses:
    """The people in a file of any kind that `read_pose_file` knows, without its checks for coordinates that are no pixels.

    Raises:
        InputError: as `read_pose_file`.
    """
    return read_pose_file(path, check=False).poses


def best_person(poses: Poses) -> Poses:
    """The one person with the highest total score, as `Poses` of length 1; the first of equals.

    Raises:
        InputError: there is no person.
    """
    if not len(poses):
        raise InputError("there is no person to choose from")
    return poses[int(np.argmax(poses.keypoints[..., 2].sum(axis=1)))]


def write_json(path: str | Path, document: Any) -> None:
    """Write a JSON file, whole or not at all.

    Raises:
        InputError: the file cannot be written, or the document holds NaN or infinity.
    """
    try:
        text = json.dumps(document, allow_nan=False)
    except ValueError as error:
        raise InputError(f"cannot write {str(path)!r}: it would hold NaN or infinity, which JSON does not have") from error
    write_bytes(path, (text + "\n").encode())
