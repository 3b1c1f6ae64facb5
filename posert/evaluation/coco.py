"""COCO keypoints (Lin et al., ECCV 2014): person_keypoints_*.json and a folder of pictures.

annotations/person_keypoints_val2017.json    images: id, file_name; annotations: image_id, keypoints (17 x 3), bbox, area, iscrowd
val2017/000000000139.jpg
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.evaluation.dataset import PoseDataset, unlabelled_as_missing
from posert.formats.values import numbers, read_json, records, triples
from posert.paths import path_kind
from posert.skeleton import get_skeleton

JOINTS = 17


def load_coco(root: str | Path, annotations: str | Path | None = None) -> PoseDataset:
    """Read a COCO keypoint annotation, with the pictures that have an annotated person.

    Args:
        root: folder with the annotation, and with the pictures: in the folder that the file names say, in the one that the
            annotation is named after (``val2017``), or in ``images``.
        annotations: the annotation; by default the only ``person_keypoints_*.json`` in `root` or in ``annotations``, or
            ``annotations.json``.

    Returns:
        The pictures in the order of the file, all people with their boxes and areas.

    Raises:
        InputError: a file is missing, or not in this layout; the message says where.
    """
    root = Path(root)
    file = Path(annotations) if annotations is not None else _find(root)
    document, name = read_json(file), repr(str(file))
    if not isinstance(document, dict) or "images" not in document or "annotations" not in document:
        raise InputError(f"{name} is not COCO's annotation: a JSON object with images and annotations is needed")
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for image in records(document["images"], f"{name}: images"):
        if not isinstance(image.get("id"), (int, str)) or not isinstance(image.get("file_name"), str):
            raise InputError(f"{name}: every image needs an id and a file_name")
        by_image[image["id"]] = []
    for person in records(document["annotations"], f"{name}: annotations"):
        if person.get("image_id") not in by_image:
            raise InputError(
                f"{name}: annotation {person.get('id')!r} belongs to image {person.get('image_id')!r}, which is not there"
            )
        if person.get("category_id", 1) == 1 and "keypoints" in person:
            by_image[person["image_id"]].append(person)
    images = [image for image in document["images"] if by_image[image["id"]]]
    if not images:
        raise InputError(f"{name} annotates no people; person_keypoints_*.json is needed, not instances_*.json")
    people = [person for image in images for person in by_image[image["id"]]]
    counts = [len(by_image[image["id"]]) for image in images]
    folder = _folder(root, file, images[0]["file_name"])
    boxes, areas = zip(*(_box_and_area(person, name) for person in people), strict=True)
    return PoseDataset(
        "coco",
        get_skeleton("coco17"),
        tuple(folder / image["file_name"] for image in images),
        np.concatenate([_keypoints(person, name) for person in people]),
        np.repeat(np.arange(len(images)), counts),
        tuple(image["id"] for image in images),
        boxes=np.array(boxes, np.float32),
        areas=np.array(areas, np.float64),
        crowd=np.array([bool(person.get("iscrowd", 0)) for person in people]),
    )


def _find(root: Path) -> Path:
    found = [path for folder in (root, root / "annotations") for path in sorted(folder.glob("person_keypoints_*.json"))]
    if not found:
        found = [path for path in (root / "annotations.json",) if path_kind(path) == "file"]
    if len(found) != 1:
        what = f"several annotations: {', '.join(path.name for path in found)}" if found else "no person_keypoints_*.json"
        raise InputError(f"{str(root)!r} holds {what}; name one with --annotations")
    return found[0]


def _folder(root: Path, file: Path, first: str) -> Path:
    """Where the pictures lie."""
    named = file.stem.removeprefix("person_keypoints_")
    places = [root, root / named, root / "images", root / "images" / named, file.parent]
    for place in places:
        if path_kind(place / first) == "file":
            return place
    raise InputError(f"there is no picture {first!r} in any of: {', '.join(str(place) for place in places)}")


def _keypoints(person: dict[str, Any], name: str) -> NDArray[np.float32]:
    points = triples(person["keypoints"], f"{name}: keypoints of annotation {person.get('id')!r}", JOINTS)
    return unlabelled_as_missing(points[None, :, :2], points[None, :, 2] > 0)


def _box_and_area(person: dict[str, Any], name: str) -> tuple[list[float], float]:
    """Box x0, y0, x1, y1, NaN where it has no extent, and area."""
    what = f"{name}: annotation {person.get('id')!r}"
    box, area = numbers(person.get("bbox"), f"{what}: bbox"), numbers([person.get("area")], f"{what}: area")
    if len(box) != 4:
        raise InputError(f"{what}: bbox must be x, y, width, height; got {len(box)} numbers")
    corners = [*box[:2].tolist(), *(box[:2] + box[2:]).tolist()]
    return (corners if (box[2:] > 0).all() else [np.nan] * 4), float(area[0])
