"""OpenPose's JSON output (CMU-Perceptual-Computing-Lab/openpose, doc/02_output.md): one file a picture.

A person is a flat list x, y, score of 25 joints (skeleton `body25`) or 18 (skeleton `coco18`), missing = 0, 0, 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.formats.values import MISSING_JOINT, as_keypoints, as_triples, read_json, records, triples
from posert.skeleton import get_skeleton
from posert.types import Poses

_BY_COUNT = {18: "coco18", 25: "body25"}
_EMPTY_PARTS = ("face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d")
_EMPTY_PARTS_3D = tuple(f"{part}_keypoints_3d" for part in ("pose", "face", "hand_left", "hand_right"))


def openpose_document(poses: Poses) -> dict[str, Any]:
    """The people of one picture as an OpenPose document, ready for `json.dump`.

    A skeleton other than `body25` is converted to `coco18` first.

    Args:
        poses: P people; their `image_index` and boxes have no place in the format.
    """
    if poses.skeleton.name not in _BY_COUNT.values():
        poses = poses.convert("coco18")
    people = []
    for flat in as_triples(poses.keypoints):
        person: dict[str, Any] = {"person_id": [-1], "pose_keypoints_2d": flat}
        person.update({part: [] for part in _EMPTY_PARTS + _EMPTY_PARTS_3D})
        people.append(person)
    return {"version": 1.3, "people": people}


def read_openpose(path: str | Path) -> Poses:
    """Read an OpenPose file: the people that have at least one joint, all with `image_index` 0 and no boxes.

    Raises:
        InputError: the file is not JSON, not OpenPose, or inconsistent; the message says where.
    """
    return parse_openpose(read_json(path, hint=MISSING_JOINT), str(path))


def parse_openpose(document: Any, name: str) -> Poses:
    """As `read_openpose`, for a JSON document that is already loaded; `name` begins the error messages."""
    if not isinstance(document, dict):
        raise InputError(f"{name!r} is not an OpenPose file: a JSON object with people is needed")
    keypoints: list[NDArray[np.float32]] = []
    for position, person in enumerate(records(document.get("people"), f"{name!r}: people")):
        what = f"{name!r}: pose_keypoints_2d of person {position}"
        points = triples(person.get("pose_keypoints_2d"), what)
        if len(points) not in _BY_COUNT:
            raise InputError(f"{what} has {3 * len(points)} numbers; 54 (18 joints) or 75 (25 joints) are needed")
        if keypoints and len(points) != len(keypoints[0]):
            raise InputError(f"{what} has {len(points)} joints, but the person before has {len(keypoints[0])}")
        keypoints.append(as_keypoints(points))
    joints = len(keypoints[0]) if keypoints else 18
    found = [person for person in keypoints if (person[:, 2] > 0).any()]
    array = np.array(found, np.float32).reshape(-1, joints, 3)
    return Poses(array, np.zeros(len(array), np.int64), None, get_skeleton(_BY_COUNT[joints]))
