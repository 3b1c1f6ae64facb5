"""What the pipelines' benchmarks share: ways to do a pipeline's work, photographs, torch in the engine's place, and the clock."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
import pytest

import posert
from posert import Engine, zoo
from posert.media.images import read_image

BATCHES = (1, 8, 32)
LEAST_ROUNDS = 5
EXTRA = Path(__file__).resolve().parents[1] / "zoo-extra"


class Peer(NamedTuple):
    """One way to do the work of a pipeline.

    Attributes:
        name: shown in the table.
        make: from an open engine, what does the work; what has an attribute ``stage_ms`` tells the steps of its latest run there.
    """

    name: str
    make: Callable[[Engine], Any]


def open_engine(name: str) -> Engine:
    if name in zoo.names():
        return Engine.open(name)
    if machine.SHORT:
        pytest.skip("a short run, which tries the embedded models")
    return Engine.open(EXTRA / f"{name}.posert")


def photos(count: int, height: int, width: int) -> np.ndarray:
    """The example pictures again and again, each of one person, uint8 (N, H, W, 3)."""
    cv2 = pytest.importorskip("cv2")
    paths = sorted((Path(posert.__file__).parent / "examples").glob("*.jpg"), reverse=True)  # who faces the camera comes first
    pictures = [cv2.resize(read_image(path), (width, height), interpolation=cv2.INTER_AREA) for path in paths]
    return np.stack([pictures[i % len(pictures)] for i in range(count)])


class TorchSession:
    """The same networks in torch eager, float32, in the place of an engine's session."""

    def __init__(self, name: str) -> None:
        reason = "torch eager needs torch and the zoo's weights; pip install posert[export]"
        pytest.importorskip("torch", reason=reason)
        self.networks = {part.name: part for part in pytest.importorskip("export.recipes", reason=reason).load(name).networks}

    def run(self, network: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.networks[network].run_reference(inputs)


def measure(benchmark: Any, peer: Peer, worker: Any, work: Callable[[], Any], batch: int) -> None:
    """Time the `work` of one peer's `worker`, and note images a second and the median of each step over all rounds."""
    steps: dict[str, list[float]] = {}

    def run() -> None:
        work()
        for name, ms in getattr(worker, "stage_ms", {}).items():
            steps.setdefault(name, []).append(ms)

    machine.run_rounds(benchmark, run, LEAST_ROUNDS)
    benchmark.extra_info |= {
        **{"peer": peer.name, "batch": batch, "threads": posert.get_num_threads()},
        "stage_ms": {name: round(statistics.median(values), 4) for name, values in steps.items()},
    }
    if benchmark.stats is not None:
        benchmark.extra_info["images_per_second"] = round(batch / benchmark.stats.stats.median, 2)
