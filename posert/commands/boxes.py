"""The option `--boxes`: four numbers, or a JSON file with boxes for one picture or many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.formats.values import numbers, read_json, records

Boxes = NDArray[np.float32]


def read_boxes(option: str, names: Sequence[str]) -> list[Boxes]:
    """The people's boxes in each picture.

    Args:
        option: ``x0,y0,x1,y1`` in pixels, meant for every picture; or the path of a JSON file with a list of such boxes (for a
            single picture), an object from file names to lists of boxes, or COCO annotations with `bbox` (x, y, width, height).
        names: file names of the pictures, without folders.

    Returns:
        float32 (n_i, 4) for each picture: x0, y0, x1, y1 in pixels.

    Raises:
        InputError: the option or the file is not understood, or the file has nothing to say about a picture.
    """
    if not option.lower().endswith(".json"):
        return [_boxes([_corners(option)], "--boxes")] * len(names)
    document = read_json(option)
    if isinstance(document, list):
        if len(names) != 1:
            raise InputError(
                f"{option!r} is a list of boxes, but there are {len(names)} pictures; name them: {{file name: [boxes]}}"
            )
        single = bool(document) and not isinstance(document[0], list)
        return [_boxes([document] if single else document, repr(option))]
    if not isinstance(document, dict):
        raise InputError(
            f"{option!r} must be a list of boxes x0, y0, x1, y1, an object from file names to such lists, or COCO JSON"
        )
    by_name = _from_coco(document, option) if "annotations" in document else document
    absent = [name for name in names if name not in by_name]
    if absent:
        raise InputError(f"{option!r} has no boxes for {', '.join(map(repr, absent[:5]))}; write an empty list where nobody is")
    return [_boxes(by_name[name], f"{option!r}: {name!r}") for name in names]


def check_boxes_inside(boxes: Boxes, size: tuple[int, int], name: str) -> None:
    """Refuse, before any work is done, boxes that the estimator would refuse.

    Args:
        boxes: of one picture.
        size: its height and width in pixels.
        name: of its file.

    Raises:
        InputError: a box lies wholly outside of the picture, or has no area in float32.
    """
    from posert.geometry import check_boxes
    from posert.images import check_inside

    try:
        check_boxes(boxes)
    except InputError as error:
        raise InputError(f"{name!r}, {error}") from error
    check_inside(boxes, size, repr(name))


def _corners(option: str) -> list[float]:
    parts = option.split(",")
    try:
        return [float(part) for part in parts]
    except ValueError as error:
        raise InputError(f"--boxes must be x0,y0,x1,y1 or the name of a .json file, got {option!r}") from error


def _boxes(value: Any, what: str) -> Boxes:
    """A JSON list of boxes as an array; that they lie in the picture is checked later, when its size is known."""
    if not isinstance(value, list):
        raise InputError(f"{what} must be a list of boxes x0, y0, x1, y1")
    boxes = [numbers(box, f"{what}: a box") for box in value]
    for box in boxes:
        if len(box) != 4 or not (box[2:] > box[:2]).all():
            raise InputError(f"{what}: a box must be x0, y0, x1, y1 with x1 > x0 and y1 > y0, got {box.tolist()}")
    return np.array(boxes, np.float32).reshape(-1, 4)


def _from_coco(document: dict[str, Any], option: str) -> dict[str, list[list[float]]]:
    """COCO's boxes by the file name of their picture, without folders."""
    by_id: dict[str, list[list[float]]] = {}
    by_name: dict[str, list[list[float]]] = {}
    for image in records(document.get("images"), f"{option!r}: images"):
        name = image.get("file_name")
        if not isinstance(name, str):
            raise InputError(f"{option!r}: image {image.get('id')!r} has no file_name")
        by_name[Path(name).name] = by_id[repr(image.get("id"))] = []
    for annotation in records(document["annotations"], f"{option!r}: annotations"):
        what = f"{option!r}: bbox of annotation {annotation.get('id')!r}"
        box = numbers(annotation.get("bbox"), what)
        if len(box) != 4 or repr(annotation.get("image_id")) not in by_id:
            raise InputError(f"{what} must be x, y, width, height in one of the images")
        by_id[repr(annotation.get("image_id"))].append([*box[:2], *(box[:2] + box[2:])])
    return by_name
