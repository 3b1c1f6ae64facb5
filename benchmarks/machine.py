"""What the benchmarks share: memory bandwidth as measured in the run that is reported, facts of the machine, threads, rounds."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numpy as np

from posert import _native, ops

BUFFER_BYTES = 64 << 20
BANDWIDTH_ROUNDS = 15
SECONDS_PER_PEER = float(os.environ.get("POSERT_BENCHMARK_SECONDS") or 1.0)
MOST_ROUNDS = 100

Timer = Callable[[], float]


@dataclass(frozen=True)
class Bandwidth:
    """Medians of one thread on buffers of 64 MiB, in GB/s (10^9 bytes).

    Attributes:
        copy: bytes read and written a second by ``numpy.copyto``.
        write: bytes written a second by ``ndarray.fill`` with a value that is not 0.
    """

    copy: float
    write: float


def _median_seconds(work: Callable[[], Any], timer: Timer) -> float:
    work()
    seconds = []
    for _ in range(BANDWIDTH_ROUNDS):
        start = timer()
        work()
        seconds.append(timer() - start)
    return statistics.median(seconds)


@functools.cache
def measure_bandwidth(timer: Timer) -> Bandwidth:
    """Measured once for each timer: by the one that the kernels are timed with, shares of it mean something."""
    source = np.ones(BUFFER_BYTES // 4, np.float32)
    target = np.zeros_like(source)
    copy = 2 * BUFFER_BYTES / _median_seconds(lambda: np.copyto(target, source), timer)
    write = BUFFER_BYTES / _median_seconds(lambda: target.fill(-1.0), timer)
    return Bandwidth(copy / 1e9, write / 1e9)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """posert, OpenCV and torch (where installed) on `count` threads each; as they were afterwards."""
    setters: list[tuple[Callable[[int], Any], int]] = [(ops.set_num_threads, ops.get_num_threads())]
    for package, getter, setter in (("cv2", "getNumThreads", "setNumThreads"), ("torch", "get_num_threads", "set_num_threads")):
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        setters.append((getattr(module, setter), getattr(module, getter)()))
    try:
        for setter, _ in setters:
            setter(count)
        yield
    finally:
        for setter, before in setters:
            setter(before)


def run_rounds(benchmark: Any, work: Callable[[], Any], least: int) -> None:
    """Time `work` for SECONDS_PER_PEER, in `least` to MOST_ROUNDS rounds after two to warm up.

    With less than a second a peer, which is for trying the benchmarks out, one round is enough and nothing is warmed up.
    """
    start = time.perf_counter()
    work()
    fitting = int(SECONDS_PER_PEER / (time.perf_counter() - start + 1e-9))
    short = SECONDS_PER_PEER < 1
    rounds = min(max(fitting, 1 if short else least), MOST_ROUNDS)
    benchmark.pedantic(work, rounds=rounds, warmup_rounds=0 if short else 2, iterations=1)


def describe(bandwidth: Bandwidth) -> dict[str, Any]:
    """Facts for the report: bandwidth, instruction set, versions of posert's peers."""
    versions = {}
    for package in ("numpy", "opencv-python-headless", "opencv-python", "torch", "scipy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "bandwidth": asdict(bandwidth),
        "instruction_set": _native.instruction_set(),
        "available_cpus": _native.available_cpus(),
        "python": platform.python_version(),
        "versions": versions,
    }
