"""Definition of `crop_resize` in NumPy: four taps a pixel, weights in float64, normalisation in float32."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def crop_resize(
    images: list[NDArray[np.uint8]],
    boxes: NDArray[np.float32],
    index: NDArray[np.int64],
    flip: NDArray[np.bool_],
    mean: NDArray[np.float32],
    scale: NDArray[np.float32],
    fill: float | None,
    swap: bool,
    out: NDArray[np.float32],
) -> None:
    """Write the batch of `posert.ops.crop_resize` into `out`, float32 (P, 3, h, w); arguments are checked already."""
    height, width = out.shape[2:]
    for person, (x0, y0, x1, y1) in enumerate(boxes.astype(np.float64)):
        image = images[index[person]]
        x = x0 + (np.arange(width) + 0.5) * (x1 - x0) / width - 0.5
        y = y0 + (np.arange(height) + 0.5) * (y1 - y0) / height - 0.5
        left, top = np.floor(x), np.floor(y)
        right_share, lower_share = (x - left)[None, :, None], (y - top)[:, None, None]
        upper = (1 - right_share) * _pixels(image, top, left, fill) + right_share * _pixels(image, top, left + 1, fill)
        lower = (1 - right_share) * _pixels(image, top + 1, left, fill) + right_share * _pixels(image, top + 1, left + 1, fill)
        sample = ((1 - lower_share) * upper + lower_share * lower).astype(np.float32)
        if flip[person]:
            sample = sample[:, ::-1]
        if swap:
            sample = sample[:, :, ::-1]
        out[person] = ((sample - mean) * scale).transpose(2, 0, 1)


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
