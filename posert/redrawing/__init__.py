"""How each paper's networks re-draw a person, between pictures cut out and pictures made; `posert.Transfer` does the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from posert.engine import Session
from posert.manifest import Manifest
from posert.stopwatch import Stopwatch


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

    def part(self, part: slice) -> Drawn:
        """Views of some of them."""
        return Drawn(self.images[part], None if self.coarse is None else self.coarse[part], self.mask[part])


class Redrawing(Protocol):
    """A model's networks and what lies between them. One instance belongs to one thread.

    Pictures are arrays, or all CUDA tensors; joints and indices are arrays, and what is explained is.
    """

    needs_joints: bool
    """Whether it must know where the source's joints are."""
    has_coarse: bool
    """Whether there is a picture of a first stage."""

    def prepare(self, pictures: NDArray[np.float32], joints: NDArray[np.float32] | None, watch: Stopwatch) -> Any:
        """Do what depends on the sources alone.

        Args:
            pictures: float32 (N, 3, H, W), as the network takes them: an array or a CUDA tensor.
            joints: float32 (N, K, 3), in pixels of the pictures; None where they are not needed.
            watch: measures the steps.

        Returns:
            What `draw` takes. It belongs to no thread.
        """

    def backgrounds(self, sources: Any) -> NDArray[np.float32] | None:
        """The sources without their people, float32 (N, 3, H, W), nominally in [-1, 1]; None if the model makes no such thing."""

    def draw(self, sources: Any, index: NDArray[np.int64], target: NDArray[np.float32], drawn: Drawn, watch: Stopwatch) -> None:
        """Draw M people, at most as many as the largest batch.

        Args:
            sources: from `prepare`.
            index: int64 (M,): which source takes each pose.
            target: float32 (M, K, 3), in pixels of the pictures.
            drawn: written.
            watch: measures the steps.
        """

    def explain(
        self, sources: Any, index: NDArray[np.int64], target: NDArray[np.float32], watch: Stopwatch
    ) -> dict[str, NDArray[np.float32]]:
        """What is between sources and results, to look at; arguments as of `draw`.

        Returns:
            Pictures by name, in the order in which they come about, float32 (M, 3, H, W), nominally in [-1, 1].
        """


def open_redrawing(manifest: Manifest, session: Session) -> Redrawing:
    """The way of a bundle's paper."""
    if manifest.paper == "unseen":
        from posert.redrawing.unseen import UnseenRedrawing

        return UnseenRedrawing(manifest, session)
    from posert.redrawing.pg2 import PG2Redrawing

    return PG2Redrawing(manifest, session)
