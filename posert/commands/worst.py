"""The people that a model was most wrong about, to be looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.commands.figures import drawn_figure
from posert.draw import picture_grid
from posert.evaluation import Evaluation, PoseDataset
from posert.media.images import read_image
from posert.types import Image, Poses

CELL = (192, 144)
"""Height and width in pixels of a picture in the grid."""

_COLUMNS = 4
_MARGIN = 0.15


def worst_people(evaluation: Evaluation, dataset: PoseDataset, count: int) -> Image:
    """A grid of the people with the largest errors: on the left what is labelled, on the right what was found.

    A person's error is the mean over the measured joints, each counted as 1 unit at most, so that one joint far away is not all.

    Returns:
        uint8 (H, W, 3), RGB; a single empty cell where nobody was measured.
    """
    measured = ~np.isnan(evaluation.distances)
    errors = np.where(measured, np.minimum(evaluation.distances, 1), 0).sum(1) / np.maximum(measured.sum(1), 1)
    order = np.argsort(-errors, kind="stable")
    chosen = [int(person) for person in order if measured[person].any()][:count]
    cells: list[Image | None] = []
    for person in chosen:
        image = read_image(dataset.files[dataset.image_index[person]])
        box = _frame(dataset.joint_boxes()[person])
        for points in (evaluation.labelled[person], evaluation.found[person]):
            pose = Poses(points[None], boxes=box, skeleton=dataset.skeleton)
            cells.append(drawn_figure(image, pose, CELL))
    width = 2 * min(_COLUMNS, max(1, len(chosen)))
    cells += [None] * (-len(cells) % width or width * (not cells))
    rows = [cells[start : start + width] for start in range(0, len(cells), width)]
    return picture_grid(rows, CELL, columns=["labelled", "found"] * (width // 2))


def _frame(box: NDArray[np.float32]) -> NDArray[np.float32]:
    """A tight box with a margin, (1, 4)."""
    border = _MARGIN * max(float(np.max(box[2:] - box[:2])), 16.0)
    return (box + np.array([-border, -border, border, border], np.float32))[None]
