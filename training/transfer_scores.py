"""How good a model is that re-draws people: SSIM, mask-SSIM, LPIPS, who it is that was drawn, and the Frechet Inception distance.

docs/evaluation.md defines each number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert import Poses, Transfer, TransferBatch, TransferResult, ops
from posert.errors import InputError
from training.data.identities import PersonPictures
from training.fid import FrechetDistance
from training.lpips import LPIPS
from training.metrics import ssim_of_each
from training.osnet import OSNet

SKELETON = "coco18"
MASKS = ("target", "condition")


@dataclass(frozen=True)
class Measures:
    """What is measured besides SSIM and mask-SSIM; None is left out.

    Attributes:
        lpips: the perceptual distance.
        osnet: who is on a picture.
        fid: the distance of all results from all targets.
        mask: whose pose makes the mask of mask-SSIM: ``"target"``, as in the paper, or ``"condition"``, the source's, as in PG2's
            released script.
    """

    lpips: LPIPS | None = None
    osnet: OSNet | None = None
    fid: FrechetDistance | None = None
    mask: str = "target"

    def __post_init__(self) -> None:
        if self.mask not in MASKS:
            raise InputError(f"the mask must be {' or '.join(map(repr, MASKS))}, got {self.mask!r}")


@dataclass
class Measured:
    """What was measured of each pair.

    Attributes:
        scores: of each kind of picture (``final``, ``coarse`` where there are two stages, ``source``: the source left as it is)
            the scores by name, each a list of arrays.
        directions: of source, target and result: OSNet's vectors, lists of arrays.
        seconds: that the model took.
    """

    scores: dict[str, dict[str, list[NDArray[Any]]]] = field(default_factory=dict)
    directions: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    seconds: float = 0.0

    def of_each(self, kind: str, score: str) -> NDArray[np.float64]:
        """A score of every pair: float64 (M,)."""
        return np.concatenate(self.scores[kind][score]).astype(np.float64)

    def means(self) -> dict[str, dict[str, float]]:
        """The mean of every score of every kind of picture."""
        return {kind: {name: float(self.of_each(kind, name).mean()) for name in own} for kind, own in self.scores.items()}


def check_fits(transfer: Transfer, data: PersonPictures) -> None:
    """Refuse a model that draws pictures of another size than the data's.

    Raises:
        InputError: it does.
    """
    manifest = transfer.engine.manifest
    if tuple(manifest.preprocess.size) != data.size:
        own, theirs = (f"{height} x {width}" for height, width in (manifest.preprocess.size, data.size))
        raise InputError(f"{manifest.name} draws pictures of {own} pixels (rows x columns), but this data set has {theirs}")


def draw(transfer: Transfer, data: PersonPictures, pairs: NDArray[np.int64]) -> TransferResult:
    """Draw the sources of pairs, int64 (n, 2), in the poses of their targets."""
    source, target = (Poses(data.keypoints[pairs[:, side]], skeleton=SKELETON) for side in (0, 1))
    return transfer.run(TransferBatch(source=data.pictures(pairs[:, 0]), target=target, source_pose=source))


def measure(
    transfer: Transfer,
    data: PersonPictures,
    pairs: NDArray[np.int64],
    measures: Measures,
    batch_size: int = 32,
    advance: Callable[[int], None] = lambda count: None,
) -> Measured:
    """Draw and measure pairs, some at a time.

    Args:
        transfer: the model.
        data: the pictures.
        pairs: int64 (M, 2), source and target.
        measures: what to measure.
        batch_size: pairs in memory at a time.
        advance: told how many pairs more are done.

    Raises:
        InputError: the model draws pictures of another size, or a picture cannot be read.
    """
    check_fits(transfer, data)
    measured = Measured()
    for start in range(0, len(pairs), batch_size):
        part = pairs[start : start + batch_size]
        result = draw(transfer, data, part)
        measured.seconds += sum(result.stage_ms.values()) / 1e3
        whole = {"final": result.images, "coarse": result.coarse, "source": data.pictures(part[:, 0])}
        shown = {kind: np.ascontiguousarray(images[:, :, data.shown]) for kind, images in whole.items() if images is not None}
        target = np.ascontiguousarray(data.pictures(part[:, 1])[:, :, data.shown])
        posed = data.keypoints[part[:, 0 if measures.mask == "condition" else 1]]
        mask = ops.pose_mask(posed, data.size)[:, 0, :, data.shown, None]
        for kind, images in shown.items():
            scores = measured.scores.setdefault(kind, {})
            found = {"ssim": ssim_of_each(images, target), "mask_ssim": ssim_of_each(images * mask, target * mask)}
            if measures.lpips is not None:
                found["lpips"] = measures.lpips.distances(images, target)
            for name, values in found.items():
                scores.setdefault(name, []).append(values)
        if measures.osnet is not None:
            for name, images in (("source", shown["source"]), ("target", target), ("final", shown["final"])):
                measured.directions.setdefault(name, []).append(measures.osnet.directions(images))
        if measures.fid is not None:
            measures.fid.update(target, real=True)
            measures.fid.update(shown["final"], real=False)
        advance(len(part))
    return measured


def identity(measured: Measured, identities: NDArray[np.int32], seed: int = 0) -> dict[str, float]:
    """Mean cosines between pictures: of the same person, and of somebody else for comparison.

    Args:
        measured: with directions.
        identities: integers (M,): who each pair shows.
        seed: of the choice of somebody else.

    Returns:
        The means by name; those with somebody else are left out where all pairs show one person.
    """
    source, target, final = (np.concatenate(measured.directions[name]) for name in ("source", "target", "final"))
    found = {
        "result to source": (final * source).sum(1),
        "result to target": (final * target).sum(1),
        "source to target": (source * target).sum(1),
    }
    rng = np.random.default_rng(seed)
    strangers = [np.flatnonzero(identities != own) for own in identities]
    if all(len(others) for others in strangers):
        other = target[[rng.choice(others) for others in strangers]]
        found |= {"result to somebody else": (final * other).sum(1), "target to somebody else": (target * other).sum(1)}
    return {name: float(values.mean()) for name, values in found.items()}
