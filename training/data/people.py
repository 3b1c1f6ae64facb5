"""Pictures of one labelled person each, from which trainings draw."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from posert.skeleton import get_skeleton
from training.pictures import decode_picture

SKELETON = get_skeleton("lsp19")
BODY = slice(0, 14)
FACE = slice(14, 19)


@dataclass(frozen=True)
class Person:
    """One picture and what is known of its person's joints.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        keypoints: float32 (19, 3): x, y in pixels, score 1; (NaN, NaN, 0) where a joint is absent or not labelled.
        known: bool (19,): whether the label says where the joint is, or that it is absent.
        occluded: float32 (19,): 1 where the joint is hidden, 0 where it is seen, NaN where the label does not say.
        box: float32 (4,): the tight box around the body's joints, x0, y0, x1, y1.
    """

    image: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    known: NDArray[np.bool_]
    occluded: NDArray[np.float32]
    box: NDArray[np.float32]


@dataclass(frozen=True)
class PosePictures:
    """Encoded pictures of one person each, with joints in the order of `SKELETON`; decoded when asked for.

    Attributes:
        files: encoded pictures.
        keypoints: float32 (N, 19, 3): x, y in pixels counted from 0, score 1; unlabelled joints are (NaN, NaN, 0).
        occluded: float32 (N, 19): 1 where a joint is hidden, 0 where it is seen, NaN where the label does not say.
        absent: bool (N, 19): joints that cannot be seen and have no position either: of a face that is turned away.
    """

    files: list[bytes] = field(repr=False)
    keypoints: NDArray[np.float32] = field(repr=False)
    occluded: NDArray[np.float32] = field(repr=False)
    absent: NDArray[np.bool_] = field(repr=False)

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Decode one picture: uint8 (H, W, 3), RGB."""
        return decode_picture(self.files[index])

    def part(self, start: int, stop: int) -> PosePictures:
        """Pictures `start` to `stop`, counted from 0, the last excluded."""
        part = slice(start, stop)
        return PosePictures(self.files[part], self.keypoints[part], self.occluded[part], self.absent[part])

    def boxes(self) -> NDArray[np.float32]:
        """The tight box around each person's body joints, (N, 4): x0, y0, x1, y1."""
        return np.stack([body_box(points) for points in self.keypoints])

    def person(self, index: int) -> Person:
        """One picture with all that is known of it."""
        keypoints = self.keypoints[index]
        known = (keypoints[:, 2] > 0) | self.absent[index]
        return Person(self.image(index), keypoints, known, self.occluded[index], body_box(keypoints))

    def draw(self, rng: np.random.Generator) -> Person:
        """A person at random; fewer than five labelled joints do not say where somebody is."""
        while True:
            index = int(rng.integers(len(self)))
            if (self.keypoints[index, BODY, 2] > 0).sum() >= 5:
                return self.person(index)


def body_box(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """The tight box around the body's joints, (4,): x0, y0, x1, y1, whose edges hold whole pixels."""
    xy = keypoints[BODY, :2]
    return np.concatenate([np.nanmin(xy, 0), np.nanmax(xy, 0) + 1])
