"""`part_transforms` in NumPy (specs K6): a few hundred numbers a person, so this is its only implementation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.ops._check import present
from posert.ops.limb_priors.parts import UNSEEN_PARTS

LEAST_SPREAD = 1e-8


def part_transforms(target: NDArray[np.float32], source: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write `posert.ops.part_transforms` into `out`, float32 (N, 11, 2, 3); arguments are checked already."""
    there = present(target) & present(source)
    wanted, given = (np.where(there[..., None], points[..., :2], 0).astype(np.float64) for points in (target, source))
    identity = np.eye(2, 3)
    largest = float(np.finfo(np.float32).max)
    out[:, 0] = identity
    for index, joints in enumerate(UNSEEN_PARTS, start=1):
        chosen = list(joints)
        matrices = np.clip(similarities(wanted[:, chosen], given[:, chosen]), -largest, largest)
        complete = np.logical_and.reduce(there[:, chosen], axis=1)
        out[:, index] = np.where(complete[:, None, None], matrices, identity)


def similarities(target: NDArray[np.float64], source: NDArray[np.float64]) -> NDArray[np.float64]:
    """The similarities of least squares from points (N, J, 2) to points (N, J, 2): float64 (N, 2, 3)."""
    target_middle, source_middle = target.mean(1), source.mean(1)
    p, q = target - target_middle[:, None], source - source_middle[:, None]
    spread = (p * p).sum((1, 2))
    usable = spread >= LEAST_SPREAD
    divisor = np.where(usable, spread, 1)
    a = np.where(usable, (p * q).sum((1, 2)) / divisor, 1)
    b = np.where(usable, (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(1) / divisor, 0)
    (tx, ty), (sx, sy) = target_middle.T, source_middle.T
    rows = [[a, -b, sx - a * tx + b * ty], [b, a, sy - b * tx - a * ty]]
    return np.moveaxis(np.array(rows), -1, 0)
