"""Poses from a JSON file of either format, the choice of one person, and writing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from posert.errors import InputError
from posert.formats.coco import parse_coco
from posert.formats.openpose import parse_openpose
from posert.formats.values import MISSING_JOINT, read_json
from posert.media.files import write_bytes
from posert.types import Poses


def read_poses(path: str | Path) -> Poses:
    """Read the people in an OpenPose or COCO keypoint file; which of the two it is follows from its content.

    Raises:
        InputError: the file is not JSON, of neither format, inconsistent, or holds no person with a joint.
    """
    document, name = read_json(path, hint=MISSING_JOINT), str(path)
    if isinstance(document, dict) and "people" in document:
        poses = parse_openpose(document, name)
    elif isinstance(document, list) or (isinstance(document, dict) and "annotations" in document):
        poses, _ = parse_coco(document, name)
    else:
        raise InputError(f"{name!r} holds no poses: neither OpenPose JSON (it has people) nor COCO JSON (it has annotations)")
    if not len(poses):
        raise InputError(f"{name!r} holds no person with a joint; one person is needed")
    return poses


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
