"""Batches of augmented views of people, which every estimator of one person trains on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.augment import Augmentation, view
from training.data.lsp import load_lsp, load_lspet
from training.data.people import SKELETON, Person, PosePictures
from training.data.rendered import RenderedPeople

LSP_TRAINING, LSP_VALIDATION = slice(0, 900), slice(900, 1000)
LSPET_TRAINING = slice(0, 9500)


class Source(Protocol):
    """What people are drawn from."""

    def draw(self, rng: np.random.Generator) -> Person:
        """A person at random."""


@dataclass(frozen=True)
class Views:
    """A batch.

    Attributes:
        images: uint8 (N, H, W, 3), RGB.
        keypoints: float32 (N, K, 3): x, y in pixels of the view; (NaN, NaN, 0) where a joint is absent or not labelled.
        known: bool (N, K): whether the label says where the joint is, or that it is absent.
        occluded: float32 (N, K): 1 where the joint is hidden, 0 where it is seen, NaN where the label does not say.
    """

    images: NDArray[np.uint8]
    keypoints: NDArray[np.float32]
    known: NDArray[np.bool_]
    occluded: NDArray[np.float32]


class ViewSampler:
    """Draws batches of augmented views; batch number and seed decide, so a run can resume anywhere."""

    def __init__(
        self,
        sources: Sequence[tuple[Source, float]],
        size: tuple[int, int],
        seed: int,
        joints: int = len(SKELETON),
        amount: Augmentation | None = None,
    ) -> None:
        """Prepare.

        Args:
            sources: where people come from, each with its share of the views; shares need not sum to 1.
            size: rows and columns of the views.
            seed: of all chance.
            joints: how many of the skeleton's joints the views have: 14 for the body, 19 with the face.
            amount: how strongly the views vary.
        """
        self.sources = [source for source, _ in sources]
        shares = np.array([share for _, share in sources], np.float64)
        self.shares = shares / shares.sum()
        self.size, self.seed, self.joints = size, seed, joints
        self.amount = amount or Augmentation()
        self.flip = [k for k in SKELETON.flip if k < joints]

    def batch(self, number: int, count: int) -> Views:
        """Views of `count` people."""
        rng = np.random.default_rng((self.seed, number))
        images, labels = [], []
        for _ in range(count):
            person = self.sources[int(rng.choice(len(self.sources), p=self.shares))].draw(rng)
            label = np.concatenate([person.keypoints, person.known[:, None], person.occluded[:, None]], 1)[: self.joints]
            image, label = view(person.image, label, person.box, self.size, self.flip, self.amount, rng)
            images.append(image)
            labels.append(label)
        label = np.stack(labels)
        return Views(np.stack(images), np.ascontiguousarray(label[..., :3]), label[..., 3] > 0, label[..., 4].copy())


def open_sampler(
    lsp: Path,
    lspet: Path | None,
    synth: Path | None,
    labels: Path | None,
    shares: dict[str, float],
    size: tuple[int, int],
    seed: int,
    joints: int,
    amount: Augmentation,
) -> tuple[ViewSampler, PosePictures]:
    """The usual mixture, and LSP's images 901 to 1000 for validation.

    Args:
        lsp: Leeds Sports Pose.
        lspet: its extended set, of which the last 500 images are left out; or None.
        synth: folder of the package that renders people, or None.
        labels: of the extended set, as `training.relabel` settled them, or None.
        shares: of the views, by the names ``lsp``, ``lspet`` and ``rendered``; those of absent sets are divided among the others.
        size: as in `ViewSampler`.
        seed: likewise.
        joints: likewise.
        amount: likewise.

    Raises:
        InputError: a set is not in its published layout.
        MissingDependency: people cannot be rendered.
    """
    real = load_lsp(lsp)
    sources: list[tuple[Source, float]] = [(real.part(LSP_TRAINING.start, LSP_TRAINING.stop), shares["lsp"])]
    if lspet is not None and shares.get("lspet"):
        sources.append((load_lspet(lspet, labels=labels).part(LSPET_TRAINING.start, LSPET_TRAINING.stop), shares["lspet"]))
    if synth is not None and shares.get("rendered"):
        sources.append((RenderedPeople(synth), shares["rendered"]))
    return ViewSampler(sources, size, seed, joints, amount), real.part(LSP_VALIDATION.start, LSP_VALIDATION.stop)
