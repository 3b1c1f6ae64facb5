"""Random inputs that several operations share."""

from __future__ import annotations

from typing import Any

import numpy as np


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
