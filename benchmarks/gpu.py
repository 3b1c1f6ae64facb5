"""What the GPU benchmarks share: a clock of CUDA events, a cold cache, and the machine's copy bandwidth."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable

import torch

ROUNDS = 50
# Written before each round, so that the work finds none of its data in the L2 cache (50 MiB on an H100).
FLUSHED_BYTES = 256 << 20
COPIED_BYTES = 1 << 30


class EventClock:
    """A timer for pytest-benchmark: called at the start and at the end of a round, it gives the GPU's seconds between.

    The flush before a round keeps the GPU busy while the host enqueues the work, so that the time of its launch does not count.
    """

    def __init__(self) -> None:
        self._start: torch.cuda.Event | None = None

    def __call__(self) -> float:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        if self._start is None:
            self._start = event
            return 0.0
        start, self._start = self._start, None
        event.synchronize()
        return start.elapsed_time(event) / 1e3


@functools.cache
def _flushed() -> torch.Tensor:
    return torch.empty(FLUSHED_BYTES, dtype=torch.uint8, device="cuda")


def flush() -> None:
    """Fill the L2 cache with something else."""
    _flushed().fill_(1)


def median_seconds(work: Callable[[], object]) -> float:
    """Median of one kernel's time on the GPU over `ROUNDS` rounds with a cold cache."""
    clock = EventClock()
    work()
    seconds = []
    for _ in range(ROUNDS):
        flush()
        start = clock()
        work()
        seconds.append(clock() - start)
    return statistics.median(seconds)


@functools.cache
def copy_bandwidth() -> float:
    """GB/s (10^9 bytes, read and written) of a copy of 1 GiB within the GPU's memory."""
    source = torch.ones(COPIED_BYTES // 4, device="cuda")
    target = torch.empty_like(source)
    return 2 * COPIED_BYTES / median_seconds(lambda: target.copy_(source)) / 1e9
