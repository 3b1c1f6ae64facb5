"""Sets of pictures of people in the layouts that they are published in: which one a folder holds, its files say."""

from __future__ import annotations

from pathlib import Path

from posert.errors import InputError
from training.data import deepfashion, market1501
from training.data.identities import PersonPictures

PARTS = ("train", "test")


def open_people(root: Path | str, part: str = "train") -> PersonPictures:
    """Read Market-1501 or DeepFashion.

    Args:
        root: its folder; see `training.data.market1501` and `training.data.deepfashion`.
        part: ``"train"`` or ``"test"``.

    Raises:
        InputError: the folder holds neither, or is damaged.
    """
    root = Path(root)
    if part not in PARTS:
        raise InputError(f"the part must be {' or '.join(map(repr, PARTS))}, got {part!r}")
    if (root / f"market-annotation-{part}.csv").is_file():
        return market1501.load(root, part)
    if deepfashion.find_annotation(root, part) is not None:
        return deepfashion.load(root, part)
    raise InputError(
        f"{root} holds no keypoints of people: it needs market-annotation-{part}.csv beside bounding_box_{part} (Market-1501), "
        f"or {deepfashion.ANNOTATIONS[0].format(part)} beside {part} or img (DeepFashion)"
    )
