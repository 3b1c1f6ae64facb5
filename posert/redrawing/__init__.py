"""How each paper's networks re-draw a person, between pictures cut out and pictures made; `posert.Transfer` does the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posert.engine import Session
from posert.manifest import Manifest
from posert.stopwatch import Stopwatch
from posert.tensors import empty, taken


@dataclass(frozen=True)
class Drawn:
    """Where results go, all of M poses: arrays, or CUDA tensors where the sources' pictures are.

    Attributes:
        images: uint8 (M, H, W, 3), in the network's channel order.
        coarse: likewise, of a first stage; None where there is none.
        mask: uint8 (M, H, W): 1 where the person is, or is expected.
    """

    images: NDArray[np.uint8]
    coarse: NDArray[np.uint8] | None
    mask: NDArray[np.uint8]

    @classmethod
    def empty(cls, count: int, size: tuple[int, int], has_coarse: bool, like: Any) -> Drawn:
        """Memory for so many pictures of a size: arrays, or tensors where `like` is one."""
        images = empty((count, *size, 3), "uint8", like)
        coarse = empty((count, *size, 3), "uint8", like) if has_coarse else None
        return cls(images, coarse, empty((count, *size), "uint8", like))

    def by_name(self) -> dict[str, Any]:
        """Those that there are."""
        found = {"images": self.images, "coarse": self.coarse, "mask": self.mask}
        return {name: value for name, value in found.items() if value is not None}

    def part(self, part: slice) -> Drawn:
        """Views of some of them."""
        return Drawn(self.images[part], None if self.coarse is None else self.coarse[part], self.mask[part])


Sources = Mapping[str, Any]
"""Source people, taken apart: pictures by name, one a person in the first dimension; arrays, or CUDA tensors."""

Poses = Mapping[str, Any]
"""What the host makes of poses: a few numbers a person by name, float32, one a person in the first dimension. Arrays; or tensors,
beside the sources, as a CUDA graph needs them."""


class Redrawing(Protocol):
    """A model's networks and what lies between them. One instance belongs to one thread.

    Pictures are arrays, or all CUDA tensors; what is explained is arrays.
    """

    session: Session
    """Runs the networks."""
    needs_joints: bool
    """Whether it must know where the source's joints are."""
    has_coarse: bool
    """Whether there is a picture of a first stage."""

    def prepare(self, pictures: NDArray[np.float32], joints: NDArray[np.float32] | None, watch: Stopwatch) -> dict[str, Any]:
        """Do what depends on the sources alone.

        Args:
            pictures: float32 (N, 3, H, W), as the network takes them: an array or a CUDA tensor.
            joints: float32 (N, K, 3), in pixels of the pictures: an array, or a tensor beside them; None where not needed.
            watch: measures the steps.

        Returns:
            `Sources`. They belong to no thread.
        """

    def poses(self, target: NDArray[np.float32], joints: NDArray[np.float32] | None, watch: Stopwatch) -> dict[str, Any]:
        """`Poses` of M people.

        Args:
            target: float32 (M, K, 3), in pixels of the pictures.
            joints: likewise, of the source of each; None where they are not needed.
            watch: measures the steps.
        """

    def backgrounds(self, sources: Sources) -> NDArray[np.float32] | None:
        """The sources without their people, float32 (N, 3, H, W), nominally in [-1, 1]; None if the model makes no such thing."""

    def draw(self, sources: Sources, poses: Poses, drawn: Drawn, watch: Stopwatch) -> None:
        """Draw M people, at most as many as the largest batch.

        Args:
            sources: of M people.
            poses: of M people.
            drawn: written.
            watch: measures the steps.
        """

    def explain(self, sources: Sources, poses: Poses, watch: Stopwatch) -> dict[str, NDArray[np.float32]]:
        """What is between sources and results, to look at; arguments as of `draw`.

        Returns:
            Pictures by name, in the order in which they come about, float32 (M, 3, H, W), nominally in [-1, 1].
        """


def each(sources: Sources, index: NDArray[np.int64]) -> dict[str, Any]:
    """The source of each of M poses: views where they follow one another, or are all the same.

    Args:
        sources: N people.
        index: int64 (M,): which of them takes each pose.
    """
    return {name: taken(value, index) for name, value in sources.items()}


def open_redrawing(manifest: Manifest, session: Session) -> Redrawing:
    """The way of a bundle's paper."""
    if manifest.paper == "unseen":
        from posert.redrawing.unseen import UnseenRedrawing

        return UnseenRedrawing(manifest, session)
    from posert.redrawing.pg2 import PG2Redrawing

    return PG2Redrawing(manifest, session)
