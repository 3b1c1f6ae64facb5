"""Grids of pictures, written as PNG while a training runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def write_grid(path: Path, columns: Sequence[NDArray[np.uint8]], gap: int = 2) -> None:
    """Write columns of equally sized RGB pictures, each uint8 (N, H, W, 3), side by side as one PNG with N rows."""
    rows = []
    for pictures in zip(*columns, strict=True):
        padded = [np.pad(picture, ((0, gap), (0, gap), (0, 0)), constant_values=255) for picture in pictures]
        rows.append(np.concatenate(padded, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part.png")
    cv2.imwrite(str(temporary), np.concatenate(rows)[..., ::-1])
    os.replace(temporary, path)
