"""Fixtures of the kernel benchmarks: one thread and then two, enough rounds, and bytes moved beside the times.

The environment variable POSERT_BENCHMARK_SECONDS says how many seconds each peer is timed for (default 1.0), in 3 to 100 rounds
(pipelines: 5 to 100) whatever they take. With less than 1, which is for trying the benchmarks out, a single round is enough.
pytest-benchmark's own --benchmark-min-rounds, --benchmark-max-time and --benchmark-warmup have no effect here.
"""

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

LEAST_ROUNDS = 3

Timed = Callable[..., None]


def timer_of(config: pytest.Config) -> machine.Timer:
    """The function that --benchmark-timer names."""
    module, _, name = config.getoption("benchmark_timer").rpartition(".")
    timer: machine.Timer = getattr(importlib.import_module(module), name)
    return timer


@pytest.fixture(scope="session")
def bandwidth(pytestconfig: pytest.Config) -> machine.Bandwidth:
    """Memory bandwidth of this machine, measured once in this run."""
    return machine.measure_bandwidth(timer_of(pytestconfig))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """posert, OpenCV and torch (where installed) on one thread each."""
    with machine.threads(1):
        yield


@pytest.fixture
def all_threads() -> Iterator[None]:
    """OpenCV and torch (where installed) on as many threads as posert uses by itself."""
    with machine.threads(ops.get_num_threads()):
        yield


@pytest.fixture
def timed(benchmark: Any, one_thread: None, bandwidth: machine.Bandwidth) -> Timed:
    """Times one peer: ``timed(group, peer, work, bytes_moved)``. Call it after the result has been checked.

    ``bytes_moved`` is the least that the work must read and write; `extra_info` gets it, GB/s, and the shares of the bandwidths.
    What has threads is then timed on two of them, which `extra_info` gets under ``two_threads``.
    """

    def run(group: str, peer: str, work: Callable[[], Any], bytes_moved: int) -> None:
        benchmark.group = group
        machine.run_rounds(benchmark, work, LEAST_ROUNDS)
        benchmark.extra_info["peer"] = peer
        benchmark.extra_info["bytes_moved"] = bytes_moved
        if benchmark.stats is None:  # with --benchmark-disable
            return
        speed = bytes_moved / benchmark.stats.stats.median / 1e9
        benchmark.extra_info["gb_per_s"] = speed
        benchmark.extra_info["share_of_copy_bandwidth"] = speed / bandwidth.copy
        benchmark.extra_info["share_of_write_bandwidth"] = speed / bandwidth.write
        seconds = machine.seconds_on_two_threads(peer, work, LEAST_ROUNDS)
        if seconds is not None:
            copy = machine.measure_bandwidth(time.perf_counter, 2).copy
            share = bytes_moved / seconds / 1e9 / copy
            benchmark.extra_info["two_threads"] = {"median": seconds, "share_of_copy_bandwidth": share}

    return run


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info["posert"] = machine.describe(timer_of(config))
