"""Market-1501 person re-identification crops (Zheng et al., ICCV 2015) with keypoints in the layout of PATN's annotation files.

bounding_box_train/0002_c1s1_000451_03.jpg      identity, camera and sequence, frame, box
market-annotation-train.csv                     name: [y, ...]: [x, ...], 18 keypoints in OpenPose-COCO order, -1 = missing

The test part lies in ``bounding_box_test`` and ``market-annotation-test.csv``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.evaluation.market import read_annotation
from training.data.identities import PersonPictures, annotated

HEIGHT, WIDTH = 128, 64


@dataclass(frozen=True)
class Market1501(PersonPictures):
    """Pictures of many people, several of each.

    Attributes:
        names: file names, sorted.
        images: uint8 (N, 128, 64, 3), RGB.
        keypoints: float32 (N, 18, 3), x, y in pixels and score 0 or 1, coco18 order; missing = (NaN, NaN, 0).
        identities: int32 (N,).
    """

    names: list[str]
    images: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    identities: NDArray[np.int32]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every picture."""
        return HEIGHT, WIDTH

    def pictures(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pictures by number: uint8 (n, 128, 64, 3), RGB, fresh memory."""
        return self.images[index]

    def select(self, mask: NDArray[np.bool_]) -> Market1501:
        """The pictures where `mask` (N,) is true."""
        names = [name for name, keep in zip(self.names, mask, strict=True) if keep]
        return Market1501(names, self.images[mask], self.keypoints[mask], self.identities[mask])


def load(root: Path | str, part: str = "train") -> Market1501:
    """Read a part of Market-1501: every annotated picture of ``bounding_box_train`` or ``bounding_box_test``.

    Pictures of nobody in particular, whose names begin with -1 or 0000, are left out.

    Args:
        root: the folder that holds both.
        part: ``"train"`` or ``"test"``.

    Raises:
        InputError: a folder or file of the layout is missing or damaged, or a picture is not 128 x 64.
    """
    root = Path(root)
    folder, annotation = root / f"bounding_box_{part}", root / f"market-annotation-{part}.csv"
    if not folder.is_dir() or not annotation.is_file():
        raise InputError(f"{root} is not Market-1501: it needs the folder {folder.name} and the file {annotation.name}")
    poses = read_annotation(annotation)
    found = (path.name for path in folder.glob("*.jpg") if not path.name.startswith(("-1", "0000")))
    names = annotated(found, poses, folder, annotation)
    images = np.empty((len(names), HEIGHT, WIDTH, 3), np.uint8)
    for image, name in zip(images, names, strict=True):
        decoded = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
        if decoded is None or decoded.shape != image.shape:
            raise InputError(f"{folder / name} is not a readable picture of {HEIGHT} x {WIDTH} pixels")
        image[...] = decoded[..., ::-1]
    identities = np.array([int(name.split("_")[0]) for name in names], np.int32)
    return Market1501(names, images, np.stack([poses[name] for name in names]), identities)
