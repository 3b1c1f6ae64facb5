"""The GPU benchmark of pipelines where there is no GPU: its work, on the played one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="graphs work in torch's memory: pip install posert[gpu]")
pytest.importorskip("onnx", reason="torch runs ONNX files: pip install posert[torch]")
pytest.importorskip("safetensors", reason="the zoo's weights: pip install posert[export]")

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "benchmarks"), str(ROOT)]

import fake_operations  # noqa: E402
from fake_gpu import FakeDevice  # noqa: E402

gpu_pipelines = pytest.importorskip("gpu_pipelines", reason="pip install posert[export,bench]")

from posert import Engine  # noqa: E402
from posert.backends.pipeline_graphs import PipelineGraphs  # noqa: E402


@pytest.fixture
def device(monkeypatch: Any) -> Iterator[FakeDevice]:
    device = FakeDevice()
    with fake_operations.installed(device, monkeypatch):
        yield device


@pytest.mark.parametrize("name", ["estimation with cpm-s", "transfer with pg2-s", "transfer with pg2-s, prepared sources"])
def test_a_case(device: FakeDevice, name: str) -> None:
    """Every way of launching gives what is compared with; graphs are used where they are to be."""
    case = gpu_pipelines.CASES[name]
    with Engine.open(case.model, backend="onnxruntime", device="cpu") as cpu:
        wanted = case.work(cpu, None, 1)()
    for way in ("pipeline graphs", "no graphs"):
        with fake_operations.aside():
            engine = Engine.open(case.model, backend="torch", device="cpu")
        program: Any = engine._program
        program.tensors = engine.cuda_device = device.name
        program.pipelines = PipelineGraphs(device)
        work, before = case.work(gpu_pipelines.launched(engine, way), "cpu", 1), len(device.graphs)
        for _ in range(3):
            case.check(work(), wanted)
        assert len(device.graphs) - before == (way == "pipeline graphs")
        engine.close()
    with pytest.raises(AssertionError):
        case.check(wanted[..., ::-1].copy() if wanted.dtype == np.uint8 else wanted + np.float32([5, 0, 0]), wanted)


@pytest.mark.parametrize("name", ["estimation with cpm-s", "transfer with pg2-s"])
def test_the_networks_of_torch(device: FakeDevice, name: str) -> None:
    case = gpu_pipelines.CASES[name]
    with Engine.open(case.model, backend="onnxruntime", device="cpu") as cpu:
        wanted = case.work(cpu, None, 1)()
    with contextlib.ExitStack() as stack:
        with fake_operations.aside():
            engine = stack.enter_context(gpu_pipelines.torch_engine(case.model, "torch eager", "cpu"))
        case.check(case.work(engine, "cpu", 1)(), wanted)
    assert device.graphs == []
