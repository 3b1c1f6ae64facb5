"""Pictures of any number of people: COCO's keypoint annotations, and photographs of one person labelled by a network.

    COCO     images under the folder, `annotations.json` beside them (or any annotation file), 17 joints a person
    labelled images/, `movenet_thunder_coco17.npz` with `files` and `keypoints` (N, 17, 3): x, y in pixels, score

Files are kept encoded in memory and decoded when asked for.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.skeleton import convert_keypoints, get_skeleton
from training.data.lsp import NETWORK_LABELS
from training.pictures import decode_picture

SKELETON = get_skeleton("coco18")
UNKNOWN = -1.0
"""Score of a joint that may be in the picture although nobody labelled it: nothing is to be learnt about it."""
ANNOTATIONS = "annotations.json"
_SURROUNDINGS = 0.2  # of a person's larger side: how far around the joints a lone label vouches for what is there


@dataclass(frozen=True)
class CrowdPicture:
    """One picture and what is known of its people.

    Attributes:
        file: the encoded picture.
        people: float32 (P, 18, 3): x, y in pixels counted from 0; score 1, or 0 where a joint is not in the picture (then NaN),
            or `UNKNOWN`.
        ignored: float32 (R, 4): regions x0, y0, x1, y1 with people whose joints are not labelled.
        vouched: float32 (4,): the region outside of which nothing is known, or None where everybody is labelled.
    """

    file: bytes = field(repr=False)
    people: NDArray[np.float32]
    ignored: NDArray[np.float32]
    vouched: NDArray[np.float32] | None = None

    def image(self) -> NDArray[np.uint8]:
        """Decode the picture: uint8 (H, W, 3), RGB."""
        return decode_picture(self.file)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read, but it is annotated: {error}") from error


def to_coco18(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """(P, 17, 3), whose scores may be `UNKNOWN`, to (P, 18, 3); the neck is unknown where a shoulder is."""
    unknown = dict(zip(get_skeleton("coco17").joints, (keypoints[..., 2] == UNKNOWN).T, strict=True))
    unknown["neck"] = unknown["left_shoulder"] | unknown["right_shoulder"]
    labelled = np.where(keypoints[..., 2:] > 0, keypoints, (np.nan, np.nan, 0)).astype(np.float32)
    converted = convert_keypoints(labelled, "coco17", SKELETON)
    converted[np.stack([unknown[name] for name in SKELETON.joints], 1)] = (np.nan, np.nan, UNKNOWN)
    return converted


def load_coco(root: Path | str, annotations: Path | str | None = None) -> list[CrowdPicture]:
    """Read pictures with COCO keypoint annotations; pictures without people are kept, they show what is nobody.

    Args:
        root: the folder that the pictures' `file_name` starts from.
        annotations: the annotation file; None: `annotations.json` in the folder.

    Raises:
        InputError: a file is missing or is not what COCO describes.
    """
    root = Path(root)
    path = root / ANNOTATIONS if annotations is None else Path(annotations)
    try:
        document: Any = json.loads(path.read_text())
        people, ignored = defaultdict(list), defaultdict(list)
        for person in document["annotations"]:
            x, y, width, height = person["bbox"]
            points = np.array(person.get("keypoints", [0] * 51), np.float32).reshape(17, 3)
            if person.get("iscrowd") or not (points[:, 2] > 0).any():
                ignored[person["image_id"]].append((x, y, x + width, y + height))
                continue
            points[:, 2] = points[:, 2] > 0
            people[person["image_id"]].append(points)
        images = [(image["id"], root / image["file_name"]) for image in document["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a file of COCO keypoint annotations: {error!r}") from error
    return [
        CrowdPicture(
            _read(file),
            to_coco18(np.array(people[number], np.float32).reshape(-1, 17, 3)),
            np.array(ignored[number], np.float32).reshape(-1, 4),
        )
        for number, file in images
    ]


def load_labelled(root: Path | str, start: int, stop: int, *, trust: float = 0.4) -> list[CrowdPicture]:
    """Read photographs of one person each whose joints a network found.

    Others may stand in the picture, so nothing is known beyond the person's surroundings.

    Args:
        root: folder with `images` and `movenet_thunder_coco17.npz`.
        start: first picture, counted from 0.
        stop: picture after the last.
        trust: joints below this score are unknown; people with fewer than five known joints are left out.

    Raises:
        InputError: a file is missing.
    """
    root = Path(root)
    try:
        with np.load(root / NETWORK_LABELS) as archive:
            files, labels = archive["files"][start:stop], archive["keypoints"][start:stop].astype(np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"{root} needs {NETWORK_LABELS} with files and keypoints: {error}") from error
    pictures = []
    for name, points in zip(files, labels, strict=True):
        known = points[:, 2] > trust
        if known.sum() < 5:
            continue
        low, high = points[:, :2].min(0), points[:, :2].max(0)  # unknown joints too: they lie near where they are said to be
        border = _SURROUNDINGS * (high - low).max()
        points[:, 2] = np.where(known, 1, UNKNOWN)
        region = np.concatenate([low - border, high + border])
        people = to_coco18(points[None])
        pictures.append(CrowdPicture(_read(root / "images" / Path(str(name)).name), people, np.zeros((0, 4), np.float32), region))
    return pictures
