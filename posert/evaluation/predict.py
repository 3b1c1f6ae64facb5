"""What a model finds in the pictures of a data set."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.estimator import Estimator
from posert.evaluation.dataset import PoseDataset
from posert.evaluation.detections import Detections
from posert.geometry import check_boxes
from posert.media.images import read_image
from posert.paths import path_kind
from posert.people import find_people
from posert.skeleton import Skeleton, convert_keypoints
from posert.types import Image, Poses


@dataclass(frozen=True, eq=False)
class Predictions:
    """People that a model found.

    Attributes:
        keypoints: float32 (D, K, 3): x, y in pixels, score, in the data set's skeleton; missing = (NaN, NaN, 0).
        image_index: int64 (D,): the picture of each.
        scores: float64 (D,) in [0, 1]: how sure the model is of the person.
        person: int64 (D,): the labelled person whose box was looked into, or None where people were looked for otherwise.
        images: how many pictures were looked at.
        seconds: how long the model took for them, without reading files.
    """

    keypoints: NDArray[np.float32]
    image_index: NDArray[np.int64]
    scores: NDArray[np.float64]
    person: NDArray[np.int64] | None
    images: int
    seconds: float

    def boxes(self) -> NDArray[np.float64]:
        """The tight boxes around the joints that were found, (D, 4); 0 where there are none."""
        present = self.keypoints[..., 2:] > 0
        xy = self.keypoints[..., :2].astype(np.float64)
        low, high = (np.where(present, xy, far) for far in (np.inf, -np.inf))
        boxes = np.concatenate([low.min(1, initial=np.inf), high.max(1, initial=-np.inf)], 1)
        return np.where(present.any(1), boxes, 0)


def available_joints(source: Skeleton, target: Skeleton) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which joints of a data set a model can give.

    Args:
        source: the model's joints.
        target: the data set's joints.

    Returns:
        bool (K,): those that can be had; and those of them that are no joint of the model, but follow from others.
    """
    somebody = np.ones((len(source), 3), np.float32)
    given = convert_keypoints(somebody, source, target)[:, 2] > 0
    return given, given & ~np.isin(target.joints, source.joints)


def predict(
    estimator: Estimator,
    dataset: PoseDataset,
    *,
    boxes: str | Detections = "true",
    batch_size: int = 16,
    read: Callable[[Path], Image] = read_image,
    advance: Callable[[int, float], None] = lambda images, seconds: None,
) -> Predictions:
    """Run a model over all pictures of a data set.

    Args:
        estimator: the model. One that finds everybody by itself is run without boxes, whatever `boxes` says.
        dataset: pictures with people.
        boxes: ``"true"``: the data set's own boxes, and those around the labelled joints where it has none; ``"joints"``: the
            tight boxes around the labelled joints; ``"none"``: `posert.find_people` looks for one person a picture;
            ``"detector"``: the estimator's own detector looks for them; or what a detector found. The model adds its own margin
            to boxes.
        batch_size: pictures that are in memory at a time.
        read: how a picture is read: path to uint8 (H, W, 3), RGB.
        advance: called after each batch with the number of pictures and the seconds so far.

    Raises:
        InputError: an option or a picture cannot be used; the message names it.
        ExecutionError: the network failed.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    absent = [file for file in dataset.files if path_kind(file) != "file"]
    if absent:
        raise InputError(f"{len(absent)} of {len(dataset.files)} pictures are not there, such as {str(absent[0])!r}")
    look = _look(estimator, dataset, boxes)
    people, seconds = [], 0.0
    for start in range(0, len(dataset.files), batch_size):
        numbers = np.arange(start, min(start + batch_size, len(dataset.files)))
        images = [read(dataset.files[i]) for i in numbers]
        began = time.perf_counter()
        try:
            people.append(look(images, numbers))
        except InputError as error:
            names = f"{dataset.files[numbers[0]].name} to {dataset.files[numbers[-1]].name}"
            raise InputError(f"pictures {names}: {error}") from error
        seconds += time.perf_counter() - began
        advance(int(numbers[-1]) + 1, seconds)
    keypoints, index, scores, person = (np.concatenate(arrays) for arrays in zip(*people, strict=True))
    known = None if (person < 0).any() or not len(person) else person
    return Predictions(keypoints, index, scores, known, len(dataset.files), seconds)


_Found = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]
"""Keypoints in the data set's skeleton, picture, score and labelled person (-1: not known) of each person."""


def _look(
    estimator: Estimator, dataset: PoseDataset, boxes: str | Detections
) -> Callable[[list[Image], NDArray[np.int64]], _Found]:
    """How a batch of pictures, with their numbers in the data set, becomes people."""
    skeleton = dataset.skeleton
    if estimator.finds_everybody or boxes == "detector":
        return lambda images, numbers: _people(estimator.run(images), numbers, skeleton)
    if isinstance(boxes, Detections):
        detected = boxes

        def in_detections(images: list[Image], numbers: NDArray[np.int64]) -> _Found:
            seen = [_reaches_into(image, detected.boxes[i]) for image, i in zip(images, numbers, strict=True)]
            poses = estimator.run(images, [detected.boxes[i][kept] for i, kept in zip(numbers, seen, strict=True)])
            sure = np.concatenate([np.zeros(0), *(detected.scores[i][kept] for i, kept in zip(numbers, seen, strict=True))])
            return _people(poses, numbers, skeleton, sure)

        return in_detections
    if boxes == "none":
        return lambda images, numbers: _people(find_people(estimator, images), numbers, skeleton)
    if boxes not in ("true", "joints"):
        raise InputError(f"boxes must be true, joints, none, detector or detections, got {boxes!r}")
    places = dataset.true_boxes() if boxes == "true" else dataset.joint_boxes()
    wanted = dataset.labelled & ~np.isnan(places).any(1)
    try:
        check_boxes(places[wanted])
    except InputError as error:
        raise InputError(f"the labels of {dataset.name!r} cannot be used, {error}") from error

    def in_true_boxes(images: list[Image], numbers: NDArray[np.int64]) -> _Found:
        everybody = [np.flatnonzero((dataset.image_index == i) & wanted) for i in numbers]
        groups = [group[_reaches_into(image, places[group])] for image, group in zip(images, everybody, strict=True)]
        poses = estimator.run(images, [places[group] for group in groups])
        keypoints, index, scores, _ = _people(poses, numbers, skeleton)
        return keypoints, index, scores, np.concatenate(groups)

    return in_true_boxes


def _reaches_into(image: Image, boxes: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which boxes have a part inside of their picture, (n,); in the others nobody can be found."""
    height, width = image.shape[:2]
    return np.asarray((boxes[:, :2] < (width, height)).all(1) & (boxes[:, 2:] > 0).all(1))


def _people(poses: Poses, numbers: NDArray[np.int64], skeleton: Skeleton, sure: NDArray[np.float64] | None = None) -> _Found:
    """A batch's people, with the joints of `skeleton`.

    A person's score is the mean of all joints' scores that the model gives, missing ones being 0, times the detector's.
    """
    scores = poses.keypoints[..., 2].astype(np.float64).mean(1)
    if sure is not None:
        scores = scores * sure
    return poses.convert(skeleton).keypoints, numbers[poses.image_index], scores, np.full(len(poses), -1)
