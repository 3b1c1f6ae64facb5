"""Pipelines in one CUDA graph: GPU, package and kernels are played (fake_gpu, fake_tensorrt, fake_operations)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="graphs work in torch's memory: pip install posert[gpu]")
pytest.importorskip("onnx", reason="the fake reads ONNX files: pip install posert[torch]")

import fake_operations  # noqa: E402
import fake_tensorrt  # noqa: E402
from fake_gpu import FakeDevice  # noqa: E402

from posert import Engine, Estimator, ExecutionError, InputError, Poses, Transfer, TransferBatch  # noqa: E402
from posert.backends.pipeline_graphs import GRAPHS, KEPT, PipelineGraphs  # noqa: E402

BACKENDS = ("tensorrt", "torch")
Opened = Callable[..., Engine]


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture(params=BACKENDS)
def opened(request: Any, device: FakeDevice, monkeypatch: Any, tmp_path: Path) -> Iterator[Opened]:
    """Opens engines of a backend on the played GPU."""
    monkeypatch.setenv("POSERT_CACHE", str(tmp_path / "cache"))
    if request.param == "tensorrt":
        fake_tensorrt.install(monkeypatch, "tensorrt").device = device
    engines = []

    def open_engine(name: Any) -> Engine:
        with fake_operations.aside():
            engine = Engine.open(name, backend=request.param, device="cuda" if request.param == "tensorrt" else "cpu")
        if request.param == "torch":
            program: Any = engine._program
            program.tensors = engine.cuda_device = device.name
            program.pipelines = PipelineGraphs(device)
        engines.append(engine)
        return engine

    with fake_operations.installed(device, monkeypatch):
        yield open_engine
        device.fail.clear()
        for engine in engines:
            engine.close()


def whole(device: FakeDevice) -> list[Any]:
    """The graphs that hold more than a network."""
    return [graph for graph in device.graphs if len(graph.work) > 1]


def pictures(count: int, seed: int = 0, height: int = 60, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def blobs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images with something bright in each, and boxes around it."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 40, (count, 60, 40, 3), np.uint8)
    for image, (x, y) in zip(images, rng.integers(8, 30, (count, 2)), strict=True):
        image[y : y + 6, x : x + 5, 0] = 250
    return images, (np.float32([2, 3, 38, 57]) + rng.uniform(-2, 2, (count, 4))).astype(np.float32)


def tensors(images: np.ndarray) -> Any:
    return torch.from_numpy(images)


def same_people(found: Poses, wanted: Poses) -> None:
    np.testing.assert_array_equal(found.image_index, wanted.image_index)
    np.testing.assert_allclose(found.keypoints, wanted.keypoints, atol=1e-4)


class TestEstimator:
    @pytest.mark.parametrize("options", [{}, {"rotation_test": True}], ids=["once", "turned"])
    @pytest.mark.parametrize("color", ["rgb", "bgr"])
    def test_one_replay_a_batch(
        self, opened: Opened, device: FakeDevice, tiny_estimator_bundle: Path, options: Any, color: Any
    ) -> None:
        engine = opened(tiny_estimator_bundle)
        with Engine.open(tiny_estimator_bundle, backend="onnxruntime", device="cpu") as cpu:
            truth, estimator = Estimator(cpu, **options), Estimator(engine, **options)
            looks = 4 if options else 1
            for attempt in range(4):
                images, boxes = blobs(3, attempt)
                found = estimator.run(tensors(images), boxes, color=color)
                same_people(found, truth.run(images, boxes, color=color))
                assert len(whole(device)) == (looks if attempt else 0), "shapes that come again are captured"
                assert list(estimator.stage_ms) == (["graph", "decode"] if attempt else ["crop", "network", "decode"])
            assert [graph.replays for graph in whole(device)] == [3] * looks

    def test_several_people_an_image_and_what_has_no_graph(
        self, opened: Opened, device: FakeDevice, tiny_estimator_bundle: Path
    ) -> None:
        images, _ = blobs(2)
        people = [[(2, 3, 38, 57), (4, 3, 36, 55)], [(0, 5, 38, 57)]]
        engine = opened(tiny_estimator_bundle)
        estimator, flipping = Estimator(engine), Estimator(engine, flip_test=True)
        truth = Estimator(tiny_estimator_bundle, backend="onnxruntime", device="cpu").run(images, people)
        for _ in range(3):
            same_people(estimator.run(list(tensors(images)), people), truth)  # a list of equal ones is as good as one tensor
        assert [graph.replays for graph in whole(device)] == [2]
        for _ in range(3):
            flipping.run(tensors(images), people)  # the host averages
            estimator.run([tensors(images[0]), tensors(images[1, :50])], people)  # sizes differ
            estimator.run(tensors(images), [people[0], []])  # two people: no batch of the bundle
            estimator.run(images, people)  # arrays
        assert [graph.replays for graph in whole(device)] == [2]

    def test_more_than_the_largest_batch(self, opened: Opened, device: FakeDevice, tiny_estimator_bundle: Path) -> None:
        estimator = Estimator(opened(tiny_estimator_bundle))
        truth = Estimator(tiny_estimator_bundle, backend="onnxruntime", device="cpu")
        for attempt in range(3):
            images, boxes = blobs(17, attempt)
            same_people(estimator.run(tensors(images), boxes), truth.run(images, boxes))
        assert sorted(graph.replays for graph in whole(device)) == [2, 5], "one person, and twice eight, the second captured"

    def test_warmup(self, opened: Opened, device: FakeDevice, tiny_estimator_bundle: Path) -> None:
        estimator = Estimator(opened(tiny_estimator_bundle))
        estimator.warmup([1, 3], image_size=(60, 40))
        captured = len(device.graphs)
        assert len(whole(device)) == 2
        images, boxes = blobs(3)
        estimator.run(tensors(images), boxes)
        assert len(device.graphs) == captured
        with pytest.raises(InputError, match="image_size must be height and width"):
            estimator.warmup(image_size=(60, 0))


def target(count: int, joints: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.2, 0.8, (count, joints, 2)) * size[::-1]
    return np.concatenate([places, np.ones((count, joints, 1))], 2).astype(np.float32)


def same_pictures(found: Any, wanted: Any) -> None:
    for name in ("images", "coarse", "mask"):
        one, other = getattr(found, name), getattr(wanted, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert isinstance(one, torch.Tensor)
            difference = np.abs(one.cpu().numpy().astype(int) - other.astype(int))
            assert difference.max() <= 1, name
            assert (difference > 0).mean() < 0.02, name


class TestTransfer:
    @pytest.mark.parametrize("color", ["rgb", "bgr"])
    def test_pg2(self, opened: Opened, device: FakeDevice, tiny_transfer_bundle: Path, color: Any) -> None:
        transfer = Transfer(opened(tiny_transfer_bundle))
        truth = Transfer(tiny_transfer_bundle, backend="onnxruntime", device="cpu")
        for attempt in range(4):
            images, poses = pictures(3, attempt, 128, 64), target(3, 18, (128, 64), attempt)
            found = transfer.run(TransferBatch(tensors(images), poses), color=color)
            same_pictures(found, truth.run(TransferBatch(images, poses), color=color))
        assert [graph.replays for graph in whole(device)] == [3]
        assert list(found.stage_ms) == ["graph"]

    def test_prepared_sources(self, opened: Opened, device: FakeDevice, tiny_transfer_bundle: Path) -> None:
        transfer = Transfer(opened(tiny_transfer_bundle))
        truth = Transfer(tiny_transfer_bundle, backend="onnxruntime", device="cpu")
        images = pictures(4, 0, 128, 64)
        prepared, wanted = transfer.prepare(tensors(images)), truth.prepare(images)
        for attempt, index in enumerate(([0, 1, 2], [3, 3, 3], [1, 2, 3], [2, 0, 3])):
            poses = target(3, 18, (128, 64), attempt)
            same_pictures(prepared.run(poses, index), wanted.run(poses, index))
        assert [graph.replays for graph in whole(device)] == [3]

    def test_unseen(self, opened: Opened, device: FakeDevice) -> None:
        """The embedded model: three networks, and the most steps between them."""
        engine = opened("unseen-s")
        transfer, size = Transfer(engine), engine.manifest.preprocess.size
        truth = Transfer("unseen-s", backend="onnxruntime", device="cpu")
        skeleton = engine.manifest.skeleton
        for attempt in range(3):
            images = np.repeat(np.repeat(pictures(1, attempt, size[0] // 16, size[1] // 16), 16, 1), 16, 2)
            source = Poses(target(1, 14, size, attempt), skeleton=skeleton)
            poses = target(1, 14, size, attempt + 10)
            wanted = truth.run(TransferBatch(images, poses, source))
            same_pictures(transfer.run(TransferBatch(tensors(images), poses, source)), wanted)
            same_pictures(transfer.prepare(tensors(images), source).run(poses), wanted)
        assert [graph.replays for graph in whole(device)] == [2, 2]

    def test_warmup(self, opened: Opened, device: FakeDevice, tiny_transfer_bundle: Path) -> None:
        transfer = Transfer(opened(tiny_transfer_bundle))
        transfer.warmup([3], image_size=(256, 128))
        assert len(whole(device)) == 2
        transfer.run(TransferBatch(tensors(pictures(3, 0, 256, 128)), target(3, 18, (256, 128))))
        assert len(whole(device)) == 2


class TestGraphs:
    """What holds for the graphs of all pipelines."""

    @pytest.fixture
    def poses(self) -> np.ndarray:
        return target(3, 18, (128, 64))

    @pytest.fixture
    def wanted(self, tiny_transfer_bundle: Path, poses: np.ndarray) -> Callable[[int], Any]:
        truth = Transfer(tiny_transfer_bundle, backend="onnxruntime", device="cpu")
        return lambda seed: truth.run(TransferBatch(pictures(3, seed, 128, 64), poses))

    @staticmethod
    def run(transfer: Transfer, poses: np.ndarray, seed: int) -> Any:
        return transfer.run(TransferBatch(tensors(pictures(3, seed, 128, 64)), poses))

    def run_some(self, transfer: Transfer, poses: np.ndarray, wanted: Callable[[int], Any]) -> None:
        for seed in range(3):
            same_pictures(self.run(transfer, poses, seed), wanted(seed))

    @pytest.mark.parametrize("fault", ["capture", "no room", "a copy from the host", "the host waits"])
    def test_a_failed_capture(
        self,
        opened: Opened,
        device: FakeDevice,
        tiny_transfer_bundle: Path,
        poses: Any,
        wanted: Any,
        fault: str,
        monkeypatch: Any,
    ) -> None:
        """One warning, and the same results from then on."""
        transfer = Transfer(opened(tiny_transfer_bundle))
        self.run(transfer, poses, 0)
        if fault == "capture":
            device.fail["capture"] = RuntimeError("CUDA error: operation not permitted when stream is capturing")
        elif fault == "no room":
            device.fail["capture"] = torch.OutOfMemoryError("CUDA out of memory")
        else:
            redrawing: Any = transfer._redrawing()
            draw = redrawing.draw

            def wrong(sources: Any, given: Any, drawn: Any, watch: Any) -> None:
                draw(sources, {"target": torch.from_numpy(poses)} if "copy" in fault else given, drawn, watch)
                if "waits" in fault:
                    drawn.mask.cpu()

            monkeypatch.setattr(redrawing, "draw", wrong)
        with pytest.warns(RuntimeWarning, match="pipelines are launched step by step.*POSERT_CUDA_GRAPHS=0") as caught:
            self.run_some(transfer, poses, wanted)
        assert len(caught) == 1
        assert whole(device) == []

    def test_switched_off(
        self, opened: Opened, device: FakeDevice, tiny_transfer_bundle: Path, poses: Any, wanted: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setenv(GRAPHS, "0")
        transfer = Transfer(opened(tiny_transfer_bundle))
        self.run_some(transfer, poses, wanted)
        assert device.graphs == []

    def test_where_networks_have_no_graphs(
        self, opened: Opened, device: FakeDevice, tiny_transfer_bundle: Path, poses: Any, wanted: Any
    ) -> None:
        engine = opened(tiny_transfer_bundle)
        transfer, program = Transfer(engine), engine._program
        if engine.backend == "torch":
            pytest.skip("torch has no graphs of networks")
        device.fail["capture"] = RuntimeError("CUDA error: operation not permitted")
        with pytest.warns(RuntimeWarning, match="kernel by kernel") as caught:
            self.run_some(transfer, poses, wanted)
        assert len(caught) == 1, "pipelines are not tried"
        assert not program.graphs  # type: ignore[union-attr]

    def test_a_producer_that_is_late(
        self, opened: Opened, device: FakeDevice, tiny_transfer_bundle: Path, poses: Any, wanted: Any
    ) -> None:
        """Images are read, and results written, in the order of the caller's stream, whichever that is."""
        transfer = Transfer(opened(tiny_transfer_bundle))
        streams = [device.default, device.new_stream(), device.new_stream()]
        kept = []
        for seed in range(6):
            with device.using(streams[seed % 3]):
                images = tensors(np.zeros((3, 128, 64, 3), np.uint8))
                images.copy_(tensors(pictures(3, seed, 128, 64)))
                result = transfer.run(TransferBatch(images, poses))
                images.fill_(7)  # the caller uses the memory for something else, in order
                kept.append((seed, result))
        assert [graph.replays for graph in whole(device)] == [5]
        device.synchronize()  # all streams in turn
        for seed, result in kept:
            same_pictures(result, wanted(seed))

    def test_two_threads(
        self, opened: Opened, device: FakeDevice, tiny_transfer_bundle: Path, poses: Any, wanted: Any, monkeypatch: Any
    ) -> None:
        transfer = Transfer(opened(tiny_transfer_bundle))
        self.run(transfer, poses, 0)

        def work(offset: int) -> list[tuple[int, Any]]:
            with device.using(device.new_stream()), fake_operations.playing(device):
                return [(seed, self.run(transfer, poses, seed)) for seed in range(offset, offset + 6)]

        with ThreadPoolExecutor(2) as pool:
            results = [pair for pairs in pool.map(work, (0, 10)) for pair in pairs]
        device.synchronize()
        for seed, result in results:
            same_pictures(result, wanted(seed))
        assert 1 <= len(whole(device)) <= 2

    def test_the_caller_captures(self, opened: Opened, device: FakeDevice, tiny_transfer_bundle: Path, poses: Any) -> None:
        """No replay goes into a graph of the caller's."""
        transfer = Transfer(opened(tiny_transfer_bundle))
        for seed in range(2):
            self.run(transfer, poses, seed)
        prepared = transfer.prepare(tensors(pictures(3, 0, 128, 64)))
        for _ in range(2):
            prepared.run(poses)
        replays = [graph.replays for graph in whole(device)]
        with pytest.raises(RuntimeError, match="a copy from the host"):
            device.capture(device.new_stream(), lambda: prepared.run(poses))
        assert [graph.replays for graph in whole(device)] == replays

    def test_few_are_kept(self, opened: Opened, device: FakeDevice, tiny_estimator_bundle: Path) -> None:
        """Those that were used longest ago go; images of ever other sizes are never captured."""
        engine = opened(tiny_estimator_bundle)
        pipelines: Any = engine._program.pipelines  # type: ignore[union-attr]
        estimator = Estimator(engine)

        def run(height: int) -> None:
            estimator.run(tensors(pictures(1, height, height, 40)))

        for height in range(40, 40 + KEPT + 1):
            for _ in range(2):
                run(height)
            run(40)
        assert len(pipelines._idle) == KEPT
        captured = len(whole(device))
        run(40)
        run(40 + KEPT)
        assert len(whole(device)) == captured, "both are there"
        run(41)
        run(41)
        assert len(whole(device)) == captured + 1, "this one was dropped"
        for height in [*range(60, 70), *range(60, 70)]:
            run(height)
        assert len(whole(device)) == captured + 1
        assert len(pipelines._idle) == KEPT

    def test_what_goes_wrong_in_a_replay(
        self, opened: Opened, device: FakeDevice, tiny_transfer_bundle: Path, poses: Any, wanted: Any
    ) -> None:
        """A named error; the graph is dropped, and the engine goes on."""
        engine = opened(tiny_transfer_bundle)
        transfer = Transfer(engine)
        for seed in range(2):
            self.run(transfer, poses, seed)
        device.fail["copy"] = RuntimeError("CUDA error: an illegal memory access was encountered")
        with pytest.raises(ExecutionError, match=r"cuda:0 failed in a pipeline's CUDA graph: .*illegal memory access"):
            self.run(transfer, poses, 2)
        device.fail.clear()
        assert engine._program.pipelines._idle == []  # type: ignore[union-attr]
        same_pictures(self.run(transfer, poses, 3), wanted(3))
        engine.close()
        with pytest.raises(ExecutionError, match="closed"):
            self.run(transfer, poses, 4)


def test_warm_ups_see_real_inputs(device: FakeDevice) -> None:
    """A kernel may go wrong with numbers that are none; and what is late on the caller's stream comes before the warm-ups."""
    graphs, seen = PipelineGraphs(device), []

    def work(given: Any) -> dict[str, Any]:
        device.current().add(lambda: seen.append([given[name].flatten().tolist() for name in ("late", "numbers", "pair")]))
        return {"late": given["late"]}

    runner: Any = SimpleNamespace(dedicated=lambda work: (work, None))
    late = device.empty((1, 2), "float32")
    pair = [device.own(torch.full((2,), value, dtype=torch.uint8)) for value in (3, 4)]
    with device.using(device.new_stream()):
        for value in (5.0, 6.0):
            device.current().add(partial(late.fill_, value))
            found = graphs.run("work", {"late": late, "numbers": np.int64([value]), "pair": pair}, runner, work)
        device.synchronize(device.current())
    assert seen == [[[6, 6], [6], [3, 3, 4, 4]]] * 3, "twice to warm up, once replayed"
    assert found is not None
    assert found["late"].tolist() == [[6, 6]]
