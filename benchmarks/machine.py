"""What this machine can do: memory bandwidth, measured in the run that is reported, and what it is made of."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numpy as np

from posert import _native

BUFFER_BYTES = 64 << 20
ROUNDS = 15


@dataclass(frozen=True)
class Bandwidth:
    """Medians of one thread on buffers of 64 MiB, in GB/s (10^9 bytes).

    Attributes:
        copy: bytes read and written a second by ``numpy.copyto``.
        write: bytes written a second by ``ndarray.fill`` with a value that is not 0.
    """

    copy: float
    write: float


def _median_seconds(work: Callable[[], Any]) -> float:
    work()
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def measure_bandwidth() -> Bandwidth:
    source = np.ones(BUFFER_BYTES // 4, np.float32)
    target = np.zeros_like(source)
    copy = 2 * BUFFER_BYTES / _median_seconds(lambda: np.copyto(target, source))
    write = BUFFER_BYTES / _median_seconds(lambda: target.fill(-1.0))
    return Bandwidth(copy / 1e9, write / 1e9)


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
