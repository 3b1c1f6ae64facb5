"""Both pipelines, in images a second, beside what a user would write with OpenCV, NumPy and the same engine.

    pytest benchmarks/test_pipelines.py --benchmark-only

Every peer does the same work on the same images with the same network and the same number of threads, and its result is compared
before it is timed: posert's with the loop's, the others' with posert's. `extra_info` holds images a second, and for posert the
median milliseconds of each step.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import machine
import numpy as np
import pytest

import posert
from posert import Engine, Estimator, Transfer, TransferBatch, zoo
from posert.media.images import read_image

BATCHES = (1, 8, 32)
PHOTO = (360, 270)  # height, width: about what LSP's photos have
LEAST_ROUNDS = 5


class Peer(NamedTuple):
    """One way to do the work of a pipeline.

    Attributes:
        name: shown in the table.
        make: from an open engine, a function that does the work on its arguments and returns the result.
        stages: from what `make` returned, the steps of its latest run in milliseconds, where it knows them.
    """

    name: str
    make: Callable[[Engine], Callable[..., Any]]
    stages: Callable[[Any], dict[str, float]] = lambda work: {}


EXTRA = Path(__file__).resolve().parents[1] / "zoo-extra"


def open_engine(name: str) -> Engine:
    if name in zoo.names():
        return Engine.open(name)
    if machine.SHORT:
        pytest.skip("a short run, which tries the embedded models")
    return Engine.open(EXTRA / f"{name}.posert")


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """OpenCV and torch on as many threads as posert."""
    with machine.threads(posert.get_num_threads()):
        yield


@pytest.fixture(scope="module", params=["cpm-s", "structured-s", "adversarial-s", "cpm-m", "structured-m", "adversarial-m"])
def estimation(request):
    with open_engine(request.param) as engine:
        yield engine


@pytest.fixture(scope="module")
def transfer():
    with open_engine("pg2-s") as engine:
        yield engine


def photos(count: int, height: int, width: int) -> np.ndarray:
    """The example pictures again and again, each of one person, uint8 (N, H, W, 3)."""
    cv2 = pytest.importorskip("cv2")
    paths = sorted((Path(posert.__file__).parent / "examples").glob("*.jpg"), reverse=True)  # who faces the camera comes first
    pictures = [cv2.resize(read_image(path), (width, height), interpolation=cv2.INTER_AREA) for path in paths]
    return np.stack([pictures[i % len(pictures)] for i in range(count)])


class TorchSession:
    """The same network in torch eager, float32, in the place of an engine's session."""

    def __init__(self, name: str) -> None:
        reason = "torch eager needs torch and the zoo's weights; pip install posert[export]"
        pytest.importorskip("torch", reason=reason)
        self.networks = {part.name: part for part in pytest.importorskip("export.recipes", reason=reason).load(name).networks}

    def run(self, network: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self.networks[network].run_reference(inputs)


class PosertEstimator:
    def __init__(self, engine: Engine) -> None:
        self.estimator = Estimator(engine)
        self.warmup = self.estimator.warmup

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self.estimator.run(images).keypoints


class LoopEstimator:
    """cv2.warpAffine and NumPy a person, the same engine, numpy.argmax and a sub-cell offset a joint."""

    def __init__(self, engine: Engine, session: Any = None) -> None:
        self.cv2 = pytest.importorskip("cv2")
        self.manifest, self.session = engine.manifest, session or engine.session()

    def crop(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pre = self.manifest.preprocess
        (height, width), (h, w) = image.shape[:2], pre.size
        scale = max(width / w, height / h)
        matrix = np.float32([[scale, 0, (width - w * scale + scale - 1) / 2], [0, scale, (height - h * scale + scale - 1) / 2]])
        flags = self.cv2.INTER_LINEAR | self.cv2.WARP_INVERSE_MAP
        border = {"borderMode": self.cv2.BORDER_CONSTANT, "borderValue": [pre.fill or 0] * 3}
        warped = self.cv2.warpAffine(image, matrix, (w, h), flags=flags, **border)
        warped = warped if pre.channels == "rgb" else warped[..., ::-1]
        return ((warped.astype(np.float32) - np.float32(pre.mean)) * np.float32(pre.scale)).transpose(2, 0, 1), matrix

    def peak(self, cells: np.ndarray) -> tuple[np.ndarray, float]:
        """x, y in cells by the model's own method, and the score."""
        y, x = np.unravel_index(np.argmax(cells), cells.shape)
        score, place, method = cells[y, x], np.array([x, y], np.float32), self.manifest.postprocess.method
        if method == "quarter" and 0 < x < cells.shape[1] - 1 and 0 < y < cells.shape[0] - 1:
            place += 0.25 * np.sign([cells[y, x + 1] - cells[y, x - 1], cells[y + 1, x] - cells[y - 1, x]])
        elif method == "softargmax":
            top, left = max(y - 3, 0), max(x - 3, 0)
            weights = np.exp(10 * (cells[top : y + 4, left : x + 4] - score))
            rows, columns = np.indices(weights.shape)
            place[:] = np.array([(weights * columns).sum(), (weights * rows).sum()]) / weights.sum() + (left, top)
        return place, score

    def __call__(self, images: np.ndarray) -> np.ndarray:
        crops, matrices = zip(*(self.crop(image) for image in images), strict=True)
        heatmaps = self.session.run("estimator", {"image": np.stack(crops)})["heatmaps"]
        joints, stride = len(self.manifest.skeleton), self.manifest.postprocess.stride
        result = np.zeros((len(images), joints, 3), np.float32)
        for person, maps in enumerate(heatmaps):
            for joint in range(joints):
                place, score = self.peak(maps[joint])
                network = stride * place + (stride - 1) / 2
                result[person, joint, :2] = matrices[person][:, :2] @ network + matrices[person][:, 2]
                result[person, joint, 2] = min(score, 1)
        return result


class PosertTransfer:
    def __init__(self, engine: Engine) -> None:
        self.transfer = Transfer(engine)
        self.warmup = self.transfer.warmup
        self.stage_ms: dict[str, float] = {}

    def __call__(self, images: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        result = self.transfer.run(TransferBatch(images, target))
        self.stage_ms = result.stage_ms
        return result.images, result.mask


class LoopTransfer:
    """NumPy a person and cv2.circle a joint, the same engine, NumPy back to 8 bits, cv2 for the mask."""

    def __init__(self, engine: Engine, session: Any = None) -> None:
        self.cv2 = pytest.importorskip("cv2")
        self.manifest, self.session = engine.manifest, session or engine.session()

    def mask(self, points: np.ndarray) -> np.ndarray:
        post = self.manifest.postprocess
        mask = np.zeros(self.manifest.preprocess.size, np.uint8)
        for a, b in posert.ops.PG2_LIMBS:
            if points[a, 2] > 0 and points[b, 2] > 0:
                ends = (tuple(int(v) for v in points[joint, :2]) for joint in (a, b))
                self.cv2.line(mask, *ends, 1, 2 * post.mask_radius - 1)  # the closest to the definition, see test_pose_mask
        square = np.ones((post.mask_closing, post.mask_closing), np.uint8)
        return self.cv2.morphologyEx(mask, self.cv2.MORPH_CLOSE, square)

    def __call__(self, images: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pre = self.manifest.preprocess
        batch = []
        for image, points in zip(images, target, strict=True):
            picture = (image.astype(np.float32) - np.float32(pre.mean)) * np.float32(pre.scale)
            planes = np.full((len(points), *pre.size), -1, np.float32)
            for plane, (x, y, score) in zip(planes, points, strict=True):
                if score > 0:
                    self.cv2.circle(plane, (int(x), int(y)), pre.radius, 1, -1)
            batch.append(np.concatenate([picture.transpose(2, 0, 1), planes]))
        outputs = self.session.run("generator", {"input": np.stack(batch)})
        masks = np.stack([self.mask(points) for points in target])
        pictures = [((outputs[name] + 1) * 127.5).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1) for name in outputs]
        return np.ascontiguousarray(dict(zip(outputs, pictures, strict=True))["image"]), masks


ESTIMATORS = (
    Peer("posert", PosertEstimator, lambda work: work.estimator.stage_ms),
    Peer("loop: cv2 + numpy + the same engine", LoopEstimator),
    Peer("torch: cv2 + numpy + torch eager", lambda engine: LoopEstimator(engine, TorchSession(engine.manifest.name))),
)
TRANSFERS = (
    Peer("posert", PosertTransfer, lambda work: work.stage_ms),
    Peer("loop: cv2 + numpy + the same engine", LoopTransfer),
    Peer("torch: cv2 + numpy + torch eager", lambda engine: LoopTransfer(engine, TorchSession("pg2-s"))),
)


def measure(benchmark: Any, peer: Peer, work: Callable[..., Any], *arguments: np.ndarray) -> None:
    """Time one peer, and note images a second and the median of each step over all rounds."""
    steps: dict[str, list[float]] = {}

    def run() -> None:
        work(*arguments)
        for name, ms in peer.stages(work).items():
            steps.setdefault(name, []).append(ms)

    machine.run_rounds(benchmark, run, LEAST_ROUNDS)
    benchmark.extra_info |= {
        **{"peer": peer.name, "batch": len(arguments[0]), "threads": posert.get_num_threads()},
        "stage_ms": {name: round(statistics.median(values), 4) for name, values in steps.items()},
    }
    if benchmark.stats is not None:
        benchmark.extra_info["images_per_second"] = round(len(arguments[0]) / benchmark.stats.stats.median, 2)


@pytest.mark.parametrize("peer", ESTIMATORS, ids=lambda peer: peer.name.partition(":")[0])
@pytest.mark.parametrize("batch", BATCHES)
def test_estimation(benchmark, estimation, batch, peer):
    if machine.SHORT and (estimation.manifest.name, batch) != ("cpm-s", 1) and batch != 8:
        pytest.skip("a short run, which tries one batch of every model")
    benchmark.group = f"estimation with {estimation.manifest.name}, batch {batch}"
    images = photos(batch, *PHOTO)
    work = peer.make(estimation)
    # Half a heatmap cell: where two cells are nearly alike, cv2's fixed-point interpolation may decide between them otherwise.
    wanted = (LoopEstimator if peer.name == "posert" else PosertEstimator)(estimation)(images)
    found = work(images)
    near = np.abs(found[..., :2] - wanted[..., :2]).max(-1) < estimation.manifest.postprocess.stride
    seen = np.minimum(found[..., 2], wanted[..., 2]) > 0.3  # posert's scores are calibrated, the loop's are not
    assert seen.any(), "nothing was found, so nothing can be compared"
    assert near[seen].mean() > 0.95
    measure(benchmark, peer, work, images)
    gmac = estimation.manifest.metrics.get("cost", {}).get("GMAC a picture")
    if gmac and "images_per_second" in benchmark.extra_info:
        gflops = 2 * gmac * benchmark.extra_info["images_per_second"]
        peak = machine.measure_gemm(posert.get_num_threads())
        benchmark.extra_info |= {"gflop_per_s": round(gflops, 1), "share_of_gemm_peak": round(gflops / peak, 4)}


@pytest.mark.parametrize("peer", TRANSFERS, ids=lambda peer: peer.name.partition(":")[0])
@pytest.mark.parametrize("batch", BATCHES)
def test_transfer(benchmark, transfer, batch, peer):
    benchmark.group = f"transfer with pg2-s, batch {batch}"
    height, width = transfer.manifest.preprocess.size
    images = photos(batch, height, width)
    rng = np.random.default_rng(1)
    target = (rng.uniform(0, 1, (batch, len(transfer.manifest.skeleton), 3)) * [width, height, 0.5] + [0, 0, 0.5]).astype(
        np.float32
    )
    work = peer.make(transfer)
    pictures, masks = work(images, target)
    wanted, wanted_masks = (LoopTransfer if peer.name == "posert" else PosertTransfer)(transfer)(images, target)
    # cv2.circle's disc of radius 4 is not the network's own (specs K1), so only nearly the same picture can be asked for.
    assert np.abs(pictures.astype(int) - wanted).mean() < 8
    # Nor is a thick line a chain of discs: intersection over union.
    assert (masks & wanted_masks).sum() / (masks | wanted_masks).sum() > 0.9
    measure(benchmark, peer, work, images, target)
