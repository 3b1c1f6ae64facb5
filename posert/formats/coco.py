"""COCO keypoint annotations (cocodataset.org, "Data format"): one JSON file with images, annotations and categories.

The 17 joints of COCO are skeleton `coco17`; another skeleton is written under its own joint names in the category, so the file
says which joints it has. The third number of a keypoint is COCO's visibility, 0 (missing) or 2; the scores stand beside it in
`keypoint_scores`. Reading takes also COCO's result files, a plain list in which the third number is a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.formats.values import MISSING_JOINT, as_keypoints, as_triples, numbers, read_json, records, triples
from posert.skeleton import SKELETONS, Skeleton, get_skeleton
from posert.types import Poses

# Result files and files without categories are read by their number of joints where that leaves no doubt.
_BY_COUNT = {17: "coco17", 18: "coco18", 25: "body25"}


@dataclass(frozen=True)
class ImageInfo:
    """A picture that poses belong to: its file name, and its size in pixels."""

    file_name: str
    width: int
    height: int


def coco_document(poses: Poses, images: Sequence[ImageInfo]) -> dict[str, Any]:
    """Poses as a COCO keypoint document, ready for `json.dump`; pycocotools loads it.

    Args:
        poses: P people; `image_index` points into `images`. Their boxes are written as COCO's x, y, width, height; without
            boxes it is the box that tightly encloses the joints.
        images: the pictures, in the order of their numbers. Picture 0 gets the id 1.

    Raises:
        InputError: a person belongs to a picture that is not in `images`.
    """
    if len(poses) and int(poses.image_index.max()) >= len(images):
        raise InputError(f"a person belongs to image {int(poses.image_index.max())}, but only {len(images)} images are given")
    boxes = _tight_boxes(poses.keypoints) if poses.boxes is None else poses.boxes.astype(np.float64)
    annotations = []
    for person, flat in enumerate(as_triples(poses.keypoints)):
        scores = flat[2::3]
        flat[2::3] = [2 if score > 0 else 0 for score in scores]
        x0, y0, x1, y1 = (float(v) for v in boxes[person])
        present = sum(score > 0 for score in scores)
        annotations.append(
            {
                "id": person + 1,
                "image_id": int(poses.image_index[person]) + 1,
                "category_id": 1,
                "keypoints": flat,
                "num_keypoints": present,
                "keypoint_scores": scores,
                "score": round(sum(scores) / present, 4) if present else 0.0,
                "bbox": [round(v, 3) for v in (x0, y0, x1 - x0, y1 - y0)],
                "area": round((x1 - x0) * (y1 - y0), 3),
                "iscrowd": 0,
            }
        )
    return {
        "info": {"description": "Poses estimated by posert", "skeleton": poses.skeleton.name},
        "images": [
            {"id": number + 1, "file_name": image.file_name, "width": image.width, "height": image.height}
            for number, image in enumerate(images)
        ],
        "annotations": annotations,
        "categories": [_category(poses.skeleton)],
    }


def _category(skeleton: Skeleton) -> dict[str, Any]:
    limbs = [[a + 1, b + 1] for a, b in skeleton.limbs]  # COCO counts joints from 1 here
    return {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(skeleton.joints), "skeleton": limbs}


def _tight_boxes(keypoints: NDArray[np.float32]) -> NDArray[np.float64]:
    present = np.asarray(keypoints[..., 2] > 0)
    points = keypoints[..., :2].astype(np.float64)
    low = np.where(present[..., None], points, np.inf).min(1, initial=np.inf)
    high = np.where(present[..., None], points, -np.inf).max(1, initial=-np.inf)
    # A joint lies at the centre of its pixel, half a pixel from the edges that a box has.
    boxes = np.concatenate([low, high + 1], axis=1)
    boxes[~present.any(axis=1)] = 0
    return boxes


def read_coco(path: str | Path) -> tuple[Poses, list[ImageInfo]]:
    """Read a COCO keypoint file: annotations, or a result list.

    Returns:
        the people that have at least one joint, with boxes where every one has a box of some area, and the pictures they belong
        to.

    Raises:
        InputError: the file is not JSON, not COCO, or inconsistent; the message says where.
    """
    return parse_coco(read_json(path, hint=MISSING_JOINT), str(path))


def parse_coco(document: Any, name: str) -> tuple[Poses, list[ImageInfo]]:
    """As `read_coco`, for a JSON document that is already loaded; `name` begins the error messages."""
    if isinstance(document, list):
        document = {"annotations": document}
    if not isinstance(document, dict):
        raise InputError(f"{name!r} is not a COCO file: a JSON object with images and annotations is needed")
    people = [a for a in records(document.get("annotations"), f"{name!r}: annotations") if "keypoints" in a]
    images = records(document.get("images", []), f"{name!r}: images")
    numbering = _image_numbers(images, people, name)
    skeleton = _skeleton(document.get("categories"), people, name)
    keypoints, index, boxes = [], [], []
    for position, person in enumerate(people):
        what = f"{name!r}: annotation {person.get('id', position)!r}"
        points = _keypoints(person, len(skeleton), what)
        if not (points[:, 2] > 0).any():
            continue
        keypoints.append(as_keypoints(points))
        index.append(_number(person.get("image_id"), numbering, what))
        boxes.append(_box(person.get("bbox"), what))
    poses = Poses(
        np.array(keypoints, np.float32).reshape(-1, len(skeleton), 3),
        np.array(index, np.int64),
        np.array(boxes, np.float32).reshape(-1, 4) if all(box is not None for box in boxes) else None,
        skeleton,
    )
    return poses, [_image_info(image, name) for image in images]


def _keypoints(person: dict[str, Any], joints: int, what: str) -> NDArray[np.float64]:
    """x, y, score (K, 3) of one annotation: its own scores, else what stands third, which is 1 or 2 for every labelled joint."""
    points = triples(person["keypoints"], f"{what}: keypoints", joints)
    if "keypoint_scores" in person:
        scores = numbers(person["keypoint_scores"], f"{what}: keypoint_scores")
        if len(scores) != joints or (scores < 0).any():
            raise InputError(f"{what}: keypoint_scores must be {joints} numbers of 0 or more, got {len(scores)}")
        points[:, 2] = np.where(points[:, 2] > 0, scores, 0)
    return points


def _box(value: Any, what: str) -> NDArray[np.float64] | None:
    if value is None:
        return None
    box = numbers(value, f"{what}: bbox")
    if len(box) != 4:
        raise InputError(f"{what}: bbox must be x, y, width, height; got {len(box)} numbers")
    if not (box[2:] > 0).all():
        return None
    corners = np.concatenate([box[:2], box[:2] + box[2:]])
    return corners if (np.abs(corners) < float(np.finfo(np.float32).max)).all() else None


def _skeleton(categories: Any, people: list[dict[str, Any]], name: str) -> Skeleton:
    """The skeleton named by the category's joints, or the one with as many joints as the people have."""
    named: list[Any] = []
    if categories is not None:
        named = [c["keypoints"] for c in records(categories, f"{name!r}: categories") if "keypoints" in c]
    for joints in named:
        for skeleton in SKELETONS.values():
            if joints == list(skeleton.joints):
                return skeleton
    if not people:
        return get_skeleton("coco17")
    count = len(triples(people[0]["keypoints"], f"{name!r}: keypoints of the first annotation"))
    if named or count not in _BY_COUNT:
        known = ", ".join(f"{s.name} ({len(s)})" for s in SKELETONS.values())
        raise InputError(f"{name!r}: its {count} joints are none of the known skeletons, by name and order: {known}")
    return get_skeleton(_BY_COUNT[count])


def _image_numbers(images: list[dict[str, Any]], people: list[dict[str, Any]], name: str) -> dict[str, int]:
    """From the id of a picture, as text so that any JSON value will do, to its number; without an image list, as ids appear."""
    ids = [repr(image.get("id")) for image in images] or list(dict.fromkeys(repr(a.get("image_id")) for a in people))
    if len(set(ids)) != len(ids):
        raise InputError(f"{name!r}: two images have the same id")
    return {identity: number for number, identity in enumerate(ids)}


def _number(identity: Any, numbering: dict[str, int], what: str) -> int:
    if repr(identity) not in numbering:
        raise InputError(f"{what} belongs to image {identity!r}, which is not among the images")
    return numbering[repr(identity)]


def _image_info(image: dict[str, Any], name: str) -> ImageInfo:
    file_name, width, height = image.get("file_name"), image.get("width", 0), image.get("height", 0)
    if not isinstance(file_name, str) or not isinstance(width, int) or not isinstance(height, int):
        raise InputError(f"{name!r}: image {image.get('id')!r} needs a file_name, and width and height as whole numbers")
    return ImageInfo(file_name, width, height)
