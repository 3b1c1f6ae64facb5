"""Random views of pictures of several people, and what a part affinity field network is to see in them (specs paf, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posert import ops
from training.augment import PADDING_VALUE, occlude, recolour
from training.data.crowd import SKELETON, UNKNOWN, CrowdPicture
from training.maps import STRIDE, heatmaps, with_background

CELL_CENTRE = (STRIDE - 1) / 2


@dataclass(frozen=True)
class CrowdAugmentation:
    """How strongly views vary.

    Attributes:
        zoom: least and greatest magnification of pictures whose people are all labelled.
        person: of pictures of one person: least and greatest length of the person, as a share of the view.
        rotation: degrees to either side, in half of the views.
        shift: of the view's centre, as a fraction of its sides.
        occlusion: chance that rectangles are painted over the picture.
        colour: strength of brightness, contrast and tint changes.
    """

    zoom: tuple[float, float] = (0.65, 1.4)
    person: tuple[float, float] = (0.4, 1.2)
    rotation: float = 35.0
    shift: float = 0.25
    occlusion: float = 0.25
    colour: float = 0.25


@dataclass(frozen=True)
class CrowdViews:
    """A batch of views.

    Attributes:
        images: uint8 (N, H, W, 3), RGB.
        people: float32 (N, M, 18, 3): joints in view pixels; score 1, 0 or `UNKNOWN`. Rows without a person are (NaN, NaN, 0).
        weights: float32 (N, H / 8, W / 8): 0 where nothing is known, else 1.
    """

    images: NDArray[np.uint8]
    people: NDArray[np.float32]
    weights: NDArray[np.float32]


class CrowdSampler:
    """Draws batches of augmented views; batch number and seed decide, so a run can resume anywhere."""

    def __init__(
        self,
        sets: Sequence[tuple[Sequence[CrowdPicture], float]],
        size: tuple[int, int],
        seed: int,
        amount: CrowdAugmentation | None = None,
    ) -> None:
        """Prepare.

        Args:
            sets: sets of pictures, each with its share of the views; shares need not sum to 1.
            size: rows and columns of the views, multiples of 32.
            seed: of all chance.
            amount: how much to vary.
        """
        self.sets = [pictures for pictures, _ in sets]
        shares = np.array([share for _, share in sets], np.float64)
        self.shares = shares / shares.sum()
        self.size, self.seed = size, seed
        self.amount = amount or CrowdAugmentation()

    def batch(self, number: int, count: int) -> CrowdViews:
        """`count` views."""
        rng = np.random.default_rng((self.seed, number))
        views = []
        for _ in range(count):
            pictures = self.sets[int(rng.choice(len(self.sets), p=self.shares))]
            views.append(crowd_view(pictures[int(rng.integers(len(pictures)))], self.size, self.amount, rng))
        most = max(len(people) for _, people, _ in views)
        everyone = np.full((count, max(most, 1), len(SKELETON), 3), (np.nan, np.nan, 0), np.float32)
        for row, (_, people, _) in zip(everyone, views, strict=True):
            row[: len(people)] = people
        return CrowdViews(np.stack([v[0] for v in views]), everyone, np.stack([v[2] for v in views]))


def crowd_view(
    picture: CrowdPicture, size: tuple[int, int], amount: CrowdAugmentation, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Cut a random view out of a picture: the image, the people in view pixels and the weights of the cells.

    The view lies around one of the people. Joints that leave it are no longer in the picture.
    """
    image = picture.image()
    height, width = size
    matrix, mirrored = _placement(picture, image.shape[:2], size, amount, rng)
    view = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(PADDING_VALUE,) * 3
    )
    people = picture.people.copy()
    people[..., :2] = people[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    if mirrored:
        people = people[:, list(SKELETON.flip)]
    with np.errstate(invalid="ignore"):
        outside = ~((people[..., :2] >= -0.5) & (people[..., :2] < (width - 0.5, height - 0.5))).all(-1)
    people[outside & (people[..., 2] > 0)] = (np.nan, np.nan, 0)
    weights = _weights(picture, matrix, (height // STRIDE, width // STRIDE))
    view = occlude(recolour(view, amount.colour, rng), amount.occlusion, rng)
    return view, people.astype(np.float32), weights


def _placement(
    picture: CrowdPicture, shape: tuple[int, ...], size: tuple[int, int], amount: CrowdAugmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float64], bool]:
    """The affine map from picture to view, and whether it mirrors."""
    height, width = size
    extents = [(np.nanmin(xy, 0), np.nanmax(xy, 0)) for xy in picture.people[..., :2] if np.isfinite(xy).any()]
    low, high = extents[int(rng.integers(len(extents)))] if extents else (np.zeros(2), np.array(shape[1::-1], np.float64))
    if picture.vouched is None:
        zoom = np.exp(rng.uniform(*np.log(amount.zoom)))
    else:
        zoom = np.exp(rng.uniform(*np.log(amount.person))) * min(size) / max((high - low).max(), 16.0)
    angle = np.deg2rad(rng.uniform(-1, 1) * amount.rotation) if rng.random() < 0.5 else 0.0
    mirrored = bool(rng.random() < 0.5)
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    target = np.array([width - 1, height - 1]) / 2 + rng.uniform(-1, 1, 2) * amount.shift * (width, height)
    return np.concatenate([linear, (target - linear @ ((low + high) / 2))[:, None]], 1), mirrored


def _weights(picture: CrowdPicture, matrix: NDArray[np.float64], cells: tuple[int, int]) -> NDArray[np.float32]:
    """1 where it is known who is there, 0 elsewhere, for each cell."""
    weights = np.ones(cells, np.float32)
    if picture.vouched is None and not len(picture.ignored):
        return weights
    y, x = np.mgrid[: cells[0], : cells[1]] * STRIDE + CELL_CENTRE
    places = np.linalg.solve(matrix[:, :2], np.stack([x.ravel(), y.ravel()]) - matrix[:, 2:]).T.reshape(*cells, 2)
    if picture.vouched is not None:
        weights *= _within(places, picture.vouched)
    for region in picture.ignored:
        weights *= ~_within(places, region)
    return weights


def _within(places: NDArray[np.float64], box: NDArray[np.float32]) -> NDArray[np.bool_]:
    return ((places >= box[:2]) & (places <= box[2:])).all(-1)


def targets(people: NDArray[np.float32], size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """What the network is to draw: fields (N, 38, H/8, W/8) and heatmaps (N, 19, H/8, W/8), background last (specs K9, K11).

    Where people meet, heatmaps keep the greatest value and fields the mean, as the paper has it. The cells of the fields lie
    where those of the heatmaps do, in the middle of their pixels; the published training has them 3.5 pixels apart.
    """
    count, most, joints = people.shape[:3]
    cells = (size[0] // STRIDE, size[1] // STRIDE)
    heat = heatmaps(people.reshape(count * most, joints, 3), size).reshape(count, most, joints, *cells).max(1)
    moved = people - np.array([CELL_CENTRE, CELL_CENTRE, 0], np.float32)
    fields = torch.from_numpy(ops.rasterize_pafs(moved, cells, stride=STRIDE, overlap="average"))
    return fields, with_background(heat)


def channel_weights(people: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """1 for channels that everything is known about, else 0: of the fields (N, 38) and of the heatmaps (N, 19).

    A joint that is unknown in one person may be anywhere in the picture; so may its limbs; and no cell is background for sure.
    """
    known = ~(people[..., 2] == UNKNOWN).any(1)
    limbs = np.stack([known[:, a] & known[:, b] for a, b in ops.PAF_LIMBS], 1)
    heat = np.concatenate([known, known.all(1, keepdims=True)], 1)
    return torch.from_numpy(np.repeat(limbs, 2, 1).astype(np.float32)), torch.from_numpy(heat.astype(np.float32))
