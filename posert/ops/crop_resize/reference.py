"""Definition of `crop_resize` in NumPy: four taps a pixel, weights in float64, normalisation in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


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
    """Write batch and transforms of `posert.ops.crop_resize` into `outs`; arguments are checked already.

    Args:
        images: uint8 (N, H, W, 3), or N arrays (H_i, W_i, 3).
        boxes: (P, 4): x0, y0, x1, y1.
        index: (P,): the image of each box; None: box p belongs to image p.
        flip: one for all or (P,).
        mean: three numbers that float32 holds.
        scale: three numbers that float32 holds.
        fill: grey level outside the image, or None.
        swap: whether the output's channels are those of the image in reverse.
        outs: float32 (P, 3, height, width) and (P, 2, 3).
    """
    out, transforms = outs
    height, width = out.shape[2:]
    flips = np.broadcast_to(flip, len(boxes))
    means, scales = np.array(mean, np.float32), np.array(scale, np.float32)
    for person, (x0, y0, x1, y1) in enumerate(boxes.astype(np.float64)):
        image = images[person if index is None else index[person]]
        x = x0 + (np.arange(width) + 0.5) * (x1 - x0) / width - 0.5
        y = y0 + (np.arange(height) + 0.5) * (y1 - y0) / height - 0.5
        left, top = np.floor(x), np.floor(y)
        right_share, lower_share = (x - left)[None, :, None], (y - top)[:, None, None]
        upper = (1 - right_share) * _pixels(image, top, left, fill) + right_share * _pixels(image, top, left + 1, fill)
        lower = (1 - right_share) * _pixels(image, top + 1, left, fill) + right_share * _pixels(image, top + 1, left + 1, fill)
        sample = ((1 - lower_share) * upper + lower_share * lower).astype(np.float32)
        if flips[person]:
            sample = sample[:, ::-1]
        if swap:
            sample = sample[:, :, ::-1]
        out[person] = ((sample - means) * scales).transpose(2, 0, 1)
    write_transforms(boxes, flips, transforms, height, width)


def write_transforms(
    boxes: NDArray[np.float32], flips: NDArray[np.bool_], transforms: NDArray[np.float32], height: int, width: int
) -> None:
    """Write the (P, 2, 3) transforms from output pixels to image pixels."""
    x0, y0, x1, y1 = boxes.astype(np.float64).T
    step_x, step_y = (x1 - x0) / width, (y1 - y0) / height
    transforms[...] = 0
    transforms[:, 0, 0] = np.where(flips, -step_x, step_x)
    transforms[:, 0, 2] = x0 + 0.5 * step_x - 0.5 + np.where(flips, step_x * (width - 1), 0)
    transforms[:, 1, 1] = step_y
    transforms[:, 1, 2] = y0 + 0.5 * step_y - 0.5


def _pixels(
    image: NDArray[np.uint8], rows: NDArray[np.float64], columns: NDArray[np.float64], fill: float | None
) -> NDArray[np.float64]:
    """Pixels at every row x column, float64 (rows, columns, 3); outside the image the nearest pixel, or `fill`."""
    height, width = image.shape[:2]
    row, column = np.clip(rows, 0, height - 1).astype(np.int64), np.clip(columns, 0, width - 1).astype(np.int64)
    values = image[row[:, None], column[None]].astype(np.float64)
    if fill is not None:
        values[(rows != row)[:, None] | (columns != column)[None]] = fill
    return values
