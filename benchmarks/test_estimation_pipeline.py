"""Estimation, in images a second, beside what a user would write with OpenCV, NumPy and the same engine.

    pytest benchmarks/test_estimation_pipeline.py --benchmark-only

Every peer does the same work on the same images with the same network and the same number of threads, and its result is compared
before it is timed: posert's with the loop's, the others' with posert's. `extra_info` holds images a second, and for posert the
median milliseconds of each step.
"""

from __future__ import annotations

from typing import Any

import machine
import numpy as np
import pytest
from pipelines import BATCHES, Peer, TorchSession, measure, open_engine, photos

import posert
from posert import Engine, Estimator

pytestmark = pytest.mark.usefixtures("all_threads")

PHOTO = (360, 270)  # height, width: about what LSP's photos have


@pytest.fixture(scope="module", params=["cpm-s", "structured-s", "adversarial-s", "cpm-m", "structured-m", "adversarial-m"])
def estimation(request):
    with open_engine(request.param) as engine:
        yield engine


class PosertEstimator:
    def __init__(self, engine: Engine) -> None:
        self.estimator = Estimator(engine)
        self.stage_ms: dict[str, float] = {}

    def __call__(self, images: np.ndarray) -> np.ndarray:
        keypoints = self.estimator.run(images).keypoints
        self.stage_ms = self.estimator.stage_ms
        return keypoints


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


ESTIMATORS = (
    Peer("posert", PosertEstimator),
    Peer("loop: cv2 + numpy + the same engine", LoopEstimator),
    Peer("torch: cv2 + numpy + torch eager", lambda engine: LoopEstimator(engine, TorchSession(engine.manifest.name))),
)


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
    measure(benchmark, peer, work, lambda: work(images), batch)
    gmac = estimation.manifest.metrics.get("cost", {}).get("GMAC a picture")
    if gmac and "images_per_second" in benchmark.extra_info:
        gflops = 2 * gmac * benchmark.extra_info["images_per_second"]
        peak = machine.measure_gemm(posert.get_num_threads())
        benchmark.extra_info |= {"gflop_per_s": round(gflops, 1), "share_of_gemm_peak": round(gflops / peak, 4)}
