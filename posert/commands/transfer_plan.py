"""What `posert transfer` was asked for, and the models that it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posert.commands.console import say
from posert.estimator import Estimator
from posert.geometry import person_boxes
from posert.images import whole_boxes
from posert.people import find_people
from posert.skeleton import Skeleton
from posert.track import Tracker
from posert.transfer import Transfer, odd_images
from posert.types import Poses

if TYPE_CHECKING:
    from posert.types import Image

CROP_MODEL, PICTURE_MODEL = "pg2-s", "unseen-s"
CROP_HEIGHT = 256
"""In pixels: what is higher is a picture for `PICTURE_MODEL`, whatever its proportions."""


@dataclass(frozen=True)
class Choices:
    """The options that all kinds of `posert transfer` share; see `posert.commands.transfer.run`."""

    model: str | None = None
    estimator: str = "cpm-s"
    detector: str | None = "paf-s"
    grid: bool = False
    explain: Path | None = None
    paste: bool | None = None
    retarget: bool = True
    smoothing: float = 1.0
    limit: int | None = None
    rate: float | None = None
    check_poses: bool = True
    redo: bool = False
    max_pixels: float = 50e6
    backend: str | None = None
    device: str | None = None
    trust_plans: bool = False


@dataclass(frozen=True)
class Models:
    """Models that are open.

    Attributes:
        transfer: draws.
        finder: finds one person's joints.
        detector: finds everybody, or None.
    """

    transfer: Transfer
    finder: Estimator
    detector: Estimator | None

    @property
    def skeleton(self) -> Skeleton:
        """That of the model that draws."""
        return self.transfer.engine.manifest.skeleton

    def tracker(self) -> Tracker:
        """Somebody new to follow through a video."""
        return Tracker(self.finder, self.detector)

    def find(self, images: Sequence[Image]) -> Poses:
        """The person of each picture, one an image; all joints missing where there is none.

        It is the largest and surest that the detector finds; where it finds nobody, `posert.find_people` looks again.
        """
        if not len(images):
            return Poses(np.zeros((0, len(self.finder.skeleton), 3), np.float32), None, None, self.finder.skeleton)  # type: ignore[arg-type]
        people = np.stack([self.tracker().update(image) for image in images])
        missing = np.flatnonzero(~(people[..., 2] > 0).any(1))
        if len(missing):
            people[missing] = find_people(self.finder, [images[int(number)] for number in missing]).keypoints
        boxes = whole_boxes(images)
        found = (people[..., 2] > 0).any(1)
        boxes[found] = person_boxes(people[found])
        return Poses(people, None, boxes, self.finder.skeleton)  # type: ignore[arg-type]


def suited_model(source: Image) -> str:
    """The embedded model that suits a source: one was made for crops of pedestrians, the other for whole pictures.

    Args:
        source: uint8 (H, W, 3). A crop is twice as high as wide, and at most `CROP_HEIGHT` pixels high.
    """
    is_crop = source.shape[0] <= CROP_HEIGHT and not odd_images([source], (2, 1))
    return CROP_MODEL if is_crop else PICTURE_MODEL


def open_models(choices: Choices, source: Image) -> Models:
    """Open what the options name, and what suits a source where they do not name who draws.

    Raises:
        PosertError: see `posert.Engine.open`.
    """
    where: dict[str, Any] = {"backend": choices.backend, "device": choices.device, "trust_plans": choices.trust_plans}
    finder = Estimator(choices.estimator, **where)
    needs_detector = choices.detector is not None and not finder.finds_everybody
    detector = Estimator(choices.detector, **where) if choices.detector is not None and needs_detector else None
    model = choices.model
    if model is None:
        model = suited_model(source)
        say(f"drawn by {model}, which suits sources of {source.shape[1]} x {source.shape[0]} pixels; --model names another")
    return Models(Transfer(model, estimator=finder, **where), finder, detector)
