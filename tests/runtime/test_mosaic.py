"""Whole images at several scales, tile by tile: against looking at all of it at once with a larger input."""

import numpy as np
import pytest

from posert.bottom_up import letterbox
from posert.mosaic import OVERLAP, _starts, average_maps, grid
from posert.ops import crop_resize

CELLS, STRIDE = (12, 16), 4


def see_pixels(cells=CELLS):
    """A network that sees single pixels: its maps are the crops, three channels, at a quarter of the size."""
    seen = []

    def see(images, boxes, index):
        seen.append(len(boxes))
        size = (cells[0] * STRIDE, cells[1] * STRIDE)
        crops, _ = crop_resize(images, boxes, size, 0.0, 1 / 255, fill=0, image_index=index)
        return crops.reshape(len(boxes), 3, cells[0], STRIDE, cells[1], STRIDE).mean((3, 5), dtype=np.float32)

    return see, seen


def smooth_image(rng, height, width):
    """A picture without detail, so that sampling it more finely changes little."""
    y, x = np.mgrid[:height, :width] / 40
    phases = rng.uniform(0, 6, 3)
    return np.stack([127 + 100 * np.sin(y + p) * np.cos(x - p) for p in phases], -1).astype(np.uint8)


@pytest.mark.parametrize("scale", [1.3, 2.0, 3.1])
def test_tiles_show_what_one_larger_look_shows(scale):
    rng = np.random.default_rng()
    images = [smooth_image(rng, 230, 310), smooth_image(rng, 300, 200)]
    boxes = letterbox(images, (CELLS[0] * STRIDE, CELLS[1] * STRIDE))
    see, seen = see_pixels()
    maps = average_maps(images, boxes, [scale], CELLS, see)
    whole = grid(CELLS, scale)
    expected = see_pixels(whole)[0](images, boxes, np.arange(2))
    assert maps.shape == (2, 3, *whole)
    assert seen[0] > 2, "more than one tile an image"
    np.testing.assert_allclose(maps, expected, atol=0.03)


def test_scales_are_brought_to_the_finest_and_averaged():
    rng = np.random.default_rng()
    images = [smooth_image(rng, 240, 320)]
    boxes = letterbox(images, (CELLS[0] * STRIDE, CELLS[1] * STRIDE))
    see, _ = see_pixels()
    scales = (0.5, 1.0, 1.5)
    apart = [average_maps(images, boxes, [scale], CELLS, see) for scale in (1.0, 1.5)]
    together = average_maps(images, boxes, scales, CELLS, see)
    assert apart[0].shape[2:] == CELLS
    assert together.shape[2:] == (18, 24)
    inner = (..., slice(3, -3), slice(3, -3))
    np.testing.assert_allclose(together[inner], apart[1][inner], atol=0.08)
    np.testing.assert_array_equal(average_maps(images, boxes, [1.0], CELLS, see), see(images, boxes, np.arange(1)))


def test_tiles_of_the_padding_are_not_looked_at():
    image = np.full((40, 400, 3), 200, np.uint8)  # a tenth of the letterbox's height
    boxes = letterbox([image], (48, 48))
    see, seen = see_pixels((12, 12))
    maps = average_maps([image], boxes, [4.0], (12, 12), see)
    starts = _starts(48, 12)
    touching = sum(start < 48 * 0.55 and start + 12 > 48 * 0.45 for start in starts)
    assert seen == [touching * len(starts)], "only the tiles across the middle"
    assert maps[0, :, :10].max() == 0
    assert maps[0, :, 23:25].min() > 0.5


@pytest.mark.parametrize(("length", "tile"), [(12, 12), (13, 12), (24, 12), (47, 12), (192, 48)])
def test_tiles_cover_an_axis_and_overlap(length, tile):
    starts = _starts(length, tile)
    assert starts[0] == 0
    assert starts[-1] + tile == length
    assert (np.diff(starts) <= tile * (1 - OVERLAP) + 1).all()
