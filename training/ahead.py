"""Batches made ahead of time by worker processes, so that a GPU does not wait for pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset

LAST = 1 << 31
"""No training has so many steps."""


class Sampler(Protocol):
    """What draws batches by number."""

    size: tuple[int, int]

    def batch(self, number: int, count: int) -> Any:
        """`count` views."""


class _Batches(Dataset[Any]):
    def __init__(self, sampler: Sampler, count: int) -> None:
        self.sampler, self.count = sampler, count

    def __getitem__(self, number: int) -> Any:
        return self.sampler.batch(number, self.count)


class Ahead:
    """A sampler whose next batches are already being made; they are those that it would give itself."""

    def __init__(self, sampler: Sampler, workers: int) -> None:
        """Prepare; processes start with the first batch.

        Args:
            sampler: of any training.
            workers: processes.
        """
        self.sampler, self.workers, self.size = sampler, workers, sampler.size
        self._next: tuple[int, int] | None = None
        self._coming: Iterator[Any] = iter(())

    def batch(self, number: int, count: int) -> Any:
        """`count` views; quick as long as each number follows the one before."""
        if self._next != (number, count):
            batches = _Batches(self.sampler, count)
            options: dict[str, Any] = {"batch_size": None, "num_workers": self.workers, "collate_fn": _as_it_is}
            self._coming = iter(DataLoader(batches, sampler=range(number, LAST), **options))
        self._next = (number + 1, count)
        return next(self._coming)


def _as_it_is(batch: Any) -> Any:
    return batch
