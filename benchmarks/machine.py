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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numpy as np

from posert import _native, ops

BUFFER_BYTES = 64 << 20
BANDWIDTH_ROUNDS = 15
SECONDS_PER_PEER = float(os.environ.get("POSERT_BENCHMARK_SECONDS") or 1.0)
SHORT = SECONDS_PER_PEER < 1
MOST_ROUNDS = 100
THREADED = ("posert", "cv2", "torch")  # whose names stand in the names of peers that use more than one thread

Timer = Callable[[], float]


@dataclass(frozen=True)
class Bandwidth:
    """Medians on buffers of 64 MiB, in GB/s (10^9 bytes).

    Attributes:
        copy: bytes read and written a second by ``numpy.copyto``.
        write: bytes written a second by ``ndarray.fill`` with a value that is not 0.
    """

    copy: float
    write: float


def _median_seconds(work: Callable[[], Any], timer: Timer, rounds: int) -> float:
    work()
    seconds = []
    for _ in range(rounds):
        start = timer()
        work()
        seconds.append(timer() - start)
    return statistics.median(seconds)


@functools.cache
def measure_bandwidth(timer: Timer, threads: int = 1) -> Bandwidth:
    """Measured once for each timer, so that shares of it mean something; several threads copy a part of the buffers each."""
    source = np.ones(BUFFER_BYTES // 4, np.float32)
    target = np.zeros_like(source)
    parts = list(zip(np.split(target, threads), np.split(source, threads), strict=True))

    def speed(work: Callable[[Any], Any], bytes_moved: int) -> float:
        return bytes_moved / _median_seconds(lambda: list(run(work, parts)), timer, BANDWIDTH_ROUNDS) / 1e9

    with ThreadPoolExecutor(threads) as pool:
        run = map if threads == 1 else pool.map
        copy = speed(lambda part: np.copyto(*part), 2 * BUFFER_BYTES)
        return Bandwidth(copy, speed(lambda part: part[0].fill(-1.0), BUFFER_BYTES))


@functools.cache
def measure_gemm(threads: int) -> float:
    """Multiplications and additions a second of float32 matrices of 1536 x 1536, in GFLOP/s: the most that a network can use.

    By torch where it is installed, else by NumPy, whose threads are its own affair.
    """
    size = 1536
    a, b = (np.random.default_rng(i).random((size, size), np.float32) for i in range(2))
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        product: Callable[[], Any] = functools.partial(np.matmul, a, b)
    else:
        torch.set_num_threads(threads)
        product = functools.partial(torch.mm, torch.from_numpy(a), torch.from_numpy(b))
    return 2 * size**3 / _median_seconds(product, time.perf_counter, BANDWIDTH_ROUNDS) / 1e9


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


def rounds_of(work: Callable[[], Any], least: int) -> int:
    """How many rounds of `work`, which is called once, fit SECONDS_PER_PEER: `least` to MOST_ROUNDS, and 1 is enough if SHORT."""
    start = time.perf_counter()
    work()
    fitting = int(SECONDS_PER_PEER / (time.perf_counter() - start + 1e-9))
    return min(max(fitting, 1 if SHORT else least), MOST_ROUNDS)


def run_rounds(benchmark: Any, work: Callable[[], Any], least: int) -> None:
    """Time `work` for SECONDS_PER_PEER after two rounds to warm up; if SHORT, which is for trying the benchmarks out, without."""
    benchmark.pedantic(work, rounds=rounds_of(work, least), warmup_rounds=0 if SHORT else 2, iterations=1)


def seconds_on_two_threads(peer: str, work: Callable[[], Any], least: int) -> float | None:
    """Median by the wall clock (a process's CPU time is the sum of its threads'); None without two CPUs or a peer for them."""
    if _native.available_cpus() < 2 or not any(name in peer for name in THREADED):
        return None
    with threads(2):
        return _median_seconds(work, time.perf_counter, rounds_of(work, least))


def describe(timer: Timer) -> dict[str, Any]:
    """Facts for the report: bandwidths, instruction set, versions of posert's peers."""
    versions = {}
    for package in ("numpy", "opencv-python-headless", "opencv-python", "torch", "scipy"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    cpus = _native.available_cpus()
    return {
        "bandwidth": asdict(measure_bandwidth(timer)),
        "bandwidth_on_two_threads": asdict(measure_bandwidth(time.perf_counter, 2)) if cpus > 1 else None,
        "instruction_set": _native.instruction_set(),
        "available_cpus": cpus,
        "python": platform.python_version(),
        "versions": versions,
    }
