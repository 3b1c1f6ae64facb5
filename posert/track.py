"""One person followed through a video, frame after frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.estimator import Estimator
from posert.geometry import person_boxes
from posert.people import find_people
from posert.types import Image, Poses

_FEWEST = 0.3  # share of the joints that a person must have
_UNSURE = 0.2  # mean score of all joints below which a person is lost
_MARGIN = 0.08  # around the joints of the frame before, for what moves until the next


class Tracker:
    """Follows one person: looks into a box around their joints of the frame before, and looks for them anew when they are lost.

    Who they are is decided in the first frame that shows anybody: the one who is largest and surest. A lost person is looked for
    by the detector, and of several people the one is taken who overlaps most with where the person was last.

    Attributes:
        lost: how many frames showed nobody, so far.
    """

    def __init__(self, estimator: Estimator, detector: Estimator | None = None) -> None:
        """Begin without a person.

        Args:
            estimator: finds the joints. One that finds everybody needs no detector, and looks at every whole frame.
            detector: an estimator that finds everybody (`Estimator.finds_everybody`), such as ``"paf-s"``. None: where the
                person is lost, `posert.find_people` looks for somebody who fills a good part of the frame.

        Raises:
            InputError: the detector does not find everybody.
        """
        if detector is not None and not detector.finds_everybody:
            raise InputError(
                f"{detector.engine.manifest.name!r} needs boxes itself, so it detects nobody; use one such as 'paf-s'"
            )
        self._estimator, self._detector = estimator, detector
        self._box: NDArray[np.float32] | None = None
        self._following = False
        self.lost = 0

    def update(self, image: Image) -> NDArray[np.float32]:
        """Find the person in the next frame.

        Args:
            image: uint8 (H, W, 3), RGB.

        Returns:
            float32 (K, 3): x, y in pixels, score, in the estimator's skeleton; all joints missing where nobody was found.

        Raises:
            InputError: the image cannot be used.
        """
        person = self._look(image, self._box) if self._following and self._box is not None else None
        if person is None:
            person = self._search(image)
        self._following = person is not None
        if person is None:
            self.lost += 1
            return np.full((len(self._estimator.skeleton), 3), (np.nan, np.nan, 0), np.float32)
        self._box = person_boxes(person[None], _MARGIN)[0]
        return person

    def _look(self, image: Image, box: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """The person in a box, if there is one."""
        if self._estimator.finds_everybody:
            return None
        height, width = image.shape[:2]
        inside = np.concatenate([np.maximum(box[:2], 0), np.minimum(box[2:], (width, height))])
        if (inside[2:] - inside[:2] < 2).any():
            return None
        return _sure(self._estimator.run([image], [inside[None]]).keypoints[0])

    def _search(self, image: Image) -> NDArray[np.float32] | None:
        """The person anywhere in the image."""
        detector = self._estimator if self._estimator.finds_everybody else self._detector
        if detector is None:
            return _sure(find_people(self._estimator, [image]).keypoints[0])
        poses = detector.run([image])
        if not len(poses):
            return None
        chosen = poses[self._choose(poses)]
        if detector is self._estimator:
            return _sure(chosen.keypoints[0])
        return self._look(image, person_boxes(chosen.keypoints, _MARGIN)[0])

    def _choose(self, poses: Poses) -> int:
        boxes = person_boxes(poses.keypoints, _MARGIN).astype(np.float64)
        if self._box is not None:
            low, high = np.maximum(boxes[:, :2], self._box[:2]), np.minimum(boxes[:, 2:], self._box[2:])
            shared = np.prod(np.maximum(high - low, 0), axis=1)
            if shared.any():
                return int(np.argmax(shared / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
        return int(np.argmax(poses.keypoints[..., 2].mean(1) * (boxes[:, 3] - boxes[:, 1])))


def _sure(person: NDArray[np.float32]) -> NDArray[np.float32] | None:
    present = person[:, 2] > 0
    return person if present.mean() >= _FEWEST and person[:, 2].mean() >= _UNSURE else None
