"""Transfer with Unseen Poses, in images a second, beside what a user would write around the same networks.

    pytest benchmarks/test_unseen_pipeline.py --benchmark-only

The loop has OpenCV and NumPy between the same engine's networks; torch has its own operators (grid_sample) between networks in
torch eager. Every result is compared before it is timed: posert's with the loop's, the others' with posert's. With cached sources
every peer is timed without what it does for the source alone: segmentation and background.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import machine
import numpy as np
import pytest
import test_composite as compositing
import test_part_masks as masking
import test_rasterize_gaussians as gaussians
import test_warp_parts as warping
from pipelines import BATCHES, Peer, TorchSession, measure, open_engine, photos

from posert import Engine, Estimator, Poses, Transfer, TransferBatch, ops
from posert.redrawing.unseen import POSE_SIGMA
from posert.transfer import PreparedSource

pytestmark = pytest.mark.usefixtures("all_threads")

MODEL = "unseen-s"


@pytest.fixture(scope="module")
def engine():
    with open_engine(MODEL) as engine:
        yield engine


@pytest.fixture(scope="module")
def people(engine):
    """Photographs of the network's size, uint8 (32, H, W, 3), and the CPM-14 joints of who is in them."""
    images = photos(max(BATCHES), *engine.manifest.preprocess.size)
    with Estimator("cpm-s") as find:
        return images, find.run(images).convert("cpm14").keypoints


class PosertTransfer:
    def __init__(self, engine: Engine) -> None:
        self.transfer = Transfer(engine)
        self.stage_ms: dict[str, float] = {}

    def prepare(self, images: np.ndarray, pose: np.ndarray) -> PreparedSource:
        return self.transfer.prepare(images, Poses(pose, skeleton="cpm14"))

    def draw(self, sources: PreparedSource, target: np.ndarray) -> np.ndarray:
        result = sources.run(target)
        self.stage_ms = result.stage_ms
        return result.images

    def run(self, images: np.ndarray, pose: np.ndarray, target: np.ndarray) -> np.ndarray:
        result = self.transfer.run(TransferBatch(images, target, Poses(pose, skeleton="cpm14")))
        self.stage_ms = result.stage_ms
        return result.images


class Kernels(NamedTuple):
    """What somebody would write in the place of posert's kernels; see the benchmarks of those."""

    gaussians: Callable[..., None]
    masks: Callable[..., None]
    warp: Callable[..., None]
    composite: Callable[..., None]


OPENCV = Kernels(gaussians.numpy_loop, masking.numpy_way, warping.opencv_loop, compositing.numpy_way)
TORCH = Kernels(gaussians.torch_separable, masking.torch_way, warping.torch_grid_sample, compositing.torch_way)


class Sources(NamedTuple):
    pictures: np.ndarray
    joints: np.ndarray
    parts: np.ndarray
    backgrounds: np.ndarray


class OwnTransfer:
    """The networks of a session with somebody's own kernels between them."""

    def __init__(self, engine: Engine, kernels: Kernels, session: Any = None) -> None:
        self.kernels, self.session, self.largest = kernels, session or engine.session(), engine.manifest.batch_sizes[-1]
        self.power = engine.manifest.postprocess.part_power

    def network(self, name: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Run one, at most the bundle's largest batch at once."""
        count = len(inputs["image"])
        parts = [slice(start, start + self.largest) for start in range(0, count, self.largest)]
        found = [self.session.run(name, {key: array[part] for key, array in inputs.items()}) for part in parts]
        return {key: np.concatenate([result[key] for result in found]) for key in found[0]}

    def maps(self, joints: np.ndarray) -> np.ndarray:
        out = np.empty((*joints.shape[:2], warping.SIDE // 2, warping.SIDE // 2), np.float32)
        middles = joints + np.float32([0.5, 0.5, 0])  # these kernels' cells have their middles half a pixel further
        self.kernels.gaussians(middles, out, size=out.shape[2:], sigma=POSE_SIGMA, stride=2, cutoff=None)
        return out

    def prepare(self, images: np.ndarray, pose: np.ndarray) -> Sources:
        pictures = np.ascontiguousarray((images.astype(np.float32) / np.float32(127.5) - 1).transpose(0, 3, 1, 2))
        maps, parts = self.maps(pose), np.empty((len(images), 11, *pictures.shape[2:]), np.float32)
        self.kernels.masks(self.network("segmentation", image=pictures, pose=maps)["logits"], pose, parts, self.power)
        masked = np.concatenate([pictures * parts[:, :1], parts[:, :1]], 1)
        return Sources(pictures, pose, parts, self.network("background", image=masked, pose=maps)["background"])

    def draw(self, sources: Sources, target: np.ndarray) -> np.ndarray:
        transforms = ops.part_transforms(target, sources.joints, backend="reference")
        layers = np.empty((len(target), 10, *sources.pictures.shape[1:]), np.float32)
        self.kernels.warp(
            SimpleNamespace(image=sources.pictures, masks=sources.parts[:, 1:], transforms=transforms[:, 1:], out=layers)
        )
        made = self.network("foreground", image=layers.reshape(len(target), -1, *layers.shape[3:]), pose=self.maps(target))
        pictures = np.empty((len(target), *layers.shape[3:], 3), np.uint8)
        parts = SimpleNamespace(foreground=made["foreground"], background=sources.backgrounds, mask=made["mask"])
        self.kernels.composite(parts, pictures)
        return pictures

    def run(self, images: np.ndarray, pose: np.ndarray, target: np.ndarray) -> np.ndarray:
        return self.draw(self.prepare(images, pose), target)


PEERS = (
    Peer("posert", PosertTransfer),
    Peer("loop: cv2 + numpy + the same engine", lambda engine: OwnTransfer(engine, OPENCV)),
    Peer("torch: grid_sample + torch eager", lambda engine: OwnTransfer(engine, TORCH, TorchSession(MODEL))),
)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name.partition(":")[0])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("cached", [False, True], ids=["all", "cached"])
def test_transfer(benchmark, engine, people, cached, batch, peer):
    if machine.SHORT and batch != 1:
        pytest.skip("a short run, which tries one batch")
    benchmark.group = f"transfer with {MODEL}, {'cached sources, ' if cached else ''}batch {batch}"
    images, joints = (array[:batch] for array in people)
    target = np.roll(people[1], 1, 0)[:batch]  # the pose of the next photograph's person
    worker = peer.make(engine)
    sources = worker.prepare(images, joints)
    pictures = worker.draw(sources, target) if cached else worker.run(images, joints, target)
    other = PEERS[1] if peer.name == "posert" else PEERS[0]
    wanted = other.make(engine).run(images, joints, target)
    # OpenCV warps in 32nds of a pixel and has no border, so single pixels may differ.
    assert np.abs(pictures.astype(int) - wanted).mean() < 0.5
    work = (lambda: worker.draw(sources, target)) if cached else (lambda: worker.run(images, joints, target))
    measure(benchmark, peer, worker, work, batch)
