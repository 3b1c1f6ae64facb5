"""Body parts and the layers that pictures are put together from."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from cases.case import Arguments, Case
from cases.inputs import keypoints

Make = Callable[[np.random.Generator], Arguments]
_SPECIAL = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-40, -0.0], np.float32)


def people(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """CPM-14 keypoints: every other person as in `keypoints`, the others complete and in the frame, or just outside it."""
    points = keypoints(rng, count, 14, height, width)
    points[::2, :, 0] = rng.uniform(-0.2 * width, 1.2 * width, points[::2].shape[:2])
    points[::2, :, 1] = rng.uniform(-0.2 * height, 1.2 * height, points[::2].shape[:2])
    points[::2, :, 2] = 1
    points[::4, 1] = points[::4, 0]  # a limb of no length
    return points


def near_people(rng: np.random.Generator, count: int, height: int, width: int) -> np.ndarray:
    """`people` within 10^6 pixels: a line between joints much further off passes the frame where the rounding of float64 has it.

    (test_layers_properties.py looks at the others.)
    """
    points = people(rng, count, height, width)
    points[..., :2] = np.clip(points[..., :2], -1e6, 1e6)
    return points


def _priors(count: int, height: int, width: int) -> Make:
    return lambda rng: ((near_people(rng, count, height, width), (height, width)), {})


def _masks(count: int, height: int, width: int, **named: Any) -> Make:
    def make(rng: np.random.Generator) -> Arguments:
        return (rng.normal(0, 4, (count, 11, height, width)).astype(np.float32), near_people(rng, count, height, width)), named

    return make


def _special_masks(rng: np.random.Generator, **named: Any) -> Arguments:
    logits = rng.normal(0, 4, (3, 11, 20, 30)).astype(np.float32)
    where = rng.random(logits.shape) < 0.02
    logits[where] = rng.choice(_SPECIAL, int(where.sum()))
    return (logits, people(rng, 3, 20, 30)), named


def _transforms(count: int) -> Make:
    return lambda rng: ((people(rng, count, 256, 256), people(rng, count, 256, 256)), {})


def _matrices(rng: np.random.Generator, count: int, parts: int, height: int, width: int) -> np.ndarray:
    """The kinds that matter in turn: identity, similarity, whole shift, shear, singular, mirror, huge, tiny."""
    angle, scale = rng.uniform(-np.pi, np.pi, (count, parts)), rng.uniform(0.3, 3, (count, parts))
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    # About points in the frame, so that there is something to be seen.
    from_x, from_y, to_x, to_y = (rng.uniform(0, side, (count, parts)) for side in (width, height, width, height))
    rows = [[a, -b, to_x - a * from_x + b * from_y], [b, a, to_y - b * from_x - a * from_y]]
    matrices = np.moveaxis(np.array(rows, np.float32), (0, 1), (2, 3))
    special = (
        lambda: np.eye(2, 3),
        lambda: np.array([[1, 0, rng.integers(-9, 10)], [0, 1, rng.integers(-9, 10)]]),
        lambda: np.array([[1, rng.normal(), 0], [0, 1, 0.5]]),
        lambda: np.array([[0, 0, to_x[0, 0]], [0, 0, to_y[0, 0]]]),
        lambda: np.array([[1, 0, 0.25], [1, 0, -1]]),
        lambda: np.array([[-1, 0, width - 1], [0, 1, 0]]),
        lambda: rng.choice([3e38, -3e38, 1e20, 0, 1], (2, 3)),
        lambda: rng.choice([1e-38, -1e-30, 1e-10, 0, 0.5], (2, 3)),
        lambda: np.array([[1, 0, rng.choice([-1e6, 1e6, -width, width])], [0, 1, 0.25]]),
    )
    for item, part in np.ndindex(count, parts):
        kind = int(rng.integers(0, 2 * len(special)))
        if kind < len(special):
            matrices[item, part] = special[kind]()
    return matrices


def _regions(rng: np.random.Generator, count: int, parts: int, height: int, width: int) -> np.ndarray:
    """Masks with a soft blob each, cut off somewhere; some empty, some full, some of the border alone, some scattered."""
    rows, columns = np.mgrid[:height, :width]
    x, y = rng.uniform(0, width, (count, parts, 1, 1)), rng.uniform(0, height, (count, parts, 1, 1))
    spread = rng.uniform(0.2, 0.6, (count, parts, 2, 1, 1)) * max(2, min(height, width)) / 2
    tilted = (columns - x + rows - y) / spread[:, :, 0], (columns - x - rows + y) / spread[:, :, 1]
    masks = np.exp(-(tilted[0] ** 2) - tilted[1] ** 2).astype(np.float32)
    masks[masks < 1e-3] = 0
    for item, part in np.ndindex(count, parts):
        mask = masks[item, part]
        kind = int(rng.integers(0, 12))
        if kind == 0:
            mask[...] = 0
        elif kind == 1:
            mask[...] = rng.random((height, width))
        elif kind == 2:
            mask[1:-1, 1:-1] = 0
            mask[[0, -1]] = 0.5
        elif kind == 3:
            mask[...] = rng.random((height, width)) * (rng.random((height, width)) < 0.02)
        elif kind == 4:
            mask[...] = 0
            mask[min(1, height - 1), :] = 1
    return masks


def _warp(count: int, parts: int, channels: int, height: int, width: int, **named: Any) -> Make:
    def make(rng: np.random.Generator) -> Arguments:
        image = rng.uniform(-1, 1, (count, channels, height, width)).astype(np.float32)
        masks = _regions(rng, count, parts, height, width)
        return (image, masks, _matrices(rng, count, parts, height, width)), named

    return make


def _strange_warp(rng: np.random.Generator) -> Arguments:
    """NaN and infinite values in image and mask, negative masks."""
    (image, masks, matrices), _ = _warp(3, 4, 3, 40, 50)(rng)
    for array, chance in ((image, 0.005), (masks, 0.02)):
        where = rng.random(array.shape) < chance
        array[where] = rng.choice([np.nan, np.inf, -np.inf] if array is image else [np.nan, -np.inf, -1], int(where.sum()))
    return (image, masks, matrices), {}


def _shared_warp(rng: np.random.Generator) -> Arguments:
    """One picture with one set of masks in many poses, and masks without the background."""
    image = rng.uniform(-1, 1, (1, 3, 33, 47)).astype(np.float32)
    masks = _regions(rng, 1, 5, 33, 47)[:, 1:]
    poses = (np.broadcast_to(array, (6, *array.shape[1:])) for array in (image, masks))
    return (*poses, _matrices(rng, 6, 4, 33, 47)), {}


def _composite(count: int, height: int, width: int, *, special: bool = True, **named: Any) -> Make:
    def make(rng: np.random.Generator) -> Arguments:
        arrays = [rng.normal(0, 0.8, (count, 3, height, width)).astype(np.float32) for _ in range(2)]
        arrays.append(rng.random((count, 1, height, width)).astype(np.float32))
        for array in arrays if special else ():
            where = rng.random(array.shape) < 0.02
            array[where] = rng.choice(np.append(_SPECIAL, np.array([0, 1, -1], np.float32)), int(where.sum()))
        return tuple(arrays), named

    return make


def _shared_background(rng: np.random.Generator) -> Arguments:
    (foreground, background, mask), _ = _composite(5, 21, 37)(rng)
    return (foreground, np.broadcast_to(background[:1], background.shape), mask), {"as_uint8": True, "channels": "bgr"}


CASES: list[Case] = [
    *(
        Case(op, name, make(*shape), tolerance)
        for op, make, tolerance in (("limb_priors", _priors, 1e-5), ("part_masks", _masks, 2e-6))
        for name, shape in (
            ("official", (2, 256, 256)),
            ("many", (12, 60, 131)),
            ("odd", (4, 71, 133)),
            ("tiny", (6, 5, 7)),
            ("wide", (2, 3, 3000)),
            ("tall", (2, 700, 2)),
            ("one-pixel", (6, 1, 1)),
            ("nobody", (0, 16, 16)),
        )
    ),
    Case("part_masks", "special-values", _special_masks, 2e-6),
    Case("part_masks", "special-values-squared", partial(_special_masks, power=2), 4e-6),
    Case("part_masks", "squared", _masks(3, 71, 133, power=2), 4e-6),
    Case("part_masks", "sixteenth-power", _masks(3, 40, 61, power=16), 32e-6),
    Case("part_transforms", "odd", _transforms(7), 1e-5),
    Case("part_transforms", "many", _transforms(64), 1e-5),
    Case("part_transforms", "nobody", _transforms(0), 1e-5),
    Case("warp_parts", "large", _warp(1, 7, 3, 96, 128), 1e-5),
    Case("warp_parts", "many", _warp(4, 6, 3, 61, 83), 1e-5),
    Case("warp_parts", "to-the-letter", _warp(2, 6, 3, 37, 29, visible_above=0), 1e-5),
    Case("warp_parts", "high-threshold", _warp(2, 6, 3, 37, 29, visible_above=0.3), 1e-5),
    Case("warp_parts", "one-channel", _warp(3, 4, 1, 40, 40), 1e-5),
    Case("warp_parts", "seven-channels", _warp(2, 3, 7, 31, 64), 1e-5),
    Case("warp_parts", "two-rows", _warp(4, 6, 2, 2, 19), 1e-5),
    Case("warp_parts", "three-columns", _warp(4, 6, 2, 19, 3), 1e-5),
    Case("warp_parts", "one-row", _warp(4, 6, 3, 1, 19), 1e-5),
    Case("warp_parts", "one-pixel", _warp(6, 6, 3, 1, 1), 1e-5),
    Case("warp_parts", "nan", _strange_warp, 1e-5),
    Case("warp_parts", "shared", _shared_warp, 1e-5),
    Case("warp_parts", "no-parts", _warp(2, 0, 3, 8, 8), 1e-5),
    Case("warp_parts", "nobody", _warp(0, 10, 3, 8, 8), 1e-5),
    Case("composite", "official", _composite(1, 256, 256)),
    Case("composite", "odd-bgr", _composite(3, 37, 41, channels="bgr")),
    Case("composite", "many", _composite(6, 100, 101)),
    Case("composite", "levels", _composite(3, 37, 41, as_uint8=True)),
    Case("composite", "levels-bgr", _composite(2, 64, 47, special=False, as_uint8=True, channels="bgr")),
    Case("composite", "shared-background", _shared_background),
    Case("composite", "one-pixel", _composite(5, 1, 1)),
    Case("composite", "no-pixels", _composite(2, 0, 8)),
    Case("composite", "nobody", _composite(0, 8, 8, as_uint8=True)),
]
