"""Every backend that runs on a GPU, on the GPU: parity, streams, threads, graphs. ``pytest -m gpu`` takes minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posert import Engine, Estimator, InputError, Poses, Transfer, TransferBatch, zoo
from posert.backends import CANDIDATES, ON_REQUEST, missing
from posert.backends.pipeline_graphs import GRAPHS

pytestmark = pytest.mark.gpu

ON_GPU = [candidate.backend for candidate in (*CANDIDATES, *ON_REQUEST) if candidate.device == "cuda"]
WITH_TENSORS = [backend for backend in ON_GPU if backend != "onnxruntime"]
PLANS = [backend for backend in ON_GPU if backend.startswith("tensorrt")]
LATE = 100_000_000  # cycles that a producer is late by: some 50 ms
EXTRA = sorted((Path(__file__).resolve().parents[2] / "zoo-extra").glob("*.posert"))
SHAPE = (3, 256, 192)


@pytest.fixture
def backend(request: Any) -> str:
    name: str = request.param
    candidate = next(c for c in (*CANDIDATES, *ON_REQUEST) if (c.backend, c.device) == (name, "cuda"))
    reason = missing(candidate)
    if reason is not None:
        pytest.skip(reason)
    return name


on_gpu = pytest.mark.parametrize("backend", ON_GPU, indirect=True)
with_tensors = pytest.mark.parametrize("backend", WITH_TENSORS, indirect=True)
with_plans = pytest.mark.parametrize("backend", PLANS, indirect=True)


@pytest.fixture
def engine(backend: str, tiny_estimator_bundle: Path) -> Iterator[Engine]:
    with Engine.open(tiny_estimator_bundle, backend=backend, device="cuda") as engine:
        yield engine


@pytest.fixture(scope="module")
def truth(tiny_estimator_bundle: Path) -> Callable[[np.ndarray], np.ndarray]:
    engine = Engine.open(tiny_estimator_bundle, backend="onnxruntime", device="cpu")
    return lambda images: engine.session().run("estimator", {"image": images})["heatmaps"]  # type: ignore[no-any-return]


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, *SHAPE)).astype(np.float32)


@on_gpu
@pytest.mark.parametrize("name", [*zoo.names(), *map(str, EXTRA)], ids=lambda name: Path(name).stem)
def test_every_model_agrees_with_the_cpu(backend: str, name: str) -> None:
    """In float32, at every batch size and one between, within specs R-5."""
    rng = np.random.default_rng(0)
    with Engine.open(name, backend="onnxruntime", device="cpu") as one, Engine.open(name, backend=backend, device="cuda") as two:
        first, second = one.session(), two.session()
        for network in one.manifest.networks:
            for batch in (*one.manifest.batch_sizes, 3):
                inputs = {t.name: rng.uniform(-1, 1, (batch, *t.shape[1:])).astype(np.float32) for t in network.inputs}  # type: ignore[arg-type]
                expected, found = first.run(network.name, inputs), second.run(network.name, inputs)
                for output, values in expected.items():
                    scale = max(1.0, float(np.abs(values).max()))
                    assert np.isfinite(found[output]).all()
                    assert float(np.abs(found[output] - values).max()) <= 1e-4 * scale, (network.name, batch, output)


@with_tensors
class TestTensors:
    """CUDA tensors in, CUDA tensors out, in the order of the caller's stream."""

    def test_nothing_goes_through_the_host(self, engine: Engine, truth: Any) -> None:
        import torch

        session = engine.session()
        given = {count: torch.from_numpy(pictures(count)).cuda() for count in (1, 2, 8)}
        for image in given.values():  # captures, compiles
            session.run("estimator", {"image": image})
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            found = {count: session.run("estimator", {"image": image})["heatmaps"] for count, image in given.items()}
        finally:
            torch.cuda.set_sync_debug_mode("default")
        for count, result in found.items():
            assert result.is_cuda
            np.testing.assert_allclose(result.cpu().numpy(), truth(pictures(count)), atol=1e-5)

    @pytest.mark.parametrize("count", [1, 2])
    @pytest.mark.parametrize("on_default", [True, False])
    def test_a_producer_that_is_late(self, engine: Engine, truth: Any, count: int, on_default: bool) -> None:
        import torch

        session, stream = engine.session(), torch.cuda.default_stream() if on_default else torch.cuda.Stream()
        pinned = torch.from_numpy(pictures(count)).pin_memory()
        with torch.cuda.stream(stream):
            given = torch.zeros(pinned.shape, device="cuda")
            for _ in range(3):
                session.run("estimator", {"image": given})
            stream.synchronize()
            torch.cuda._sleep(LATE)
            given.copy_(pinned, non_blocking=True)
            found = session.run("estimator", {"image": given})["heatmaps"]
            assert not stream.query(), "the host did not wait"
            later = found * 2
            given.fill_(7)
            stream.synchronize()
        np.testing.assert_allclose(later.cpu().numpy(), 2 * truth(pictures(count)), atol=2e-5)

    def test_two_threads(self, engine: Engine, truth: Any) -> None:
        import torch

        def work(offset: int) -> float:
            session, stream = engine.session(), torch.cuda.Stream()
            worst = 0.0
            with torch.cuda.stream(stream):
                for seed in range(offset, offset + 20):
                    images = pictures(1 + seed % 8, seed)
                    torch.cuda._sleep(LATE // 50 * (seed % 3))
                    found = session.run("estimator", {"image": torch.from_numpy(images).cuda()})["heatmaps"]
                    worst = max(worst, float(np.abs(found.cpu().numpy() - truth(images)).max()))
            return worst

        with ThreadPoolExecutor(2) as pool:
            assert max(pool.map(work, (0, 100))) < 1e-5

    def test_in_a_graph_of_the_caller(self, engine: Engine, truth: Any) -> None:
        import torch

        session, given = engine.session(), torch.zeros((3, *SHAPE), device="cuda")
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                session.run("estimator", {"image": given})
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            found = session.run("estimator", {"image": given})["heatmaps"]
        for seed in (1, 2):
            given.copy_(torch.from_numpy(pictures(3, seed)))
            graph.replay()
            session.run("estimator", {"image": torch.zeros_like(given)})
            torch.cuda.synchronize()
            np.testing.assert_allclose(found.cpu().numpy(), truth(pictures(3, seed)), atol=1e-5)

    def test_kernels_and_a_network_in_one_graph(self, engine: Engine) -> None:
        """From pictures to joints: one launch for all of it."""
        import torch

        from posert import ops

        rng, session = np.random.default_rng(0), engine.session()
        frames = [torch.from_numpy(rng.integers(0, 256, (3, 300, 200, 3), np.uint8)).cuda() for _ in range(3)]
        boxes = torch.tensor([[10.0, 5, 190, 295]] * 3, device="cuda")
        given = frames[0].clone()

        def joints() -> Any:
            crops, transforms = ops.crop_resize(given, boxes, SHAPE[1:], 127.5, 1 / 127.5)
            maps = session.run("estimator", {"image": crops})["heatmaps"][:, :14].contiguous()
            return ops.decode_heatmaps(maps, "argmax", transforms=transforms)

        stream, expected = torch.cuda.Stream(), []
        with torch.cuda.stream(stream):
            for frame in frames:
                given.copy_(frame)
                expected.append(joints().cpu())
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            found = joints()
        for frame, wanted in zip(frames, expected, strict=True):
            given.copy_(frame)
            graph.replay()
            torch.cuda.synchronize()
            np.testing.assert_array_equal(found.cpu().numpy(), wanted.numpy())

    def test_what_speaks_dlpack(self, engine: Engine, truth: Any) -> None:
        import torch

        class Foreign:
            def __init__(self, tensor: Any) -> None:
                self.tensor = tensor

            def __dlpack__(self, **options: Any) -> Any:
                return self.tensor.__dlpack__(**options)

            def __dlpack_device__(self) -> Any:
                return self.tensor.__dlpack_device__()

        found = engine.session().run("estimator", {"image": Foreign(torch.from_numpy(pictures(2)).cuda())})["heatmaps"]
        np.testing.assert_allclose(found.cpu().numpy(), truth(pictures(2)), atol=1e-5)

    def test_strided_and_empty(self, engine: Engine, truth: Any) -> None:
        import torch

        double = torch.from_numpy(np.repeat(pictures(2), 2, 0)).cuda()[::2]
        found = engine.session().run("estimator", {"image": double})["heatmaps"]
        np.testing.assert_allclose(found.cpu().numpy(), truth(pictures(2)), atol=1e-5)
        empty = engine.session().run("estimator", {"image": double[:0]})["heatmaps"]
        assert (empty.is_cuda, tuple(empty.shape)) == (True, (0, 15, 32, 24))
        with pytest.raises(InputError, match="float32"):
            engine.session().run("estimator", {"image": double.half()})


@with_plans
class TestGraphs:
    """CUDA graphs, which plans are replayed from."""

    def test_equal_to_plain_launches(self, backend: str, monkeypatch: Any) -> None:
        import torch

        rng = np.random.default_rng(0)
        results = []
        for graphs in ("1", "0"):
            monkeypatch.setenv(GRAPHS, graphs)
            with Engine.open("cpm-s", backend=backend, device="cuda") as engine:
                session, rng = engine.session(), np.random.default_rng(0)
                (spec,) = engine.manifest.networks
                shape: Any = spec.inputs[0].shape[1:]
                runs = [torch.from_numpy(rng.uniform(-1, 1, (8, *shape)).astype(np.float32)).cuda() for _ in range(3)]
                results.append([session.run(spec.name, {"image": image})["heatmaps"].cpu().numpy() for image in runs])
                program: Any = engine._program
                assert program.graphs == (graphs == "1"), "no capture failed"
                assert bool(program.captured._idle) == program.graphs
        np.testing.assert_allclose(results[0], results[1], atol=1e-5)

    def test_a_second_start_finds_plans_and_kernels(self, backend: str, monkeypatch: Any, tmp_path: Path) -> None:
        monkeypatch.setenv("POSERT_CACHE", str(tmp_path))
        with Engine.open("cpm-s", backend=backend, device="cuda") as engine:
            assert "plans built here" in engine.explain()
        with Engine.open("cpm-s", backend=backend, device="cuda") as engine:
            assert "plans from posert's cache" in engine.explain()


@with_tensors
class TestPipelines:
    """All steps of a pipeline in one CUDA graph."""

    @staticmethod
    def estimate(engine: Engine, seed: int) -> np.ndarray:
        import torch

        rng = np.random.default_rng(seed)
        images = rng.integers(0, 256, (8, 300, 200, 3), np.uint8)
        boxes = np.float32([10, 5, 190, 295]) + rng.uniform(-3, 3, (8, 4)).astype(np.float32)
        return Estimator(engine).run(torch.from_numpy(images).cuda(), boxes).keypoints

    @staticmethod
    def transfer(engine: Engine, seed: int, prepared: bool) -> np.ndarray:
        import torch

        rng, manifest = np.random.default_rng(seed), engine.manifest
        count, joints, size = 1, len(manifest.skeleton), manifest.preprocess.size
        coarse = torch.from_numpy(rng.uniform(0, 255, (count, 3, 6, 5)).astype(np.float32)).cuda()
        smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 255).to(torch.uint8)
        places = rng.uniform(0.2, 0.8, (2, count, joints, 3)) * (*size[::-1], 1)
        target, source = places.astype(np.float32)
        transfer, pose, pictures = Transfer(engine), Poses(source, skeleton=manifest.skeleton), smooth.permute(0, 2, 3, 1)
        if prepared:
            return transfer.prepare(pictures, pose).run(target).images.cpu().numpy()  # type: ignore[attr-defined, no-any-return]
        return transfer.run(TransferBatch(pictures, target, pose)).images.cpu().numpy()  # type: ignore[attr-defined, no-any-return]

    def compare(self, backend: str, model: str, work: Any, monkeypatch: Any, tolerance: float) -> None:
        """With and without graphs, on inputs of one shape and ever other values."""
        results = []
        for graphs in ("1", "0"):
            monkeypatch.setenv(GRAPHS, graphs)
            with Engine.open(model, backend=backend, device="cuda") as engine:
                program: Any = engine._program
                results.append([work(engine, seed).astype(np.float64) for seed in range(4)])
                assert program.pipelines.enabled == (graphs == "1"), "no capture failed"
                assert len(program.pipelines._idle) == (graphs == "1"), "one graph, which was given back"
        for found, wanted in zip(*results, strict=True):
            np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
            assert np.nanmean(np.abs(found - wanted) > tolerance) < 0.01

    def test_estimation(self, backend: str, monkeypatch: Any) -> None:
        self.compare(backend, "cpm-s", self.estimate, monkeypatch, 1e-2)

    @pytest.mark.parametrize("model", ["pg2-s", "unseen-s"])
    @pytest.mark.parametrize("prepared", [False, True])
    def test_transfer(self, backend: str, model: str, prepared: bool, monkeypatch: Any) -> None:
        def work(engine: Engine, seed: int) -> np.ndarray:
            return self.transfer(engine, seed, prepared)

        self.compare(backend, model, work, monkeypatch, 1)

    def test_one_replay_and_no_wait(self, backend: str, monkeypatch: Any) -> None:
        """A run of shapes that were captured replays one graph, and the host waits for nothing."""
        import torch

        replay, replays = torch.cuda.CUDAGraph.replay, []
        monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: (replays.append(graph), replay(graph))[1])
        with Engine.open("pg2-s", backend=backend, device="cuda") as engine:
            transfer, manifest = Transfer(engine), engine.manifest
            images = torch.full((8, *manifest.preprocess.size, 3), 100, dtype=torch.uint8, device="cuda")
            poses = np.ones((8, len(manifest.skeleton), 3), np.float32) * (20, 30, 1)
            for _ in range(3):
                wanted = transfer.run(TransferBatch(images, poses)).images
            torch.cuda.synchronize()
            replays.clear()
            torch.cuda.set_sync_debug_mode("error")
            try:
                found = transfer.run(TransferBatch(images, poses)).images
            finally:
                torch.cuda.set_sync_debug_mode("default")
            assert len(replays) == 1
            assert torch.equal(found, wanted)  # type: ignore[arg-type]

    def test_two_threads_and_streams(self, backend: str) -> None:
        import torch

        with Engine.open("pg2-s", backend=backend, device="cuda") as engine:
            expected = [self.transfer(engine, seed, False) for seed in range(4)]

            def work(seed: int) -> np.ndarray:
                with torch.cuda.stream(torch.cuda.Stream()):
                    torch.cuda._sleep(LATE // 50 * (seed % 3))
                    return self.transfer(engine, seed % 4, False)

            with ThreadPoolExecutor(2) as pool:
                for seed, found in enumerate(pool.map(work, range(20))):
                    assert (np.abs(found.astype(int) - expected[seed % 4]) > 1).mean() < 0.01

    @pytest.mark.parametrize("model", ["pg2-s"])
    def test_a_refused_capture(self, backend: str, model: str, monkeypatch: Any) -> None:
        """One warning, and the same results step by step."""
        from posert.backends.device import CudaDevice

        with Engine.open(model, backend=backend, device="cuda") as engine:
            expected = self.transfer(engine, 0, False)
            capture = CudaDevice.capture

            def refusing(device: CudaDevice, stream: Any, work: Any) -> Any:
                import torch

                return capture(device, stream, lambda: (work(), torch.cuda.current_stream().synchronize()))  # type: ignore[arg-type, return-value]

            monkeypatch.setattr(CudaDevice, "capture", refusing)
            with pytest.warns(RuntimeWarning, match="pipelines are launched step by step"):
                found = self.transfer(engine, 0, False)
            for images in (found, self.transfer(engine, 0, False)):
                assert (np.abs(images.astype(int) - expected) > 1).mean() < 0.01


@on_gpu
def test_there_is_no_such_gpu(backend: str, tiny_estimator_bundle: Path) -> None:
    from posert import MissingDependency

    with pytest.raises(MissingDependency):
        Engine.open(tiny_estimator_bundle, backend=backend, device="cuda:99")
