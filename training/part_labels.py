"""What a structured-feature network is to say at each cell, and which cells count (specs structured_features, 5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from torch import Tensor

from posert.trees import Tree
from training.data.people import SKELETON
from training.maps import STRIDE, heatmaps

IGNORED, RING = 0.4, 0.5  # radii about a joint, in lengths of the person's limbs
LEAST_SCALE = 18.0  # pixels


@dataclass(frozen=True)
class Labels:
    """Labels of a batch.

    Attributes:
        target: float32 (N, C, h, w): how the mass of 1 is divided among parts, mixtures and the background, which is last.
        used: bool (N, h, w): cells that count.
        weight: float32 (N, h, w): on the gradient of each cell.
    """

    target: Tensor
    used: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Labels:
        """The same, on a device."""
        return Labels(self.target.to(device), self.used.to(device), self.weight.to(device))


def gaussian_labels(parts: NDArray[np.float32], size: tuple[int, int], rng: np.random.Generator, negatives: float) -> Labels:
    """Soft labels: a Gaussian about each part, and cells of the background drawn at random.

    Where Gaussians overlap and sum to more than 1, they share the cell.

    Args:
        parts: float32 (N, P, 3) in pixels.
        size: rows and columns of the network's input.
        rng: source of chance.
        negatives: chance of each cell that no part reaches to count.
    """
    maps = heatmaps(parts, size)
    total = maps.sum(1, keepdims=True)
    target = np.concatenate([maps / np.maximum(total, 1), np.maximum(1 - total, 0)], 1)
    used = (total[:, 0] > 0) | (rng.random((len(parts), *maps.shape[2:])) < negatives)
    return Labels(torch.from_numpy(target), torch.from_numpy(used), torch.ones(used.shape))


@dataclass(frozen=True)
class Anatomy:
    """What is learnt from labels before the training.

    Attributes:
        offsets: float64 (P, M, 2): x, y in cells from a part's parent to it, the mean of each mixture; the root has its first
            child's from the root.
        ratios: float64 (P,): length of a part's edge to its parent, in lengths of a typical edge; the root's is NaN.
    """

    offsets: NDArray[np.float64]
    ratios: NDArray[np.float64]

    @classmethod
    def learn(cls, parts: NDArray[np.float32], tree: Tree, mixtures: int, seed: int, runs: int = 50) -> Anatomy:
        """K-means over the offsets of people's parts (N, P, 3) in pixels, the best of several runs."""
        lengths = _edge_lengths(parts, tree)
        with np.errstate(invalid="ignore"):
            ratios = np.array([np.nan, *np.nanmedian(lengths[:, 1:] / np.nanmedian(lengths, 1, keepdims=True), 0)])
        offsets = part_offsets(parts, tree)
        centres = np.empty((len(tree), mixtures, 2))
        for k in range(len(tree)):
            points = offsets[:, k][np.isfinite(offsets[:, k]).all(-1)]
            tries = [kmeans2(points, mixtures, minit="++", seed=np.random.default_rng((seed, k, i))) for i in range(runs)]
            errors = [((points - found[which]) ** 2).sum() for found, which in tries]
            centres[k] = tries[int(np.argmin(errors))][0]
        return cls(centres, ratios)

    def mixture(self, parts: NDArray[np.float32], tree: Tree) -> NDArray[np.int64]:
        """The nearest mixture of each part, (N, P); 0 where the part or its parent is missing."""
        distance = ((part_offsets(parts, tree)[:, :, None] - self.offsets) ** 2).sum(-1)
        return np.where(np.isnan(distance), np.inf, distance).argmin(-1)

    def scale(self, parts: NDArray[np.float32], tree: Tree) -> NDArray[np.float64]:
        """How long a typical limb of each person is, (N,) in pixels: the upper quartile over the limbs, at least 18."""
        lengths = _edge_lengths(parts, tree)[:, 1:] / self.ratios[1:]
        known = np.isfinite(lengths).any(1)
        scale = np.full(len(parts), LEAST_SCALE)
        scale[known] = np.nanquantile(lengths[known], 0.75, axis=1)
        return np.maximum(scale, LEAST_SCALE)


def part_offsets(parts: NDArray[np.float32], tree: Tree) -> NDArray[np.float64]:
    """Where each part lies from its parent, (N, P, 2) in cells; the root's is its first child's. NaN where one is missing."""
    xy = parts[..., :2].astype(np.float64) / STRIDE
    child = np.arange(len(tree))
    child[0] = tree.parents.index(0)
    parent = np.array(tree.parents)
    parent[0] = 0
    return xy[:, child] - xy[:, parent]


def _edge_lengths(parts: NDArray[np.float32], tree: Tree) -> NDArray[np.float64]:
    lengths = np.linalg.norm(part_offsets(parts, tree), axis=-1) * STRIDE
    lengths[:, 0] = np.nan
    return np.where(lengths > 0, lengths, np.nan)


def ring_labels(
    parts: NDArray[np.float32],
    mixture: NDArray[np.int64],
    scale: NDArray[np.float64],
    mixtures: int,
    size: tuple[int, int],
    rng: np.random.Generator,
) -> Labels:
    """The released model's labels: the cell of each joint, and some of the background in a ring about it.

    Near a joint nothing is said but in its own cell; no cell counts that is far from all joints, except one in a hundred of
    pictures without people.

    Args:
        parts: float32 (N, P, 3) in pixels.
        mixture: (N, P), see `Anatomy.mixture`.
        scale: (N,), see `Anatomy.scale`.
        mixtures: how many there are.
        size: rows and columns of the network's input.
        rng: source of chance.
    """
    count, number = parts.shape[:2]
    shape = (size[0] // STRIDE, size[1] // STRIDE)
    target = np.zeros((count, number * mixtures + 1, *shape), np.float32)
    rows, columns = np.indices(shape)
    ring, near = np.zeros((2, count, *shape), bool)
    # A label's cell g lies at pixel 8g + 3; halves are rounded up.
    cells = np.floor((np.nan_to_num(parts[..., :2], nan=-1e6) + 5) / STRIDE + 0.5).astype(np.int64) - 1
    inside = (parts[..., 2] > 0) & (cells >= 0).all(-1) & (cells < (shape[1], shape[0])).all(-1)
    for n, k in np.argwhere(parts[..., 2] > 0):
        x, y = cells[n, k]
        distance = np.hypot(columns - x, rows - y)
        ignored = distance <= np.floor(IGNORED * scale[n] / STRIDE)
        near[n] |= ignored
        ring[n] |= ~ignored & (distance <= np.ceil(RING * scale[n] / STRIDE))
        if inside[n, k]:
            target[n, k * mixtures + mixture[n, k], y, x] = 1
    joint = target.sum(1) > 0
    target /= np.maximum(target.sum(1, keepdims=True), 1)
    target[:, -1] = ~joint
    chance = rng.random((count, *shape))
    empty = ~(parts[..., 2] > 0).any(1)[:, None, None]
    used = joint | (ring & ~near & (chance < 0.5)) | (empty & (chance < 0.01))
    weight = np.where(joint, 1, 0.5).astype(np.float32)
    return Labels(torch.from_numpy(target), torch.from_numpy(used), torch.from_numpy(weight))


def known_parts(known: NDArray[np.bool_], tree: Tree) -> NDArray[np.bool_]:
    """Whether labels say where each part is, or that it is absent, (N, P), from what is known of the joints (N, K)."""
    joints = SKELETON.joints
    return np.stack([known[:, [joints.index(name) for name, _ in source]].all(1) for source in tree.sources], 1)


def observer_centric(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Change the person's left and right to those of somebody who looks at the person upright.

    Shoulders decide for the arms, hips for the legs: each side is named by where it lies across the torso.

    Args:
        keypoints: float32 (N, K, 3), the first joints of `SKELETON`.
    """
    result = keypoints.copy()
    index = SKELETON.joints.index
    hips = (keypoints[:, index("left_hip"), :2] + keypoints[:, index("right_hip"), :2]) / 2
    down = hips - keypoints[:, index("neck"), :2]
    for girdle, limbs in (("shoulder", ("shoulder", "elbow", "wrist")), ("hip", ("hip", "knee", "ankle"))):
        across = keypoints[:, index(f"right_{girdle}"), :2] - keypoints[:, index(f"left_{girdle}"), :2]
        # With the torso upright, x runs along (down_y, -down_x): positive where the person's right is the viewer's right.
        swapped = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0] < 0
        for limb in limbs:
            left, right = index(f"left_{limb}"), index(f"right_{limb}")
            result[swapped, left], result[swapped, right] = keypoints[swapped, right], keypoints[swapped, left]
    return result
