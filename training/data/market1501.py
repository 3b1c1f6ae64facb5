"""Market-1501 person re-identification crops (Zheng et al., ICCV 2015) with keypoints in the layout of PATN's annotation files.

bounding_box_train/0002_c1s1_000451_03.jpg      identity, camera and sequence, frame, box
market-annotation-train.csv                     name: [y, ...]: [x, ...], 18 keypoints in OpenPose-COCO order, -1 = missing
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.evaluation.market import read_annotation

HEIGHT, WIDTH = 128, 64


@dataclass(frozen=True)
class Market1501:
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

    def select(self, mask: NDArray[np.bool_]) -> Market1501:
        """The pictures where `mask` (N,) is true."""
        names = [name for name, keep in zip(self.names, mask, strict=True) if keep]
        return Market1501(names, self.images[mask], self.keypoints[mask], self.identities[mask])

    def split(self, validation_identities: int = 50) -> tuple[Market1501, Market1501]:
        """Training and validation part; the last identities in numeric order are for validation."""
        held_out = np.isin(self.identities, np.unique(self.identities)[-validation_identities:])
        return self.select(~held_out), self.select(held_out)

    def pairs(self, count: int, seed: int) -> NDArray[np.int64]:
        """Draw `count` ordered pairs (source, target) of different pictures of one identity, uniformly over all such pairs.

        Returns:
            int64 (count, 2), indices of pictures.

        Raises:
            InputError: no identity has two pictures.
        """
        rng = np.random.default_rng(seed)
        groups = [np.flatnonzero(self.identities == identity) for identity in np.unique(self.identities)]
        weights = np.array([len(group) * (len(group) - 1) for group in groups], np.float64)
        if not weights.sum():
            raise InputError("no identity has two pictures, so there is no pair to draw")
        chosen = rng.choice(len(groups), size=count, p=weights / weights.sum())
        return np.array([rng.choice(groups[g], size=2, replace=False) for g in chosen], np.int64).reshape(-1, 2)


def load(root: Path | str) -> Market1501:
    """Read the training part of Market-1501: every annotated picture under ``bounding_box_train``.

    Raises:
        InputError: a folder or file of the layout is missing or damaged, or a picture is not 128 x 64.
    """
    root = Path(root)
    folder, annotation = root / "bounding_box_train", root / "market-annotation-train.csv"
    if not folder.is_dir() or not annotation.is_file():
        raise InputError(f"{root} is not Market-1501: it needs the folder {folder.name} and the file {annotation.name}")
    poses = read_annotation(annotation)
    names = sorted(path.name for path in folder.glob("*.jpg") if path.name in poses and not path.name.startswith("-1"))
    images = np.empty((len(names), HEIGHT, WIDTH, 3), np.uint8)
    for image, name in zip(images, names, strict=True):
        decoded = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
        if decoded is None or decoded.shape != image.shape:
            raise InputError(f"{folder / name} is not a readable picture of {HEIGHT} x {WIDTH} pixels")
        image[...] = decoded[..., ::-1]
    identities = np.array([int(name.split("_")[0]) for name in names], np.int32)
    return Market1501(names, images, np.stack([poses[name] for name in names]), identities)
