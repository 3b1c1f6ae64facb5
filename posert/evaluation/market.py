"""Market-1501 person crops (Zheng et al., ICCV 2015) with keypoints in the layout of PATN's annotation files.

bounding_box_train/0002_c1s1_000451_03.jpg      identity, camera and sequence, frame, box
market-annotation-train.csv                     name: [y, ...]: [x, ...], 18 keypoints in OpenPose-COCO order, -1 = missing
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posert.errors import InputError
from posert.evaluation.dataset import PoseDataset
from posert.formats.patn import read_annotation
from posert.paths import path_kind
from posert.skeleton import get_skeleton

_LAYOUTS = {
    "market-annotation-train.csv": "bounding_box_train",
    "market-annotation-test.csv": "bounding_box_test",
}
_NOTE = "Market's keypoints were found by OpenPose, not drawn by people: this measures agreement with OpenPose."


def load_market(root: str | Path, annotations: str | Path | None = None) -> PoseDataset:
    """Read the annotated pictures of Market-1501, in the order of their names.

    Args:
        root: the folder that holds ``bounding_box_train`` and ``market-annotation-train.csv``.
        annotations: another keypoint file; by default the one of the training part, or else of the test part.

    Raises:
        InputError: a folder or file of the layout is missing or damaged.
    """
    root = Path(root)
    found = [name for name in _LAYOUTS if path_kind(root / name) == "file"]
    file = Path(annotations) if annotations is not None else root / (found[0] if found else "")
    if annotations is None and not found:
        raise InputError(f"{str(root)!r} is not Market-1501: the folder bounding_box_train and {next(iter(_LAYOUTS))} are needed")
    folder = root / _LAYOUTS.get(file.name, "bounding_box_train")
    if path_kind(folder) != "folder":
        raise InputError(f"{str(root)!r} is not Market-1501: it needs the folder {folder.name} beside the file {file.name}")
    poses = read_annotation(file)
    names = sorted(path.name for path in folder.glob("*.jpg") if path.name in poses and not path.name.startswith("-1"))
    if not names:
        raise InputError(f"{str(folder)!r} holds none of the {len(poses)} pictures that {file.name} annotates")
    keypoints = np.stack([poses[name] for name in names])
    files = tuple(folder / name for name in names)
    return PoseDataset("market", get_skeleton("coco18"), files, keypoints, np.arange(len(files)), tuple(names), notes=(_NOTE,))
