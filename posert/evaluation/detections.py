"""Boxes that a detector found, in a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.evaluation.dataset import PoseDataset
from posert.formats.values import numbers, read_json, records


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes of each picture of a data set.

    Attributes:
        boxes: float32 (n_i, 4) a picture: x0, y0, x1, y1 in pixels.
        scores: float64 (n_i,) a picture, in [0, 1].
    """

    boxes: Sequence[NDArray[np.float32]]
    scores: Sequence[NDArray[np.float64]]


def read_detections(path: str | Path, dataset: PoseDataset) -> Detections:
    """Read COCO's result file: a list of ``{"image_id", "category_id", "bbox": [x, y, width, height], "score"}``.

    Args:
        path: of the file. Categories other than 1, a person, are left out, and so are pictures that are not looked at.
        dataset: whose pictures are meant; where it is not COCO's, image_id is a file name.

    Raises:
        InputError: the file is not in this layout, or has no box in any of the pictures.
    """
    found: dict[Any, list[tuple[list[float], float]]] = {identity: [] for identity in dataset.image_ids}
    for number, entry in enumerate(records(read_json(path), f"{str(path)!r}")):
        what = f"{str(path)!r}: detection {number}"
        box = numbers(entry.get("bbox"), f"{what}: bbox")
        score = float(numbers([entry.get("score", 1)], f"{what}: score")[0])
        if len(box) != 4 or not 0 <= score <= 1:
            raise InputError(f"{what} needs a bbox x, y, width, height and a score from 0 to 1")
        identity = entry.get("image_id")
        if entry.get("category_id", 1) == 1 and isinstance(identity, (int, str)) and identity in found and (box[2:] > 0).all():
            found[identity].append(([*box[:2].tolist(), *(box[:2] + box[2:]).tolist()], score))
    if not any(found.values()):
        raise InputError(f"{str(path)!r} has no box in any of the {len(found)} pictures; is it for another data set?")
    return Detections(
        [np.array([box for box, _ in entries], np.float32).reshape(-1, 4) for entries in found.values()],
        [np.array([score for _, score in entries], np.float64) for entries in found.values()],
    )
