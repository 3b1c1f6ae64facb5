"""Fixtures of the kernel benchmarks: one thread everywhere, enough rounds, and bytes moved beside the times."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import machine
import pytest

from posert import ops

sys.path.append(str(Path(__file__).resolve().parents[1]))  # export, for torch's part; behind the installed posert

SECONDS_PER_PEER = 0.6
ROUNDS = (3, 100)

Timed = Callable[..., None]


@pytest.fixture(scope="session")
def bandwidth() -> machine.Bandwidth:
    """Memory bandwidth of this machine, measured once in this run."""
    return machine.measure_bandwidth()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """posert, OpenCV and torch (where installed) on one thread each."""
    before = ops.get_num_threads()
    ops.set_num_threads(1)
    for package, setter in (("cv2", "setNumThreads"), ("torch", "set_num_threads")):
        try:
            getattr(importlib.import_module(package), setter)(1)
        except ImportError:
            continue
    yield
    ops.set_num_threads(before)


@pytest.fixture
def timed(benchmark: Any, one_thread: None, bandwidth: machine.Bandwidth) -> Timed:
    """Times one peer: ``timed(group, peer, work, bytes_moved)``. Call it after the result has been checked.

    ``bytes_moved`` is the least that the work must read and write; `extra_info` gets it, GB/s, and the shares of the bandwidths.
    """

    def run(group: str, peer: str, work: Callable[[], Any], bytes_moved: int) -> None:
        benchmark.group = group
        start = time.perf_counter()
        work()
        rounds = int(min(max(SECONDS_PER_PEER / (time.perf_counter() - start + 1e-9), ROUNDS[0]), ROUNDS[1]))
        benchmark.pedantic(work, rounds=rounds, warmup_rounds=2, iterations=1)
        benchmark.extra_info["peer"] = peer
        benchmark.extra_info["bytes_moved"] = bytes_moved
        if benchmark.stats is not None:  # it is None with --benchmark-disable
            speed = bytes_moved / benchmark.stats.stats.median / 1e9
            benchmark.extra_info["gb_per_s"] = speed
            benchmark.extra_info["share_of_copy_bandwidth"] = speed / bandwidth.copy
            benchmark.extra_info["share_of_write_bandwidth"] = speed / bandwidth.write

    return run


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    machine_info["posert"] = machine.describe(machine.measure_bandwidth())
