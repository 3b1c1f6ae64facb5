"""One table of inputs for every operation of `posert.ops`: equivalence, hygiene and error tests all read it.

A new operation or backend gets those tests by a line here. One case of every operation is called "many": large enough for
several threads, which test_threads.py asserts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from posert import ops

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One call of an operation, on inputs that a seed decides.

    Attributes:
        op: name in `posert.ops`.
        name: what is special about it.
        make: random generator -> positional and keyword arguments.
        tolerance: largest absolute difference between a backend and the reference (specs R-5); 0 means the same bytes.
    """

    op: str
    name: str
    make: Callable[[np.random.Generator], Arguments]
    tolerance: float = field(default=0.0)

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def arguments(self, seed: int = 0) -> Arguments:
        return self.make(np.random.default_rng([seed, *self.name.encode()]))


def call(case: Case, arguments: Arguments, **more: Any) -> tuple[np.ndarray, ...]:
    """The results of a call, always as a tuple."""
    positional, named = arguments
    result = getattr(ops, case.op)(*positional, **named, **more)
    return result if isinstance(result, tuple) else (result,)


def keypoints(rng: np.random.Generator, people: int, joints: int, height: int, width: int) -> np.ndarray:
    """Joints in and around a frame; some missing, some halfway between pixels, some so far off that no integer holds them."""
    points = np.empty((people, joints, 3), np.float32)
    points[..., 0] = rng.uniform(-0.3 * width - 6, 1.3 * width + 6, (people, joints))
    points[..., 1] = rng.uniform(-0.3 * height - 6, 1.3 * height + 6, (people, joints))
    points[..., 2] = rng.uniform(0.01, 1, (people, joints))
    kind = rng.integers(0, 12, (people, joints))
    points[kind == 0] = (np.nan, np.nan, 0)
    points[kind == 1, 2] = 0
    points[kind == 2, :2] = np.floor(points[kind == 2, :2]) + 0.5
    points[kind == 3, :2] = np.round(points[kind == 3, :2])
    far = rng.choice([3e38, -3e38, 1e20, -1e12, 2.0**31, -(2.0**31), 1e6], points.shape[:2] + (2,))
    points[kind == 4, :2] = far[kind == 4]
    points[kind == 5, 0] = far[kind == 5, 0]
    points[kind == 6, :2] = np.float32(-0.25)
    return points


def heatmaps(rng: np.random.Generator, people: int, joints: int, height: int, width: int) -> np.ndarray:
    """Blobs over noise, and among them the maps that decoders trip over."""
    rows, columns = np.mgrid[:height, :width]
    centre = rng.uniform(-1, 1, (people, joints, 2, 1, 1)) * 0.6 + 0.5
    squared = (columns - centre[:, :, 0] * width) ** 2 + (rows - centre[:, :, 1] * height) ** 2
    maps = (np.exp(-squared / 3) + rng.normal(0, 0.05, squared.shape)).astype(np.float32)
    for person, joint in np.ndindex(people, joints):
        special: dict[int, Any] = {
            0: 0.0,
            1: 0.25,  # a plateau: every cell is the maximum
            2: -np.abs(maps[person, joint]),
            3: -np.inf,
            4: maps[person, joint] * 1e30,
            5: np.round(maps[person, joint], 1),  # ties
            6: (rows + columns == 3).astype(np.float32) - 1,  # only the overshoot between cells is positive
        }
        kind = int(rng.integers(0, 16))
        if kind in special:
            maps[person, joint] = special[kind]
        elif kind == 7:
            maps[person, joint].flat[rng.integers(0, height * width)] = rng.choice([np.nan, -np.nan, np.inf, -np.inf])
    return maps


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


def _points(
    joints: int, size: tuple[int, int], people: int, *rest: Any, **named: Any
) -> Callable[[np.random.Generator], Arguments]:
    return lambda rng: ((keypoints(rng, people, joints, *size), size, *rest), named)


def _map_points(
    size: tuple[int, int], stride: int, *rest: Any, people: int = 3, joints: int = 5, **named: Any
) -> Callable[[np.random.Generator], Arguments]:
    return lambda rng: ((keypoints(rng, people, joints, size[0] * stride, size[1] * stride), size, *rest), named)


def _mask(shape: tuple[int, ...], size: int, levels: int) -> Callable[[np.random.Generator], Arguments]:
    return lambda rng: (((rng.integers(0, levels, shape) * (255 // (levels - 1))).astype(np.uint8), size), {})


def _maps(
    people: int, joints: int, size: tuple[int, int], transformed: bool, **named: Any
) -> Callable[[np.random.Generator], Arguments]:
    def make(rng: np.random.Generator) -> Arguments:
        transforms = {"transforms": rng.uniform(-0.5, 0.5, (people, 2, 3)).astype(np.float32)} if transformed else {}
        return (heatmaps(rng, people, joints, *size),), {**named, **transforms}

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
_K3 = {"offset": 0.0, "inside_only": True}

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
    Case("rasterize_discs", "official", _points(18, (128, 64), 4)),
    Case("rasterize_discs", "many", _points(18, (77, 131), 6, 5)),
    Case("rasterize_discs", "odd", _points(5, (37, 131), 3, 7, 0.25, -3.5)),
    Case("rasterize_discs", "radius-0", _points(5, (9, 11), 3, 0)),
    Case("rasterize_discs", "wider-than-frame", _points(3, (9, 11), 2, 40)),
    Case("rasterize_discs", "one-pixel", _points(3, (1, 1), 6)),
    Case("rasterize_discs", "nobody", _points(18, (16, 16), 0)),
    Case("rasterize_discs", "no-joints", _points(0, (16, 16), 2)),
    Case("rasterize_gaussians", "K9", _map_points((46, 46), 8, 7.0, 8, 4.6052), 1e-6),
    Case("rasterize_gaussians", "many", _map_points((46, 45), 8, 7.0, 8, 4.6052, people=6, joints=18), 1e-6),
    Case("rasterize_gaussians", "K3", _map_points((128, 128), 2, 3.5, 2, **_K3), 1e-6),
    Case("rasterize_gaussians", "centre-map", _map_points((37, 53), 1, 21.0), 1e-6),
    Case("rasterize_gaussians", "narrow", _map_points((37, 53), 1, 0.05, 1, 0.5), 1e-6),
    Case("rasterize_gaussians", "one-cell", _map_points((1, 1), 8, 7.0, 8), 1e-6),
    Case("rasterize_gaussians", "nobody", _points(18, (16, 16), 0, 2.0), 1e-6),
    Case("pose_mask", "official", _points(18, (128, 64), 4)),
    Case("pose_mask", "many", _points(18, (80, 70), 30)),
    Case("pose_mask", "odd", _points(18, (71, 133), 3)),
    Case("pose_mask", "unclosed", _points(18, (64, 63), 3, closing=1)),
    Case("pose_mask", "closed-wide", _points(18, (40, 65), 3, radius=2, closing=71)),
    Case("pose_mask", "radius-1", _points(18, (80, 64), 3, radius=1, closing=3)),
    Case("pose_mask", "own-limbs", _points(4, (50, 129), 3, np.array([(0, 1), (2, 3), (3, 3)], np.int32), 9, 9)),
    Case("pose_mask", "no-limbs", _points(4, (10, 10), 2, [])),
    Case("pose_mask", "one-pixel", _points(18, (1, 1), 6)),
    Case("pose_mask", "nobody", _points(18, (16, 16), 0)),
    *(
        Case(op, name, make)
        for op in ("dilate", "erode", "opening", "closing")
        for name, make in (
            ("many", _mask((20, 80, 130), 9, 256)),
            ("binary", _mask((3, 64, 128), 5, 2)),
            ("grey", _mask((2, 1, 37, 131), 7, 256)),
            ("size-1", _mask((2, 13, 17), 1, 256)),
            ("size-3", _mask((2, 13, 300), 3, 256)),
            ("size-21", _mask((2, 53, 47), 21, 256)),
            ("wider-than-image", _mask((2, 5, 3), 31, 256)),
            ("one-pixel", _mask((2, 1, 1), 5, 256)),
            ("one-row", _mask((2, 1, 70), 9, 256)),
            ("one-column", _mask((2, 70, 1), 9, 256)),
            ("nobody", _mask((0, 8, 8), 5, 256)),
            ("no-pixels", _mask((2, 0, 8), 5, 256)),
        )
    ),
    *(
        Case("decode_heatmaps", f"{method}-{name}", make(method), 1e-5)
        for method in ("argmax", "quarter", "softargmax", "upsampled")
        for name, make in (
            ("cpm", lambda m: _maps(8, 14, (16, 12), False, method=m)),
            ("many", lambda m: _maps(20, 14, (24, 20), True, method=m)),
            ("image-pixels", lambda m: _maps(4, 6, (12, 16), True, method=m, stride=4)),
            ("odd-stride", lambda m: _maps(8, 6, (9, 7), False, method=m, stride=3)),
            ("stride-1", lambda m: _maps(8, 6, (33, 47), False, method=m, stride=1)),
            ("narrow", lambda m: _maps(12, 6, (1, 5), False, method=m)),
            ("one-cell", lambda m: _maps(12, 6, (1, 1), False, method=m)),
            ("nobody", lambda m: _maps(0, 6, (8, 8), False, method=m)),
            ("no-joints", lambda m: _maps(3, 0, (8, 8), False, method=m)),
        )
    ),
    Case("decode_heatmaps", "softargmax-wide", _maps(8, 6, (14, 15), False, method="softargmax", beta=3.0, window=31), 1e-5),
]
