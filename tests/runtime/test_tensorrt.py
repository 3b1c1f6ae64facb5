"""TensorRT's two packages at run time: package and GPU are played (fake_tensorrt, fake_gpu), the code between them is real."""

from __future__ import annotations

import gc
import inspect
import re
import sys
import warnings
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="plans work in torch's memory: pip install posert[gpu]")
pytest.importorskip("onnx", reason="the fake reads ONNX files: pip install posert[torch]")
pytest.importorskip("filelock", reason="the plan cache needs filelock: pip install posert[tensorrt-rtx]")

import fake_tensorrt  # noqa: E402
from fake_gpu import FakeDevice  # noqa: E402
from fake_tensorrt import EngineInvalidityDiagnostics, EngineValidity, World  # noqa: E402

from posert import (  # noqa: E402
    Bundle,
    BundleError,
    Engine,
    Estimator,
    ExecutionError,
    GpuMemoryError,
    InputError,
    MissingDependency,
    PlanError,
)
from posert.backends import pipeline_graphs, plans  # noqa: E402
from posert.builders import PlanRequest  # noqa: E402

BACKENDS = ("tensorrt", "tensorrt_rtx")
SHAPE = (3, 256, 192)
Played = tuple[World, Engine]


@pytest.fixture(params=BACKENDS)
def world(request: Any, monkeypatch: Any, tmp_path: Path) -> World:
    monkeypatch.setenv("POSERT_CACHE", str(tmp_path / "cache"))
    return fake_tensorrt.install(monkeypatch, request.param)


@pytest.fixture
def backend(request: Any, world: World) -> str:
    name: str = request.node.callspec.params["world"]
    return name


@pytest.fixture
def engine(world: World, backend: str, tiny_estimator_bundle: Path) -> Iterator[Engine]:
    with Engine.open(tiny_estimator_bundle, backend=backend) as engine:
        yield engine
    world.fails.clear()


@pytest.fixture
def plain(monkeypatch: Any) -> None:
    monkeypatch.setenv(pipeline_graphs.GRAPHS, "0")


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def truth(tiny_estimator_bundle: Path) -> Any:
    """What the network makes of pictures, by ONNX Runtime."""
    engine = Engine.open(tiny_estimator_bundle, backend="onnxruntime", device="cpu")
    return lambda images: engine.session().run("estimator", {"image": images})["heatmaps"]


def runner(engine: Engine) -> Any:
    return engine._program.runner()  # type: ignore[union-attr]


class TestStreams:
    """Work follows the caller's stream, and is ready on it."""

    @pytest.mark.parametrize("count", [1, 2], ids=["graph", "plain"])
    @pytest.mark.parametrize("on_default", [True, False])
    def test_a_producer_that_is_late(self, world: World, engine: Engine, truth: Any, count: int, on_default: bool) -> None:
        device, images = world.device, pictures(count)
        stream = device.default if on_default else device.new_stream()
        run = runner(engine)
        with device.using(stream):
            given = device.empty(images.shape, "float32")
            for attempt in range(4):  # the first time captures
                stream.add(lambda: given.copy_(torch.from_numpy(images)))
                found = run.run_tensors("estimator", {"image": given})["heatmaps"]
                stream.add(lambda: given.fill_(7))  # the caller uses the memory for something else, in order
                assert found.isnan().all(), "the host did not wait"
                if attempt % 2:
                    device.synchronize()  # all streams in turn
                device.synchronize(stream)
                np.testing.assert_allclose(found.numpy(), truth(images), atol=1e-5)

    def test_the_next_work_on_the_stream_sees_the_result(self, world: World, engine: Engine, truth: Any) -> None:
        device, images = world.device, pictures(3)
        run, stream = runner(engine), device.new_stream()
        with device.using(stream):
            given = device.own(torch.from_numpy(images))
            first = run.run_tensors("estimator", {"image": given})["heatmaps"]
            later = device.empty(tuple(first.shape), "float32")
            device.copy(later, first)
            device.synchronize(stream)
        np.testing.assert_allclose(later.numpy(), truth(images), atol=1e-5)

    @pytest.mark.parametrize("count", [1, 2], ids=["graph", "plain"])
    def test_two_streams_of_one_thread(self, world: World, engine: Engine, truth: Any, count: int) -> None:
        """They share a graph; its memory must not be overwritten while the other stream still reads it."""
        device, run = world.device, runner(engine)
        streams, images = [device.new_stream() for _ in range(3)], [pictures(count, seed) for seed in range(6)]
        found = []
        for index, batch in enumerate(images):
            with device.using(streams[index % 3]):
                given = device.own(torch.from_numpy(batch))
                found.append(run.run_tensors("estimator", {"image": given})["heatmaps"])
        device.synchronize()
        for result, batch in zip(found, images, strict=True):
            np.testing.assert_allclose(result.numpy(), truth(batch), atol=1e-5)

    def test_two_threads_on_the_default_stream(self, world: World, engine: Engine, truth: Any) -> None:
        def work(seed: int) -> float:
            run = runner(engine)
            batch = pictures(1 + seed % 3, seed)
            found = run.run_tensors("estimator", {"image": world.device.own(torch.from_numpy(batch))})["heatmaps"]
            world.device.synchronize(world.device.default)
            return float(np.abs(found.numpy() - truth(batch)).max())

        with ThreadPoolExecutor(2) as pool:
            assert max(pool.map(work, range(12))) < 1e-5

    def test_arrays_and_tensors_in_turn(self, world: World, engine: Engine, truth: Any) -> None:
        run, images = runner(engine), pictures(8)
        tensors = run.run_tensors("estimator", {"image": world.device.own(torch.from_numpy(images))})["heatmaps"]
        arrays = run.run("estimator", {"image": -images})["heatmaps"]
        world.device.synchronize()
        np.testing.assert_allclose(tensors.numpy(), truth(images), atol=1e-5)
        np.testing.assert_allclose(arrays, truth(-images), atol=1e-5)

    def test_contexts_are_kept_one_a_stream_and_profile(self, plain: None, world: World, engine: Engine) -> None:
        run, device = runner(engine), world.device
        for _ in range(3):
            for count in (1, 2, 3, 8, 5):
                run.run("estimator", {"image": pictures(count)})
        assert len(world.contexts) == 3, "one for each of the profiles 1, 2 to 3, 4 to 8"
        with device.using(device.new_stream()):
            run.run_tensors("estimator", {"image": device.own(torch.zeros(2, *SHAPE))})
        assert len(world.contexts) == 4


class TestGraphs:
    """The bundle's own batch sizes are replayed, others launched; the results are the same."""

    def test_which_batches_have_graphs(self, world: World, engine: Engine, truth: Any) -> None:
        session = engine.session()
        for _ in range(3):
            for count in (1, 2, 3, 8):
                images = pictures(count, count)
                np.testing.assert_allclose(session.run("estimator", {"image": images})["heatmaps"], truth(images), atol=1e-5)
        assert [graph.replays for graph in world.device.graphs] == [3, 3, 3], "of batches 1, 3 and 8"
        assert world.device.allocated_in_capture == 0

    def test_results_are_copied_out(self, world: World, engine: Engine, truth: Any) -> None:
        run, device = runner(engine), world.device
        found = [
            run.run_tensors("estimator", {"image": device.own(torch.from_numpy(pictures(1, s)))})["heatmaps"] for s in (0, 1)
        ]
        device.synchronize()
        for seed, result in enumerate(found):
            np.testing.assert_allclose(result.numpy(), truth(pictures(1, seed)), atol=1e-5)

    def test_equal_to_plain_launches(self, world: World, backend: str, tiny_transfer_bundle: Path, monkeypatch: Any) -> None:
        given = np.random.default_rng(0).normal(size=(3, 21, 128, 64)).astype(np.float32)
        results = []
        for graphs in ("1", "0"):
            monkeypatch.setenv(pipeline_graphs.GRAPHS, graphs)
            with Engine.open(tiny_transfer_bundle, backend=backend) as engine:
                results.append(engine.session().run("generator", {"input": given}))
        assert len(world.device.graphs) == 1
        for name in ("image", "coarse"):
            np.testing.assert_array_equal(results[0][name], results[1][name])

    @pytest.mark.parametrize("fault", ["capture", "no room", "not capturable", "no context"])
    def test_a_failed_capture(self, world: World, engine: Engine, truth: Any, fault: str, backend: str) -> None:
        """Falls back to plain launches, with one warning for all threads and networks."""
        if fault == "capture":
            world.device.fail["capture"] = RuntimeError("CUDA error: operation not permitted when stream is capturing")
        elif fault == "no room":
            world.device.fail["capture"] = torch.OutOfMemoryError("CUDA out of memory")
        elif fault == "not capturable":
            world.fails["is_stream_capturable"] = False
        session = engine.session()
        if fault == "no context":
            session.run("estimator", {"image": pictures(2)})  # a context of its profile is there
            world.fails["create_execution_context"] = None
        count = 3
        with pytest.warns(RuntimeWarning, match="kernel by kernel.*POSERT_CUDA_GRAPHS=0"):
            found = session.run("estimator", {"image": pictures(count)})["heatmaps"]
        np.testing.assert_allclose(found, truth(pictures(count)), atol=1e-5)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            session.run("estimator", {"image": pictures(count)})
        assert world.device.graphs == []

    def test_in_a_graph_of_the_caller(self, world: World, engine: Engine, truth: Any) -> None:
        device, run, images = world.device, runner(engine), pictures(3)
        given = device.own(torch.from_numpy(images))
        stream = device.new_stream()
        found: dict[str, Any] = {}

        def work() -> None:
            found.update(run.run_tensors("estimator", {"image": given}))

        with pytest.raises(ExecutionError, match="has not run with a batch of 3 yet"):
            device.capture(stream, work)
        run.run("estimator", {"image": images})
        run.run("estimator", {"image": pictures(2)})
        graph = device.capture(stream, work)
        for seed in (1, 2):
            given.copy_(torch.from_numpy(pictures(3, seed)))
            graph.replay()
            run.run("estimator", {"image": pictures(3, 9)})  # takes other contexts, and does not disturb
            device.synchronize()
            np.testing.assert_allclose(found["heatmaps"].numpy(), truth(pictures(3, seed)), atol=1e-5)


CALLS = {
    "set_input_shape": False,
    "infer_shapes": ["image"],
    "get_tensor_shape": (1, 2, 3),
    "set_tensor_address": False,
    "execute_async_v3": False,
}


class TestFailures:
    """Each call of the vendor that can fail, failing: a named error, and the engine goes on afterwards."""

    @pytest.mark.parametrize("call", CALLS)
    def test_a_launch(self, plain: None, world: World, engine: Engine, truth: Any, call: str) -> None:
        session = engine.session()
        world.fails[call], world.said = CALLS[call], f"{call}: the vendor's own words"
        with pytest.raises(ExecutionError, match=rf"could not .* in network 'estimator': .*{call}: the vendor's own words"):
            session.run("estimator", {"image": pictures(1)})
        world.fails.clear()
        np.testing.assert_allclose(session.run("estimator", {"image": pictures(1)})["heatmaps"], truth(pictures(1)), atol=1e-5)

    @pytest.mark.parametrize("call", [*CALLS, "set_device_memory", "create_execution_context", "set_optimization_profile_async"])
    def test_a_launch_that_raises(self, plain: None, world: World, engine: Engine, call: str) -> None:
        world.fails[call] = RuntimeError("a CUDA error from before")
        with pytest.raises(ExecutionError, match="cuda:0 failed in network 'estimator': a CUDA error from before"):
            engine.session().run("estimator", {"image": pictures(1)})

    @pytest.mark.parametrize(("call", "answer"), [("create_execution_context", None), ("set_optimization_profile_async", False)])
    def test_a_context(self, plain: None, world: World, engine: Engine, call: str, answer: Any) -> None:
        session = engine.session()
        world.fails[call] = answer
        with pytest.raises(ExecutionError, match="it gave no reason"):
            session.run("estimator", {"image": pictures(1)})
        world.said = "Error Code 2: OutOfMemory (Requested size was 536870912 bytes.)"
        with pytest.raises(GpuMemoryError, match=r"cuda:0 has too little memory left .*smaller batches.*536870912"):
            session.run("estimator", {"image": pictures(1)})
        world.said = None
        with pytest.raises(
            ExecutionError, match="it gave no reason"
        ) as caught:  # what was said of another failure is not said again
            session.run("estimator", {"image": pictures(1)})
        assert not isinstance(caught.value, GpuMemoryError)
        world.fails.clear()
        session.run("estimator", {"image": pictures(1)})

    @pytest.mark.parametrize("call", ["empty", "pinned", "copy"])
    def test_no_memory_of_torch(self, world: World, engine: Engine, call: str, truth: Any) -> None:
        session = engine.session()
        session.run("estimator", {"image": pictures(1)})
        world.device.fail[call] = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        with pytest.raises(GpuMemoryError, match=r"network 'estimator'.*2\.00 GiB"):
            session.run("estimator", {"image": pictures(2)})
        world.device.fail.clear()
        np.testing.assert_allclose(session.run("estimator", {"image": pictures(2)})["heatmaps"], truth(pictures(2)), atol=1e-5)

    def test_an_error_that_comes_late(self, world: World, engine: Engine, truth: Any) -> None:
        session = engine.session()
        session.run("estimator", {"image": pictures(2)})
        world.device.fail["synchronize"] = RuntimeError("CUDA error: an illegal memory access was encountered")
        with pytest.raises(ExecutionError, match="illegal memory access"):
            session.run("estimator", {"image": pictures(2)})
        world.device.fail.clear()
        np.testing.assert_allclose(session.run("estimator", {"image": pictures(2)})["heatmaps"], truth(pictures(2)), atol=1e-5)

    def test_a_batch_outside_of_all_profiles(self, engine: Engine) -> None:
        plan = engine._program.plan("estimator")  # type: ignore[union-attr]
        assert [plan.profile(count) for count in (1, 2, 3, 4, 8)] == [0, 1, 1, 2, 2]
        with pytest.raises(ExecutionError, match="takes batches of 1 to 1, 2 to 3, 4 to 8, got 9; split the batch"):
            plan.profile(9)

    def test_closing_waits_for_the_device(self, world: World, engine: Engine, truth: Any) -> None:
        run, images = runner(engine), pictures(2)
        found = run.run_tensors("estimator", {"image": world.device.own(torch.from_numpy(images))})["heatmaps"]
        contexts = [weakref.ref(context) for context in world.contexts]
        world.contexts.clear()
        engine.close()
        np.testing.assert_allclose(found.numpy(), truth(images), atol=1e-5)
        gc.collect()
        assert all(context() is None for context in contexts)
        with pytest.raises(ExecutionError, match="closed"):
            run.run_tensors("estimator", {"image": images})


class TestLoading:
    """Where plans come from, and why they are refused."""

    def test_built_here(self, world: World, engine: Engine, backend: str) -> None:
        (request,) = world.built
        assert (request.precision, request.batch_sizes) == ("fp32", (1, 3, 8))
        assert request.compute_capabilities == (("8.9",) if backend == "tensorrt_rtx" else ())
        version = sys.modules[backend].__version__
        assert (
            f"{backend}: chosen: {backend} {version} (cu13), cuda:0 (Pretended GPU), plans built here, fp32" in engine.explain()
        )

    def test_a_gpu_that_the_package_has_no_name_for(self, world: World, backend: str, tiny_estimator_bundle: Path) -> None:
        world.device.capability = "9.0"
        Engine.open(tiny_estimator_bundle, backend=backend).close()
        assert world.built[0].compute_capabilities == ()

    def test_a_device_by_number(self, world: World, backend: str, tiny_estimator_bundle: Path, monkeypatch: Any) -> None:
        def open_device(name: str) -> Any:
            world.device = FakeDevice(name)
            return world.device

        monkeypatch.setattr("posert.backends.plan_needs.open_device", open_device)
        with Engine.open(tiny_estimator_bundle, backend=backend, device="cuda:1") as engine:
            assert engine.cuda_device == "cuda:1"
        assert [request.device for request in world.built] == [1], "the plan is built on that GPU, and for it"

    @pytest.mark.parametrize("trusted", [False, True])
    def test_plans_of_a_bundle_need_trust(self, world: World, carrying: Any, backend: str, trusted: bool, truth: Any) -> None:
        with Engine.open(carrying(), backend=backend, trust_plans=trusted) as engine:
            assert ("plans from the bundle" if trusted else "plans built here") in engine.explain()
            np.testing.assert_allclose(
                engine.session().run("estimator", {"image": pictures(2)})["heatmaps"], truth(pictures(2)), atol=1e-5
            )
        assert len(world.built) == (not trusted)

    def test_pipelines_pass_trust_on(self, world: World, carrying: Any, backend: str, tmp_path: Path) -> None:
        path = carrying().rename(tmp_path / "good.posert")
        with Estimator(path, backend=backend, trust_plans=True) as estimator:
            assert "plans from the bundle" in estimator.engine.explain()
        other = carrying(version="10.9")
        for pipeline, named in (("estimator", {}), ("detector", {"detector": other})):
            with pytest.raises(PlanError, match=r"built for .* 10\.9"):
                Estimator(other if pipeline == "estimator" else path, backend=backend, trust_plans=True, **named)
        with (
            Engine.open(path, backend=backend) as engine,
            pytest.raises(InputError, match="give backend, device and trust_plans to"),
        ):
            Estimator(engine, trust_plans=True)
        assert len(world.built) == 1

    def test_on_the_command_line(self, world: World, carrying: Any, backend: str, tmp_path: Path) -> None:
        from typer.testing import CliRunner

        from posert.cli import app
        from posert.media.images import write_image

        write_image(tmp_path / "a.png", np.zeros((256, 192, 3), np.uint8))

        def estimate(path: Path, *options: str) -> Any:
            command = ["estimate", str(tmp_path / "a.png"), "--model", str(path), "--backend", backend, "--json", *options]
            return CliRunner().invoke(app, command)

        path = carrying()
        assert estimate(path, "--trust-plans").exit_code == 0
        assert world.built == []
        assert estimate(path).exit_code == 0
        assert len(world.built) == 1
        refused = estimate(carrying(version="10.9"), "--trust-plans")
        assert refused.exit_code == 2
        assert "leave trust_plans (--trust-plans) out to have one built here" in refused.stderr

    @pytest.mark.parametrize(
        ("change", "match"),
        [
            ({"version": "10.9"}, r"built for tensorrt\w* 10\.9, and .* is installed: pip install tensorrt(-rtx)?-cu13==10\.9"),
            ({"cuda": "cu12"}, "built for CUDA cu12, and the installed .* is for cu13"),
            ({"system": "Windows"}, "built for Windows, and this is"),
            ({"machine": "aarch64"}, "built for aarch64, and this is"),
            ({"profiles": [[1, 1, 1], [2, 3, 3]]}, "takes no batch of 4, and the bundle's reach from 1 to 8"),
        ],
    )
    def test_plans_for_something_else(self, world: World, carrying: Any, backend: str, change: Any, match: str) -> None:
        path = carrying(**change)
        with pytest.raises(PlanError, match=rf"{match}.*leave trust_plans \(--trust-plans\) out"):
            Engine.open(path, backend=backend, trust_plans=True)
        Engine.open(path, backend=backend).close()

    def test_plans_for_another_gpu(self, world: World, carrying: Any, backend: str) -> None:
        path = carrying(compute_capabilities=["7.5"] if backend == "tensorrt" else ["default"])
        world.device.capability = "8.6" if backend == "tensorrt" else "7.5"
        with pytest.raises(PlanError, match=r"built for compute capability .*, and cuda:0 \(Pretended GPU\) has"):
            Engine.open(path, backend=backend, trust_plans=True)

    def test_a_plan_that_is_none(self, world: World, carrying: Any, backend: str) -> None:
        with pytest.raises(
            PlanError, match=r"could not load the plan of network 'estimator': .*leave trust_plans \(--trust-plans\) out"
        ):
            Engine.open(carrying(data=b"not a plan at all"), backend=backend, trust_plans=True)

    def test_a_plan_of_another_network(self, world: World, carrying: Any, backend: str, tiny_transfer_bundle: Path) -> None:
        other = Bundle.open(tiny_transfer_bundle)
        spec = other.manifest.networks[0]
        data = fake_tensorrt.plan_of(PlanRequest(spec, other.read(spec.file), "fp32", (1, 3, 8)))
        with pytest.raises(BundleError, match=r"the plan \(from the bundle\) has the inputs .*'input'.* the manifest says"):
            Engine.open(carrying(data=data), backend=backend, trust_plans=True)

    def test_a_flipped_byte(self, world: World, carrying: Any, backend: str) -> None:
        path = carrying()
        content = bytearray(path.read_bytes())
        content[content.rindex(b"plan{") + 20] ^= 1
        path.write_bytes(content)
        with pytest.raises(BundleError, match="damaged"):
            Engine.open(path, backend=backend, trust_plans=True)

    @pytest.mark.parametrize(
        ("said", "error", "match"),
        [
            ("CUDA driver version is insufficient for CUDA runtime version", MissingDependency, "update the NVIDIA driver"),
            ("Error Code 1: Cuda Runtime (out of memory)", GpuMemoryError, "too little memory"),
            ("engine plan file is not compatible with this version", PlanError, "delete posert's plan cache"),
        ],
    )
    @pytest.mark.parametrize("call", ["Runtime", "deserialize_cuda_engine"])
    def test_what_the_vendor_says(
        self, world: World, backend: str, tiny_estimator_bundle: Path, call: str, said: str, error: type[Exception], match: str
    ) -> None:
        world.fails[call], world.said = (
            (TypeError("pybind11::init(): factory function returned nullptr") if call == "Runtime" else None),
            said,
        )
        with pytest.raises(error, match=match):
            Engine.open(tiny_estimator_bundle, backend=backend)

    def test_an_automatic_choice_goes_on(self, world: World, backend: str, tiny_estimator_bundle: Path, monkeypatch: Any) -> None:
        world.fails["deserialize_cuda_engine"] = None
        with Engine.open(tiny_estimator_bundle) as engine:
            assert engine.backend == "onnxruntime"
            assert f"{backend}: passed over: {backend}" in engine.explain()
            assert "could not load the plan" in engine.explain()

    def test_the_first_that_can_run_is_taken(self, world: World, backend: str, tiny_estimator_bundle: Path) -> None:
        with Engine.open(tiny_estimator_bundle) as engine:
            assert (engine.backend, engine.device) == (backend, "cuda")


@pytest.fixture
def carrying(tmp_path: Path, backend: str, estimator_document: dict[str, Any], tiny_estimator_onnx: bytes) -> Any:
    """Writes a bundle that carries a plan."""
    import platform

    file = f"plans/{backend}.plan"

    def write(data: bytes | None = None, **changes: Any) -> Path:
        version = sys.modules[backend].__version__
        needs = {
            **{"network": "estimator", "file": file, "version": version, "cuda": "cu13"},
            **{"system": platform.system(), "machine": platform.machine(), "compute_capabilities": ["8.9"]},
            **{"profiles": [[1, 1, 1], [2, 3, 3], [4, 8, 8]]},
            **changes,
        }
        spec = Bundle.write(tmp_path / "x.posert", estimator_document, {"estimator.onnx": tiny_estimator_onnx}).manifest.networks[
            0
        ]
        sizes = tuple(most for _, _, most in needs["profiles"])
        plan = fake_tensorrt.plan_of(PlanRequest(spec, tiny_estimator_onnx, "fp32", sizes)) if data is None else data
        variant = {"backend": backend, "precision": "fp32", "parity": {}, "plans": [needs]}
        return Bundle.write(
            tmp_path / "y.posert",
            estimator_document | {"variants": [variant]},
            {"estimator.onnx": tiny_estimator_onnx, file: plan},
        ).path

    return write


@pytest.mark.parametrize("world", ["tensorrt_rtx"], indirect=True)
class TestRtx:
    """What only TensorRT-RTX has."""

    @pytest.mark.parametrize(
        ("name", "error", "match"),
        [
            ("VERSION_MISMATCH", PlanError, "another version of TensorRT-RTX"),
            ("UNSUPPORTED_CC", PlanError, "not built for this GPU's compute capability"),
            ("OLD_CUDA_DRIVER", MissingDependency, "driver is too old"),
            ("INSUFFICIENT_GPU_MEMORY", GpuMemoryError, "too little memory"),
            ("MALFORMED_ENGINE", PlanError, "it is damaged"),
            (None, PlanError, "not valid here"),
        ],
    )
    def test_diagnostics(
        self, world: World, tiny_estimator_bundle: Path, name: str | None, error: type[Exception], match: str
    ) -> None:
        found = 0 if name is None else int(EngineInvalidityDiagnostics[name])
        world.validity = (EngineValidity.INVALID, found)
        with pytest.raises(error, match=match):
            Engine.open(tiny_estimator_bundle, backend="tensorrt_rtx")
        world.validity = (EngineValidity.SUBOPTIMAL, found)
        Engine.open(tiny_estimator_bundle, backend="tensorrt_rtx").close()

    def test_kernels_are_kept(self, world: World, engine: Engine, tiny_estimator_bundle: Path) -> None:
        """Whether or not the engine that compiled them is ever closed."""
        for count in (2, 3):
            engine.session().run("estimator", {"image": pictures(count)})
            with Engine.open(tiny_estimator_bundle, backend="tensorrt_rtx"):
                assert world.caches[-1].kernels[-1] == f"kernel{count}".encode()
        assert world.caches[-1].kernels == [b"kernel2", b"kernel3"]
        world.caches[-1].DRIVER = b"driver 2\n"  # type: ignore[misc]
        world.fails["deserialize"] = False
        with Engine.open(tiny_estimator_bundle, backend="tensorrt_rtx") as engine:
            assert world.caches[-1].kernels == []
            engine.session().run("estimator", {"image": pictures(8)})

    def test_without_a_cache_folder(self, world: World, tiny_estimator_bundle: Path, monkeypatch: Any, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("POSERT_CACHE", str(tmp_path / "file"))
        with pytest.warns(RuntimeWarning, match="compiled anew at every start: .*POSERT_CACHE"):
            engine = Engine.open(tiny_estimator_bundle, backend="tensorrt_rtx")
        engine.session().run("estimator", {"image": pictures(2)})
        engine.close()

    def test_kernels_that_cannot_be_kept(self, world: World, engine: Engine, monkeypatch: Any, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("POSERT_CACHE", str(tmp_path / "file"))
        with pytest.warns(RuntimeWarning, match="compiled anew at every start"):
            engine.session().run("estimator", {"image": pictures(2)})
        engine.close()

    def test_how_contexts_compile(self, world: World, engine: Engine) -> None:
        strategies = fake_tensorrt.DynamicShapesKernelSpecializationStrategy
        engine.session().run("estimator", {"image": pictures(2)})
        engine.session().run("estimator", {"image": pictures(3)})
        found = [context.config.dynamic_shapes_kernel_specialization_strategy for context in world.contexts]
        assert found == [strategies.LAZY, strategies.EAGER]
        assert {context.config.cuda_graph_strategy for context in world.contexts} == {fake_tensorrt.CudaGraphStrategy.DISABLED}

    def test_nothing_to_keep(self, world: World, engine: Engine) -> None:
        world.fails["serialize"] = None
        engine.session().run("estimator", {"image": pictures(2)})


class TestWithoutAGpu:
    """What is missing is named, and how to get it."""

    @pytest.mark.parametrize("backend", BACKENDS)
    @pytest.mark.parametrize(
        ("gpu", "match"),
        [
            ({"missing": "no NVIDIA driver: libcuda.so.1 cannot be loaded"}, "runs on NVIDIA GPUs: no NVIDIA driver"),
            (
                {"missing": None, "cuda": "12.4"},
                r"installed for cu13, and the driver runs CUDA 12\.4: update the driver, or .*-cu12",
            ),
            ({"missing": None, "cuda": "13.0"}, "built without CUDA|sees no device|no NVIDIA driver"),
        ],
    )
    def test_missing(self, backend: str, monkeypatch: Any, tiny_estimator_bundle: Path, gpu: Any, match: str) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
        monkeypatch.setattr("posert.backends.plan_needs.ask_driver", lambda: gpu)
        monkeypatch.setattr("posert.builders.networks.wheel_cuda", lambda package: "cu13")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        with pytest.raises(MissingDependency, match=match):
            Engine.open(tiny_estimator_bundle, backend=backend)

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_two_cuda_versions(self, backend: str, monkeypatch: Any, tiny_estimator_bundle: Path) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
        monkeypatch.setattr("posert.backends.plan_needs.ask_driver", lambda: {"missing": None, "cuda": "13.0"})
        monkeypatch.setattr("importlib.metadata.version", lambda name: "1")
        with pytest.raises(MissingDependency, match=r"-cu12 and .*-cu13 are both installed.*pip uninstall"):
            Engine.open(tiny_estimator_bundle, backend=backend)

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_no_package(self, backend: str, monkeypatch: Any, tiny_estimator_bundle: Path) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(MissingDependency, match=rf"{backend} is not installed; .*pip install 'posert\[gpu"):
            Engine.open(tiny_estimator_bundle, backend=backend)

    def test_a_gpu_that_is_too_old(self, monkeypatch: Any) -> None:
        from posert.backends import plan_needs

        monkeypatch.setattr(plan_needs, "device_index", lambda name: 0)
        monkeypatch.setattr(plan_needs, "CudaDevice", lambda index: FakeDevice(capability="7.0"))
        with pytest.raises(MissingDependency, match=r"compute capability 7\.0, and plans run from 7\.5 on"):
            plan_needs.open_device("cuda")

    def test_an_old_tensorrt(self, monkeypatch: Any, tiny_estimator_bundle: Path) -> None:
        fake_tensorrt.install(monkeypatch, "tensorrt")
        sys.modules["tensorrt"].__version__ = "10.0.1"  # type: ignore[attr-defined]
        with pytest.raises(MissingDependency, match=r"tensorrt 10\.0\.1 is older than 10\.1"):
            Engine.open(tiny_estimator_bundle, backend="tensorrt")

    def test_the_real_package_without_a_driver(self, tmp_path: Path, tiny_estimator_bundle: Path) -> None:
        """The package itself, a plan that it built, and no fake but the GPU's name: it starts, and says what it lacks."""
        module = pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx-cu13", exc_type=ImportError)
        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
        from posert.backends.tensorrt_rtx import TensorRtRtx
        from posert.builders import build
        from posert.builders.cache import PlanCache

        vendor, device = TensorRtRtx(module, "cu13"), FakeDevice()
        assert vendor.targets("8.9") == ("8.9",)
        assert vendor.targets("9.0") == ()
        bundle = Bundle.open(tiny_estimator_bundle)
        spec = bundle.manifest.networks[0]
        good = build("tensorrt_rtx", PlanRequest(spec, bundle.read(spec.file), "fp32", (1, 3)), cache=PlanCache(tmp_path)).data
        with pytest.raises(
            MissingDependency, match=r"could not load the plan of network 'estimator': .*update the NVIDIA driver"
        ):
            plans.deserialize(good, "estimator", vendor, device, "build it anew")
        with pytest.raises(PlanError, match=r"could not load the plan of network 'estimator': it is damaged.*; build it anew"):
            plans.deserialize(b"x" * 4096, "estimator", vendor, device, "build it anew")


FAKED = ("Runtime", "ICudaEngine", "IExecutionContext", "IRuntimeConfig", "IRuntimeCache")
ENUMS = (
    *("DataType", "TensorIOMode", "ExecutionContextAllocationStrategy", "EngineValidity", "EngineInvalidityDiagnostics"),
    *("ComputeCapability", "CudaGraphStrategy", "DynamicShapesKernelSpecializationStrategy"),
)


class TestTheFakeIsTrue:
    """Names, arguments and numbers of the fake are those of the installed package."""

    @pytest.fixture
    def real(self) -> Any:
        return pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx-cu13", exc_type=ImportError)

    @pytest.mark.parametrize("name", FAKED)
    def test_methods(self, real: Any, name: str) -> None:
        fake, kind = getattr(fake_tensorrt, name), getattr(real, name)
        public = [member for member in vars(fake) if not member.startswith("_") and member not in ("DRIVER",)]
        assert public or name == "IRuntimeConfig"
        for member in public:
            found = getattr(kind, member, None)
            assert found is not None, f"{name} has no {member}"
            if isinstance(vars(fake)[member], property):
                assert isinstance(inspect.getattr_static(kind, member), property), member
            elif callable(vars(fake)[member]):
                self.compare(member, vars(fake)[member], found.__doc__)

    def compare(self, member: str, fake: Any, text: str) -> None:
        """One of the signatures in the real one's help has the fake's arguments."""
        wanted = [parameter for parameter in inspect.signature(fake).parameters if parameter != "self"]
        signatures = re.findall(rf"{member}\((self[^\n]*)\) ->", text)
        found = [re.findall(r"(?:^|, )(\w+): ", signature)[1:] for signature in signatures]
        assert wanted in found, f"{member}{wanted}: the package has {found}"

    def test_attributes_of_a_configuration(self, real: Any) -> None:
        for member in ("cuda_graph_strategy", "dynamic_shapes_kernel_specialization_strategy"):
            assert isinstance(inspect.getattr_static(real.IRuntimeConfig, member), property)

    @pytest.mark.parametrize("name", ENUMS)
    def test_enumerations(self, real: Any, name: str) -> None:
        fake, kind = getattr(fake_tensorrt, name), getattr(real, name)
        assert set(fake.__members__) <= set(kind.__members__)
        if name == "EngineInvalidityDiagnostics":
            assert {key: int(value) for key, value in fake.__members__.items()} == {
                k: int(v) for k, v in kind.__members__.items()
            }

    def test_types(self, real: Any) -> None:
        for kind in fake_tensorrt.DataType:
            assert np.dtype(real.nptype(getattr(real.DataType, kind.name))) == np.dtype(fake_tensorrt.nptype(kind))

    def test_the_device(self) -> None:
        """The played GPU has the real one's methods, and torch has what those call."""
        from posert.backends.device import CudaDevice

        public = {name: function for name, function in vars(CudaDevice).items() if not name.startswith("_")}
        assert len(public) > 10
        for name, function in public.items():
            assert list(inspect.signature(getattr(FakeDevice, name)).parameters) == list(
                inspect.signature(function).parameters
            ), name
        assert {"cuda_graph", "stream", "capture_error_mode"} <= set(inspect.signature(torch.cuda.graph).parameters)
        for name in ("synchronize", "wait_stream", "record_event", "wait_event"):
            assert callable(getattr(torch.cuda.Stream, name))
        for name in (
            "is_current_stream_capturing",
            "get_device_capability",
            "get_device_name",
            "current_stream",
            "stream",
            "device",
        ):
            assert callable(getattr(torch.cuda, name))

    def test_logger_and_runtime(self, real: Any) -> None:
        for level in ("INTERNAL_ERROR", "ERROR", "WARNING"):
            assert hasattr(real.ILogger, level)
        assert "logger" in real.Runtime.__init__.__doc__
