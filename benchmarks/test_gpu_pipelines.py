"""Pipelines on a GPU, in images a second: with a CUDA graph of everything, of each network, without, and with torch's networks.

    pytest benchmarks/test_gpu_pipelines.py --benchmark-only --benchmark-json=gpu-pipelines.json

Pictures are CUDA tensors and stay there; what is timed is the host's time until the device has done the work, so launches count.
Every result is compared with ONNX Runtime's on the CPU before the clock starts. Everything computes in float32. Skipped, with a
reason, where there is no GPU, or a backend is not installed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from pipelines import BATCHES

from posert import Engine
from posert.backends import CANDIDATES, ON_REQUEST, missing
from posert.backends.pipeline_graphs import GRAPHS as SWITCH
from posert.ops import _triton

WHY_NOT = _triton.problem()
if WHY_NOT is not None or _triton.interpreting():
    pytest.skip(f"no GPU: {WHY_NOT}", allow_module_level=True)

torch = pytest.importorskip("torch")
gpu = pytest.importorskip("gpu")
gpu_pipelines = pytest.importorskip("gpu_pipelines", reason="the torch peers are the zoo's weights; pip install posert[export]")

BACKENDS = [c for c in (*CANDIDATES, *ON_REQUEST) if c.device == "cuda" and c.backend != "onnxruntime"]
WARM_UPS = 4  # a pipeline's graph is captured when its shapes come for the second time
PEERS = [*((c.backend, way) for c in BACKENDS for way in gpu_pipelines.GRAPHS), *(("", way) for way in gpu_pipelines.WAYS)]


@contextlib.contextmanager
def opened(model: str, backend: str, way: str, monkeypatch: Any) -> Iterator[Engine]:
    """An engine of a peer.

    Args:
        model: of the zoo.
        backend: posert's; empty = torch's own modules.
        way: of launching.
        monkeypatch: sets the environment that switches graphs.
    """
    if not backend:
        with gpu_pipelines.torch_engine(model, way) as engine:
            yield engine
        return
    reason = missing(next(c for c in BACKENDS if c.backend == backend))
    if reason is not None:
        pytest.skip(reason)
    if (backend, way) == ("torch", "network graphs"):
        pytest.skip("posert's torch backend has no graphs of single networks")
    monkeypatch.setenv(SWITCH, gpu_pipelines.GRAPHS[way])
    with Engine.open(model, backend=backend, device="cuda") as engine:
        yield gpu_pipelines.launched(engine, way)


@pytest.mark.parametrize(("backend", "way"), PEERS, ids=lambda value: value or "peer")
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", gpu_pipelines.CASES)
def test_pipeline(name: str, batch: int, backend: str, way: str, benchmark: Any, monkeypatch: Any) -> None:
    case = gpu_pipelines.CASES[name]
    with Engine.open(case.model, backend="onnxruntime", device="cpu") as cpu:
        wanted = case.work(cpu, None, batch)()
    with opened(case.model, backend, way, monkeypatch) as engine:
        work = case.work(engine, "cuda", batch)
        for _ in range(WARM_UPS):
            case.check(work(), wanted)
        if way == "pipeline graphs":
            program: Any = engine._program
            assert program.pipelines._idle, "it was captured"
        torch.cuda.reset_peak_memory_stats()

        def run() -> None:
            work()
            torch.cuda.synchronize()

        benchmark.group = f"{name}, batch {batch}, on {torch.cuda.get_device_name()}"
        benchmark.pedantic(run, rounds=gpu.ROUNDS, iterations=1)
        benchmark.extra_info |= {
            **{"peer": f"{backend}, {way}" if backend else way, "batch": batch, "engine": engine.explain()},
            "images_per_second": round(batch / benchmark.stats.stats.median, 2),
            "peak_memory_mib": round(torch.cuda.max_memory_allocated() / 2**20, 1),
        }
