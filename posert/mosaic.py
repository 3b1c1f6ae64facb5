"""A network's maps of whole images at several scales: beyond what its input holds, tile by tile (specs paf, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from posert.images import whole_boxes
from posert.scales import resample_maps, scale_boxes
from posert.types import Image

OVERLAP = 0.25
"""Least share of a tile that its neighbour sees too: nobody is only ever seen cut."""

_Floats = NDArray[np.float32]
See = Callable[[Sequence[Image], _Floats, NDArray[np.int64]], _Floats]
"""Images, boxes (M, 4) and the image of each, ascending, to the network's maps of those boxes, float32 (M, C, h, w)."""


def average_maps(images: Sequence[Image], boxes: _Floats, scales: Sequence[float], cells: tuple[int, int], see: See) -> _Floats:
    """The mean of a network's maps over scales.

    Args:
        images: N checked images.
        boxes: float32 (N, 4): what is seen of each, in the network's proportions, x0, y0, x1, y1 in pixels.
        scales: 1 = the box fills the network's input; below, it is seen smaller, with its surroundings; above, larger, in tiles
            that overlap, blended by their distance to the tile's rim.
        cells: rows and columns of the maps of one pass of the network.
        see: runs the network.

    Returns:
        float32 (N, C, rows, columns): maps of the boxes, as fine as those of the largest scale, at least `cells`.
    """
    finest = grid(cells, max(1.0, *scales))

    def seen(scale: float) -> _Floats:
        if scale > 1:
            return resample_maps(_tiled(images, boxes, cells, grid(cells, scale), see), finest)
        return resample_maps(see(images, scale_boxes(boxes, 1 / scale), np.arange(len(images))), finest, 1 / scale)

    total = seen(scales[0])
    for scale in scales[1:]:
        total = total + seen(scale)
    return total if len(scales) == 1 else total / np.float32(len(scales))


def grid(cells: tuple[int, int], scale: float) -> tuple[int, int]:
    """Rows and columns of the maps at a scale of at least 1."""
    return round(cells[0] * scale), round(cells[1] * scale)


def _tiled(images: Sequence[Image], boxes: _Floats, cells: tuple[int, int], whole: tuple[int, int], see: See) -> _Floats:
    """Maps (N, C, *whole) put together from tiles; 0 where a box shows nothing of its image."""
    rows, columns = (_starts(length, tile) for length, tile in zip(whole, cells, strict=True))
    places = np.array([(y, x) for y in rows for x in columns])
    tiles = _tile_boxes(boxes, places, cells, whole)
    frames = whole_boxes(images)[:, None]
    shown = (np.maximum(tiles[..., :2], frames[..., :2]) < np.minimum(tiles[..., 2:], frames[..., 2:])).all(-1)
    index, number = np.nonzero(shown)
    maps = see(images, tiles[shown], index)
    weights = np.multiply.outer(_hat(cells[0]), _hat(cells[1]))
    total = np.zeros((len(images), maps.shape[1], *whole), np.float32)
    weight = np.zeros((len(images), 1, *whole), np.float32)
    for image, place, one in zip(index, number, maps, strict=True):
        y, x = places[place]
        part = image, slice(None), slice(y, y + cells[0]), slice(x, x + cells[1])
        total[part] += one * weights
        weight[part] += weights
    return np.divide(total, weight, out=total, where=weight > 0)


def _starts(length: int, tile: int) -> NDArray[np.int64]:
    """Where tiles begin that cover an axis, evenly spread, in cells."""
    count = 1 + int(np.ceil(max(length - tile, 0) / (tile * (1 - OVERLAP))))
    return np.linspace(0, length - tile, count).round().astype(np.int64)


def _tile_boxes(boxes: _Floats, places: NDArray[np.int64], cells: tuple[int, int], whole: tuple[int, int]) -> _Floats:
    """Boxes of the tiles at places (T, 2) of a grid over each box: float32 (N, T, 4)."""
    start, side = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2]
    first = start + side * (places[:, ::-1] / np.array(whole[::-1]))
    return np.concatenate([first, first + side * (np.array(cells[::-1]) / np.array(whole[::-1]))], -1).astype(np.float32)


def _hat(length: int) -> _Floats:
    """Weights along an axis of a tile, in (0, 1], from its middle down to its rim."""
    distance = np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1))
    weights: _Floats = (distance / distance.max()).astype(np.float32)
    return weights
