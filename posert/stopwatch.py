"""How long the steps of a pipeline take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Stopwatch:
    """Adds up the wall time of named steps.

    Attributes:
        stage_ms: milliseconds of each step, by name, in the order in which the steps were first taken.
    """

    def __init__(self) -> None:
        self.stage_ms: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure what is done inside the `with` block."""
        start = perf_counter()
        try:
            yield
        finally:
            self.stage_ms[name] = self.stage_ms.get(name, 0.0) + 1e3 * (perf_counter() - start)

    def add(self, other: Stopwatch) -> None:
        """Add what another one has measured."""
        for name, ms in other.stage_ms.items():
            self.stage_ms[name] = self.stage_ms.get(name, 0.0) + ms
