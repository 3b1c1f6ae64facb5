"""The keypoint files that came with PATN (Zhu et al., CVPR 2019) and that Market-1501 and DeepFashion are annotated with since.

One picture a line, after a line of headings: ``name: [y, ...]: [x, ...]``, 18 keypoints in OpenPose-COCO order, -1 = missing.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.media.files import read_bytes


def read_annotation(path: str | Path) -> dict[str, NDArray[np.float32]]:
    """Read a keypoint file.

    Returns:
        float32 (18, 3) for each picture's name: x, y in pixels, score 1; missing = (NaN, NaN, 0).

    Raises:
        InputError: the file cannot be read, or a line is damaged; the message says which.
    """
    try:
        lines = read_bytes(path).decode().splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is not a text file in UTF-8: {error}") from error
    poses = {}
    for number, row in enumerate(csv.reader(lines[1:], delimiter=":"), start=2):
        try:
            name, y, x = row[0].strip(), json.loads(row[1]), json.loads(row[2])
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and so missing
                xy = np.array([x, y], np.float64).astype(np.float32).T
        except (IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InputError(f"{path}, line {number}: expected 'name: [y, ...]: [x, ...]' with 18 numbers each") from error
        if xy.shape != (18, 2):
            raise InputError(f"{path}, line {number}: expected 18 keypoints, got {xy.shape}")
        present = np.asarray((np.isfinite(xy) & (xy >= 0)).all(1))
        pose = np.concatenate([xy, present[:, None]], 1, dtype=np.float32)
        pose[~present, :2] = np.nan
        poses[name] = pose
    return poses
