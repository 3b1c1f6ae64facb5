"""C++ implementation of `crop_resize`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posert import _native
from posert.ops.crop_resize.reference import write_transforms


def crop_resize(
    images: NDArray[np.uint8] | list[NDArray[np.uint8]],
    boxes: NDArray[np.float32],
    index: NDArray[np.int64] | None,
    flip: NDArray[np.bool_] | bool,
    mean: Sequence[float],
    scale: Sequence[float],
    fill: float | None,
    swap: bool,
    outs: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Write batch and transforms of `posert.ops.crop_resize` into `outs`; arguments are checked already."""
    out, transforms = outs
    people = len(out)
    item = np.arange(people, dtype=np.int64) if index is None else index
    flips = np.full(people, flip) if isinstance(flip, bool) else flip
    means, scales = np.array(mean, np.float32), np.array(scale, np.float32)
    _native.crop_resize(list(images), boxes, item, flips, means, scales, fill, swap, out)
    write_transforms(boxes, flips, transforms, *out.shape[2:])
