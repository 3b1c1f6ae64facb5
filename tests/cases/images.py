"""Images to network inputs and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cases.case import Arguments, Case


def _boxes(rng: np.random.Generator, people: int, spread: float) -> np.ndarray:
    boxes = rng.uniform(-spread, spread, (people, 4)).astype(np.float32)
    boxes[:, 2:] = boxes[:, :2] + rng.uniform(0.5, 2 * spread, (people, 2)).astype(np.float32)
    return boxes


def _images(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(0, 256, shape, dtype=np.uint8)


def _crop(people: int, shape: tuple[int, int], size: tuple[int, int], **named: Any) -> Callable[[np.random.Generator], Arguments]:
    def make(rng: np.random.Generator) -> Arguments:
        images = _images(rng, people, *shape, 3)
        return (images, _boxes(rng, people, 1.5 * max(shape)), size, 127.5, 1 / 127.5), {
            "flip": rng.random(people) < 0.5,
            **named,
        }

    return make


def _ragged(fill: float | None, channels: str) -> Callable[[np.random.Generator], Arguments]:
    def make(rng: np.random.Generator) -> Arguments:
        images = [_images(rng, *rng.integers(1, 90, 2), 3) for _ in range(3)]
        boxes = _boxes(rng, 7, 70)
        boxes[0] = (500, 500, 600, 640)
        boxes[1] = (-1e9, -1e9, 1e9, 1e9)
        named = {"image_index": rng.integers(0, 3, 7), "fill": fill, "channels": channels}
        mean, scale = (123.7, 116.3, 103.5), (0.01712, 0.01751, 0.01743)
        if channels == "bgr":  # once as users write them, once as arrays that need no conversion
            return (images, boxes, (33, 21), np.array(mean, np.float32), np.array(scale, np.float32)), named
        return (images, boxes, (33, 21), mean, scale), named

    return make


def _pictures(*shape: int) -> Callable[[np.random.Generator], Arguments]:
    def make(rng: np.random.Generator) -> Arguments:
        images = rng.normal(0, 0.8, shape).astype(np.float32)
        special = np.array([np.nan, -np.nan, np.inf, -np.inf, 1, -1, 3e38, -3e38, 1e-40, -0.0], np.float32)
        where = rng.random(shape) < 0.1
        images[where] = rng.choice(special, int(where.sum()))
        return (images,), {}

    return make


# A sample is a mixture of four grey levels in float32: off by less than 1e-4 of a level, times the scale.
_CROP = 1e-4 / 127.5
_RAGGED = 1e-4 * 0.018

CASES: list[Case] = [
    Case("crop_resize", "one-size", _crop(4, (61, 83), (37, 53)), _CROP),
    Case("crop_resize", "filled", _crop(4, (61, 83), (37, 53), fill=127.5), _CROP),
    Case("crop_resize", "tall-bands", _crop(2, (40, 30), (200, 7)), _CROP),
    Case("crop_resize", "one-pixel-image", _crop(3, (1, 1), (9, 8)), _CROP),
    Case("crop_resize", "one-pixel-output", _crop(3, (17, 19), (1, 1), fill=0), _CROP),
    Case("crop_resize", "many", _crop(5, (61, 83), (333, 201)), _CROP),
    Case("crop_resize", "nobody", _crop(0, (17, 19), (8, 8)), _CROP),
    Case("crop_resize", "ragged", _ragged(None, "rgb"), _RAGGED),
    Case("crop_resize", "ragged-filled-bgr", _ragged(63.25, "bgr"), _RAGGED),
    Case("to_uint8", "odd", _pictures(3, 3, 37, 41)),
    Case("to_uint8", "large", _pictures(2, 3, 128, 64)),
    Case("to_uint8", "many", _pictures(4, 3, 200, 201)),
    Case("to_uint8", "one-pixel", _pictures(5, 3, 1, 1)),
    Case("to_uint8", "nobody", _pictures(0, 3, 8, 8)),
]
