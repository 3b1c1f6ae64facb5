"""Heatmaps of one person seen at several scales, brought together (specs K10)."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError

LEAST, MOST = 0.25, 4.0


def check_scales(scales: float | Iterable[float]) -> tuple[float, ...]:
    """Return scales as a tuple.

    Raises:
        InputError: there is none, or one is not a number in 0.25..4.
    """
    try:
        result = tuple(float(scale) for scale in (scales if isinstance(scales, Iterable) else [scales]))
    except (TypeError, ValueError) as error:
        raise InputError(f"scales must be numbers such as (0.9, 1.0, 1.1), got {scales!r}") from error
    if not result or not all(LEAST <= scale <= MOST for scale in result):
        raise InputError(f"scales must be one or more numbers in {LEAST}..{MOST}, got {result}")
    return result


def scale_boxes(boxes: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Boxes (N, 4) enlarged about their centres."""
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) * (factor / 2)
    return np.concatenate([centre - half, centre + half], 1)


def resample_maps(maps: NDArray[np.float32], cells: tuple[int, int], factor: float = 1.0) -> NDArray[np.float32]:
    """Bring maps of boxes that were enlarged by a factor back to the boxes themselves, bilinearly.

    Args:
        maps: float32 (N, K, h, w).
        cells: rows and columns of the result.
        factor: below 1 the enlarged box shows less; what it does not show is 0.

    Returns:
        float32 (N, K, *cells); the maps themselves where nothing changes.
    """
    if factor == 1 and maps.shape[2:] == cells:
        return maps
    rows, columns = _resampling(cells[0], maps.shape[2], factor), _resampling(cells[1], maps.shape[3], factor)
    result: NDArray[np.float32] = np.matmul(rows @ maps, columns.T, dtype=np.float32)
    return result


@functools.lru_cache(maxsize=64)
def _resampling(cells: int, given: int, factor: float) -> NDArray[np.float32]:
    """(cells, given): how much each cell of an axis takes from each cell of the enlarged box's axis; rims are repeated."""
    position = ((np.arange(cells) + 0.5) / cells - 0.5) / factor * given + given / 2 - 0.5
    seen = (position >= -0.5) & (position <= given - 0.5)
    position = position.clip(0, given - 1)
    weights = np.maximum(0.0, 1.0 - np.abs(position[:, None] - np.arange(given)))
    return np.asarray(weights * seen[:, None], np.float32)
