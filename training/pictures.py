"""Pictures of training sets, kept encoded in memory; and grids of pictures, written as PNG while a training runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError


def decode_picture(file: bytes) -> NDArray[np.uint8]:
    """Decode a picture of a training set: uint8 (H, W, 3), RGB.

    Raises:
        InputError: it is damaged.
    """
    decoded = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise InputError("a picture of the training set cannot be decoded")
    return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


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
