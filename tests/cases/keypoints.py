"""Drawing keypoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cases.case import Arguments, Case
from cases.inputs import keypoints


def _points(
    joints: int, size: tuple[int, int], people: int, *rest: Any, **named: Any
) -> Callable[[np.random.Generator], Arguments]:
    return lambda rng: ((keypoints(rng, people, joints, *size), size, *rest), named)


def _map_points(
    size: tuple[int, int], stride: int, *rest: Any, people: int = 3, joints: int = 5, **named: Any
) -> Callable[[np.random.Generator], Arguments]:
    return lambda rng: ((keypoints(rng, people, joints, size[0] * stride, size[1] * stride), size, *rest), named)


_K3 = {"offset": 0.0, "inside_only": True}

CASES: list[Case] = [
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
    Case("pose_mask", "closed-in-wide-frame", _points(18, (70, 270), 2, radius=6, closing=11)),
    Case("pose_mask", "radius-1", _points(18, (80, 64), 3, radius=1, closing=3)),
    Case("pose_mask", "own-limbs", _points(4, (50, 129), 3, np.array([(0, 1), (2, 3), (3, 3)], np.int32), 9, 9)),
    Case("pose_mask", "no-limbs", _points(4, (10, 10), 2, [])),
    Case("pose_mask", "one-pixel", _points(18, (1, 1), 6)),
    Case("pose_mask", "nobody", _points(18, (16, 16), 0)),
]
