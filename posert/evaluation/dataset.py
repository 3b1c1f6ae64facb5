"""Labelled pictures of people, whatever data set they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class PoseDataset:
    """Pictures and the people in them.

    Attributes:
        name: of the data set, such as ``"lsp"``.
        skeleton: its joints.
        files: one path a picture.
        keypoints: float32 (P, K, 3): x, y in pixels counted from 0, score 1; a joint without a label is (NaN, NaN, 0).
        image_index: int64 (P,): the picture of each person, ascending.
        image_ids: what the annotation calls each picture: its number in COCO, its file name elsewhere.
        boxes: float32 (P, 4): where the data set itself says that people are, x0, y0, x1, y1 in pixels, or None. A row of NaN is
            a person without a box.
        head_sizes: float64 (P,): the length that PCKh measures in, in pixels, NaN where it is not known; or None.
        areas: float64 (P,): area of the person's segment in square pixels, which OKS measures with; or None.
        crowd: bool (P,): regions of many people, which average precision leaves out; or None.
        notes: what a reader of the results should know about the labels.
    """

    name: str
    skeleton: Skeleton
    files: tuple[Path, ...] = field(repr=False)
    keypoints: NDArray[np.float32] = field(repr=False)
    image_index: NDArray[np.int64] = field(repr=False)
    image_ids: tuple[int | str, ...] = field(repr=False)
    boxes: NDArray[np.float32] | None = field(default=None, repr=False)
    head_sizes: NDArray[np.float64] | None = field(default=None, repr=False)
    areas: NDArray[np.float64] | None = field(default=None, repr=False)
    crowd: NDArray[np.bool_] | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keypoints)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which people have a labelled joint, (P,)."""
        return np.asarray((self.keypoints[..., 2] > 0).any(1))

    def part(self, images: Sequence[int]) -> PoseDataset:
        """Some of the pictures, by their numbers counted from 0, ascending, with the people in them."""
        kept = np.isin(self.image_index, images)
        renumbered = np.searchsorted(np.asarray(images, np.int64), self.image_index[kept])
        chosen: dict[str, Any] = {
            "files": tuple(self.files[i] for i in images),
            "image_ids": tuple(self.image_ids[i] for i in images),
            "image_index": renumbered.astype(np.int64),
        }
        for name in ("keypoints", "boxes", "head_sizes", "areas", "crowd"):
            array = getattr(self, name)
            chosen[name] = None if array is None else array[kept]
        return replace(self, **chosen)

    def joint_boxes(self) -> NDArray[np.float32]:
        """The tight box around each person's labelled joints, (P, 4): x0, y0, x1, y1, whose edges hold whole pixels.

        People without a labelled joint get NaN.
        """
        present = self.keypoints[..., 2:] > 0
        low, high = (np.where(present, self.keypoints[..., :2], far) for far in (np.inf, -np.inf))
        boxes = np.concatenate([low.min(1, initial=np.inf), high.max(1, initial=-np.inf) + 1], 1)
        return np.where(self.labelled[:, None], boxes, np.nan).astype(np.float32)

    def true_boxes(self) -> NDArray[np.float32]:
        """The data set's own boxes, and tight ones around the joints where it has none, (P, 4)."""
        tight = self.joint_boxes()
        return tight if self.boxes is None else np.where(np.isnan(self.boxes), tight, self.boxes)


def parse_numbers(text: str, count: int) -> list[int]:
    """Numbers of pictures, as a reader writes them.

    Args:
        text: such as ``"901-1000"`` or ``"1-10,17"``, counted from 1, both ends included.
        count: how many pictures there are.

    Returns:
        The numbers counted from 0, ascending, each once.

    Raises:
        InputError: it is no such text, or there are not so many pictures.
    """
    chosen: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit()))):
            raise InputError(f"pictures are chosen by numbers such as 901-1000 or 1-10,17, got {text!r}")
        start, stop = int(first), int(last or first)
        if not 1 <= start <= stop <= count:
            raise InputError(f"the pictures are numbered 1 to {count}, but {part.strip()!r} was asked for")
        chosen.update(range(start - 1, stop))
    return sorted(chosen)


def unlabelled_as_missing(xy: NDArray[np.float64], labelled: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Keypoints (P, K, 3) from coordinates (P, K, 2) and what is labelled (P, K): score 1, or (NaN, NaN, 0)."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is no place in a picture
        points = xy.astype(np.float32)
    usable = labelled & np.isfinite(points).all(-1)
    points = np.where(usable[..., None], points, np.float32(np.nan))
    return np.concatenate([points, usable[..., None]], -1, dtype=np.float32)
