"""Poses from a file of any kind that holds them, recognised by its content.

COCO keypoint JSON, OpenPose JSON (18 and 25 joints), MPII (its .mat file and both kinds of JSON), and the .csv files of PATN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from posert.errors import InputError
from posert.formats.coco import parse_coco
from posert.formats.mpii import Person, read_release
from posert.formats.mpii_json import parse_people
from posert.formats.openpose import parse_openpose
from posert.formats.patn import read_annotation
from posert.formats.plausibility import Size, check_plausible
from posert.formats.values import MISSING_JOINT, read_json
from posert.media.images import READABLE, check_image
from posert.paths import path_kind
from posert.types import Poses

VIDEOS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
POSE_FILES = (".json", ".csv", ".mat")
_LOOKED_UP = 64  # pictures whose size is looked up in their own files
_PICTURE_FOLDERS = ("", "images", "bounding_box_train", "bounding_box_test")

Kind = Literal["picture", "video", "pose file", "folder"]


def kind_of(path: str | Path) -> Kind:
    """What a pose can be taken from: a folder, or a file by the ending of its name.

    Raises:
        InputError: there is no such file, or poses are not read from such files.
    """
    path = Path(path)
    kind, suffix = path_kind(path), path.suffix.lower()
    if kind == "folder":
        return "folder"
    if kind is None:
        raise InputError(f"there is no file {str(path)!r}")
    kinds: dict[Kind, tuple[str, ...]] = {"picture": READABLE, "video": VIDEOS, "pose file": POSE_FILES}
    for name, endings in kinds.items():
        if suffix in endings:
            return name
    known = "; ".join(f"{name}: {', '.join(endings)}" for name, endings in kinds.items())
    raise InputError(f"{str(path)!r} is nothing that poses are read from; what is, by its ending: {known}")


@dataclass(frozen=True)
class PoseFile:
    """The people in a file of poses.

    Attributes:
        path: of the file.
        format: what it was recognised as, such as ``"OpenPose JSON"``.
        poses: everybody with at least one joint; `image_index` points into `pictures`.
        pictures: the names of the pictures that they belong to, as the file has them; of OpenPose, the file's own name.
    """

    path: Path
    format: str
    poses: Poses
    pictures: tuple[str, ...]

    def __str__(self) -> str:
        people = "1 person" if len(self.poses) == 1 else f"{len(self.poses)} people"
        return f"{self.format}, {people}"

    def best_people(self) -> list[int]:
        """The person with the highest total score of each picture, in the order of the pictures."""
        score = self.poses.keypoints[..., 2].sum(1)
        groups = (np.flatnonzero(self.poses.image_index == picture) for picture in range(len(self.pictures)))
        return [int(group[np.argmax(score[group])]) for group in groups if len(group)]


def read_pose_file(path: str | Path, *, check: bool = True, empty: bool = False) -> PoseFile:
    """Read everybody in a file of poses.

    Args:
        path: of the file.
        check: refuse what `posert.formats.plausibility` knows to be a mistake. The size of a picture is the one that the file
            says, or that of the picture itself where it lies beside the file (of the first 64).
        empty: take a file that holds nobody, as OpenPose writes for frames without people.

    Raises:
        InputError: the file cannot be read, is of no known format, inconsistent, or holds nobody with a joint; exchanged axes,
            shares in place of pixels and people outside of their pictures have errors of their own.
        MissingDependency: SciPy is not installed, and the file is a .mat file.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in POSE_FILES:
        raise InputError(f"{str(path)!r} is no file of poses: one ends in {', '.join(POSE_FILES)}")
    known: Sequence[Size | None] = ()
    order = "x before y"
    if suffix == ".csv":
        file, order = _patn(path), "y before x: 'name: [y, ...]: [x, ...]'"
    elif suffix == ".mat":
        file = _mpii(path, "MPII .mat", list(read_release(path)))
    else:
        file, known = _json(path)
    if not len(file.poses) and not empty:
        raise InputError(f"{str(path)!r} ({file.format}) holds no person with a joint; one person is needed")
    if check:
        sizes = list(known) or _sizes_beside(path, file.pictures)
        index = file.poses.image_index.tolist()
        what = [f"{str(path)!r}, person {number} in {file.pictures[image]!r}" for number, image in enumerate(index)]
        check_plausible(file.poses, [sizes[image] for image in index], what, order)
    return file


def _json(path: Path) -> tuple[PoseFile, list[Size | None]]:
    """The people, and the sizes of the pictures where the document has them."""
    document, name = read_json(path, hint=MISSING_JOINT), str(path)
    first: Any = document[0] if isinstance(document, list) and document else {}
    if isinstance(document, dict) and "people" in document:
        stem = path.stem.removesuffix("_keypoints")
        return PoseFile(path, "OpenPose JSON", parse_openpose(document, name), (stem,)), []
    if isinstance(first, dict) and ("joints" in first or "joint_self" in first):
        return _mpii(path, "MPII JSON", parse_people(document, path)), []
    if isinstance(document, list) or (isinstance(document, dict) and "annotations" in document):
        poses, images = parse_coco(document, name)
        pictures = tuple(image.file_name for image in images)
        sizes = [(image.height, image.width) if image.height > 0 and image.width > 0 else None for image in images]
        if not images:
            count = int(poses.image_index.max(initial=-1)) + 1
            pictures, sizes = tuple(f"image {number}" for number in range(count)), [None] * count
        return PoseFile(path, "COCO JSON", poses, pictures), sizes
    formats = "OpenPose JSON (it has people), COCO JSON (it has annotations), MPII JSON (a list with joints or joint_self)"
    raise InputError(f"{name!r} holds no poses: it is none of {formats}")


def _patn(path: Path) -> PoseFile:
    people = {name: pose for name, pose in read_annotation(path).items() if (pose[:, 2] > 0).any()}
    keypoints = np.array(list(people.values()), np.float32).reshape(-1, 18, 3)
    return PoseFile(path, "PATN csv", Poses(keypoints), tuple(people))


def _mpii(path: Path, kind: str, people: list[Person]) -> PoseFile:
    pictures = tuple(dict.fromkeys(person.image for person in people))
    joints = np.array([person.joints for person in people], np.float32).reshape(-1, 16, 2) - 1  # they count from 1
    present = np.isfinite(joints).all(-1, keepdims=True)
    keypoints = np.where(present, np.concatenate([joints, present], -1), (np.nan, np.nan, 0)).astype(np.float32)
    number = {name: i for i, name in enumerate(pictures)}
    index = np.array([number[person.image] for person in people], np.int64)
    return PoseFile(path, kind, Poses(keypoints, index, None, "mpii16"), pictures)  # type: ignore[arg-type]


def _sizes_beside(path: Path, pictures: tuple[str, ...]) -> list[Size | None]:
    """The sizes of pictures that lie beside the file, or in the folders that the data sets have; of the first 64."""
    sizes: list[Size | None] = [None] * len(pictures)
    for number, name in enumerate(pictures[:_LOOKED_UP]):
        names = [name] if Path(name).suffix.lower() in READABLE else [name + ending for ending in READABLE]
        places = (path.parent / folder / Path(file).name for folder in _PICTURE_FOLDERS for file in names)
        found = next((place for place in places if path_kind(place) == "file"), None)
        if found is not None:
            sizes[number] = check_image(found)
    return sizes
