"""Object keypoint similarity, the assignment of found people to labelled ones, and COCO's average precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.evaluation.dataset import PoseDataset
from posert.evaluation.predict import Predictions
from posert.extras import require
from posert.skeleton import Skeleton

# COCO's, joint by joint; the joints that COCO lacks get those of their neighbours, and serve only the assignment of people.
_SIGMAS = {"nose": 0.026, "eye": 0.025, "ear": 0.035, "shoulder": 0.079, "elbow": 0.072, "wrist": 0.062}
_SIGMAS |= {"hip": 0.107, "knee": 0.087, "ankle": 0.089, "neck": 0.079, "thorax": 0.079, "head_top": 0.079}
_LARGEST = 0.107

LEAST_SIMILARITY = 0.1
"""Whoever is less similar than that to a labelled person is not taken for an attempt at them."""

MOST_PEOPLE = 20
"""How many people a picture COCO looks at, those with the highest scores."""

_FAR = 1e6
"""Pixels that a joint which was not found is put away from everything: its similarity is 0."""

_LABELS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")


def sigmas(skeleton: Skeleton) -> NDArray[np.float64]:
    """The spread of each joint's labels, relative to the square root of a person's area, (K,) (specs R-7)."""
    names = (joint.removeprefix("left_").removeprefix("right_") for joint in skeleton.joints)
    return np.array([_SIGMAS.get(name, _LARGEST) for name in names])


def similarity(
    predicted: NDArray[np.float32], truth: NDArray[np.float32], areas: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Object keypoint similarity of every found person with every labelled one (specs R-7).

    Args:
        predicted: (D, K, 2 or more): x, y in pixels; a joint that was not found, NaN, adds nothing.
        truth: (P, K, 2 or more): x, y in pixels; joints without a label, NaN, are left out.
        areas: (P,): of the labelled people, in square pixels, above 0.
        spread: (K,), from `sigmas`.

    Returns:
        float64 (D, P) in [0, 1]; 0 for people without labelled joints.
    """
    found, true = (points[..., :2].astype(np.float64) for points in (predicted, truth))
    squared = ((found[:, None] - true[None]) ** 2).sum(-1)
    unit = 2 * areas[:, None] * (2 * spread) ** 2 + np.spacing(1)
    close = np.exp(-np.nan_to_num(squared, nan=np.inf) / unit)
    labelled = np.isfinite(true).all(-1)
    counts = labelled.sum(1)
    return np.asarray((close * labelled).sum(-1) / np.maximum(counts, 1))


def assign(predictions: Predictions, dataset: PoseDataset) -> NDArray[np.float32]:
    """What was found of each labelled person.

    Where the found people were not looked for one by one, the pair of the highest similarity in a picture is taken first, then
    the next among the others, down to `LEAST_SIMILARITY`. Areas that the data set lacks are those of boxes around the joints.

    Returns:
        float32 (P, K, 3) in the data set's skeleton; (NaN, NaN, 0) for all joints of people that nobody was found for.
    """
    result = np.full(dataset.keypoints.shape, (np.nan, np.nan, 0), np.float32)
    if predictions.person is not None:
        result[predictions.person] = predictions.keypoints
        return result
    boxes = dataset.joint_boxes().astype(np.float64)
    areas = np.maximum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), 1) if dataset.areas is None else dataset.areas
    spread = sigmas(dataset.skeleton)
    for image in np.unique(dataset.image_index):
        people = np.flatnonzero((dataset.image_index == image) & dataset.labelled)
        found = np.flatnonzero(predictions.image_index == image)
        alike = similarity(predictions.keypoints[found], dataset.keypoints[people], areas[people], spread)
        while alike.size and alike.max() >= LEAST_SIMILARITY:
            row, column = divmod(int(np.argmax(alike)), alike.shape[1])
            result[people[column]] = predictions.keypoints[found[row]]
            alike[row], alike[:, column] = 0, 0
    return result


def average_precision(predictions: Predictions, dataset: PoseDataset, joints: NDArray[np.bool_]) -> dict[str, float | None]:
    """COCO's average precision and recall over similarities of 0.50, 0.55, ..., 0.95, by the package faster-coco-eval.

    Args:
        predictions: people with scores; of each picture the 20 with the highest count.
        dataset: COCO's, with areas and boxes.
        joints: (K,): which joints to compare; the others are taken as not labelled, and people with no other joints are neither
            wanted nor counted as wrong.

    Returns:
        AP, AP50, AP75, APm, APl (medium and large people), AR and so on; None where there is nobody to measure.

    Raises:
        MissingDependency: faster-coco-eval is not installed.
    """
    package = require("faster_coco_eval", "COCO's average precision")
    images = [{"id": i + 1} for i in range(len(dataset.files))]
    categories = [{"id": 1, "name": "person"}]
    truth = package.COCO({"images": images, "categories": categories, "annotations": _labelled(dataset, joints)})
    found = package.COCO({"images": images, "categories": categories, "annotations": _found(predictions, joints)})
    evaluation = package.COCOeval_faster(
        truth, found, "keypoints", kpt_oks_sigmas=sigmas(dataset.skeleton).tolist(), print_function=lambda *_: None
    )
    evaluation.params.maxDets = [MOST_PEOPLE]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    values = [float(value) for value in evaluation.stats[: len(_LABELS)]]
    return {label: None if value < 0 else value for label, value in zip(_LABELS, values, strict=True)}


def _labelled(dataset: PoseDataset, joints: NDArray[np.bool_]) -> list[dict[str, Any]]:
    boxes = np.nan_to_num(dataset.true_boxes())
    areas = np.zeros(len(dataset)) if dataset.areas is None else dataset.areas
    crowd = np.zeros(len(dataset), np.bool_) if dataset.crowd is None else dataset.crowd
    return [
        _annotation(number, dataset.image_index[number], points, joints, boxes[number], float(areas[number]))
        | {"iscrowd": int(crowd[number])}
        for number, points in enumerate(dataset.keypoints)
    ]


def _found(predictions: Predictions, joints: NDArray[np.bool_]) -> list[dict[str, Any]]:
    boxes = predictions.boxes()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return [
        _annotation(number, predictions.image_index[number], points, joints, boxes[number], float(areas[number]))
        | {"iscrowd": 0, "score": float(predictions.scores[number])}
        for number, points in enumerate(predictions.keypoints)
    ]


def _annotation(
    number: int,
    image: np.int64,
    points: NDArray[np.float32],
    joints: NDArray[np.bool_],
    box: NDArray[np.floating[Any]],
    area: float,
) -> dict[str, Any]:
    present = (points[:, 2] > 0) & joints
    flat = np.where(present[:, None], np.concatenate([points[:, :2], np.full((len(points), 1), 2)], 1), (-_FAR, -_FAR, 0))
    x0, y0, x1, y1 = (float(side) for side in box)
    return {
        "id": number + 1,
        "image_id": int(image) + 1,
        "category_id": 1,
        "keypoints": flat.astype(np.float64).ravel().tolist(),
        "num_keypoints": int(present.sum()),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": area,
    }
