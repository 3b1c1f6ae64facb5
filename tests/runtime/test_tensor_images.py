"""Pictures that are CUDA tensors go through the pipelines where they lie; in Triton's interpreter CPU tensors play that part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import backends
import numpy as np
import pytest

from posert import Engine, Estimator, InputError, Poses, Transfer, TransferBatch
from posert.backends import CANDIDATES, ON_REQUEST, missing
from posert.images import check_images
from posert.ops import _tensors

torch = pytest.importorskip("torch", reason="tensors are torch's; pip install posert[gpu]")
pytest.importorskip("onnx", reason="torch runs ONNX files; pip install posert[torch]")

KDL_CPU = 1  # DLPack's number for the CPU


def needs_kernels(test: Any) -> Any:
    return test if backends.INTERPRETED else pytest.mark.gpu(test)


@pytest.fixture
def place(monkeypatch: Any) -> str:
    if not backends.INTERPRETED:
        return "cuda"
    monkeypatch.setattr(_tensors, "CUDA_DEVICES", (KDL_CPU,))
    return "cpu"


@pytest.fixture(params=["torch"] if backends.INTERPRETED else ["torch", "tensorrt_rtx", "tensorrt"])
def open_engine(request: Any, place: str) -> Iterator[Any]:
    engines = []
    candidate = next(c for c in (*CANDIDATES, *ON_REQUEST) if (c.backend, c.device) == (request.param, place))
    reason = missing(candidate)
    if reason is not None:
        pytest.skip(reason)

    def open_engine(name: Any) -> Engine:
        engine = Engine.open(name, backend=request.param, device=place)
        if place == "cpu":
            engine.cuda_device = engine._program.tensors = "cuda:0"  # type: ignore[union-attr]
        engines.append(engine)
        return engine

    yield open_engine
    for engine in engines:
        engine.close()


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth colours: a bilinear sample is then no matter of the last bit."""
    rng = np.random.default_rng(seed)
    small = torch.from_numpy(rng.uniform(0, 255, (1, 3, 6, 5)).astype(np.float32))
    large = torch.nn.functional.interpolate(small, (height, width), mode="bicubic")[0].clamp(0, 255)
    return np.ascontiguousarray(large.permute(1, 2, 0).numpy().astype(np.uint8))


def same_people(found: Poses, wanted: Poses) -> None:
    np.testing.assert_array_equal(found.image_index, wanted.image_index)
    np.testing.assert_allclose(found.keypoints, wanted.keypoints, atol=2e-2)


@pytest.mark.parametrize("options", [{"flip_test": True, "scales": (0.9, 1.1)}, {"rotation_test": True}], ids=str)
@needs_kernels
def test_estimator(open_engine: Any, place: str, tiny_estimator_bundle: Path, options: Any) -> None:
    images = [picture(seed, *size) for seed, size in enumerate([(60, 40), (48, 64)])]
    boxes = [[], [(0, 0, 50, 48)]] if "scales" in options else [[(5, 5, 35, 55)], [(0, 0, 50, 48)]]
    estimator = Estimator(open_engine(tiny_estimator_bundle), **options)
    wanted = estimator.run(images, boxes, color="bgr")
    found = estimator.run([torch.from_numpy(image).to(place) for image in images], boxes, color="bgr")
    same_people(found, wanted)


@needs_kernels
def test_one_tensor_of_all_images(open_engine: Any, place: str, tiny_estimator_bundle: Path) -> None:
    images = np.stack([picture(seed, 60, 40) for seed in range(2)])
    estimator = Estimator(open_engine(tiny_estimator_bundle))
    same_people(estimator.run(torch.from_numpy(images).to(place)), estimator.run(images))


@needs_kernels
def test_everybody(open_engine: Any, place: str, tiny_crowd_bundle: Path) -> None:
    image = np.zeros((192, 256, 3), np.uint8)
    image[88:96, 64:72, 0] = image[96:104, 176:184, 0] = 255
    estimator = Estimator(open_engine(tiny_crowd_bundle))
    wanted = estimator.run(image[None])
    assert len(wanted) == 2
    same_people(estimator.run(torch.from_numpy(image[None]).to(place)), wanted)


@needs_kernels
def test_transfer(open_engine: Any, place: str, tiny_transfer_bundle: Path) -> None:
    images = [picture(seed, *size) for seed, size in enumerate([(128, 64), (70, 60)])]
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(10, 60, (2, 18, 2)), np.ones((2, 18, 1))], 2).astype(np.float32)
    source = Poses(joints, skeleton="coco18")
    transfer = Transfer(open_engine(tiny_transfer_bundle))
    color: Any = "bgr"
    wanted = transfer.run(TransferBatch(images, joints, source), color=color)
    tensors = [torch.from_numpy(image).to(place) for image in images]
    found = transfer.run(TransferBatch(tensors, joints, source), color=color)
    prepared = transfer.prepare(tensors, source, color=color)
    for result in (found, prepared.run(joints)):
        close(result, wanted, place)
    close(prepared.run(joints, [1, 1]), transfer.prepare(images, source, color=color).run(joints, [1, 1]), place)
    explained = prepared.explain(joints)
    assert all(isinstance(one, np.ndarray) for one in explained.values())
    np.testing.assert_allclose(explained["image"].astype(int), wanted.images.astype(int), atol=1)


@needs_kernels
def test_unseen(open_engine: Any, place: str) -> None:
    """The embedded model, whose steps between the networks are the most."""
    images = np.stack([picture(seed, 256, 256) for seed in range(1)])
    engine = open_engine("unseen-s")
    rng = np.random.default_rng(0)
    joints = np.concatenate([rng.uniform(60, 190, (1, 14, 2)), np.ones((1, 14, 1))], 2).astype(np.float32)
    source = Poses(joints, skeleton=engine.manifest.skeleton)
    transfer = Transfer(engine)
    wanted = transfer.run(TransferBatch(images, joints + np.float32([4, 2, 0]), source))
    tensors = torch.from_numpy(images).to(place)
    found = transfer.run(TransferBatch(tensors, joints + np.float32([4, 2, 0]), source))
    close(found, wanted, place)
    prepared = transfer.prepare(tensors, source)
    assert isinstance(prepared.backgrounds(), torch.Tensor)


def close(result: Any, wanted: Any, place: str) -> None:
    """The same pictures but for the rounding of a level here and there, as tensors."""
    for name in ("images", "coarse", "mask"):
        one, other = getattr(result, name), getattr(wanted, name)
        if other is None:
            assert one is None
            continue
        assert isinstance(one, torch.Tensor)
        assert one.device.type == place
        assert one.is_contiguous()
        difference = np.abs(one.cpu().numpy().astype(int) - other.astype(int))
        assert difference.max() <= 1, name
        assert (difference > 0).mean() < 0.02, name


@needs_kernels
def test_nobody(open_engine: Any, place: str, tiny_transfer_bundle: Path) -> None:
    none = torch.zeros((0, 128, 64, 3), dtype=torch.uint8, device=place)
    found = Transfer(open_engine(tiny_transfer_bundle)).run(TransferBatch(none, np.zeros((0, 18, 3), np.float32)))
    assert found.images.shape == (0, 128, 64, 3)


class Elsewhere:
    """A picture of another library in the memory of a GPU."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 1


def test_images_of_two_kinds() -> None:
    with pytest.raises(InputError, match="some are CUDA tensors and some are not"):
        check_images([np.zeros((4, 4, 3), np.uint8), Elsewhere()])


def test_images_that_the_engine_cannot_reach(tiny_estimator_bundle: Path) -> None:
    from posert.engine import check_place

    with Engine.open(tiny_estimator_bundle, backend="onnxruntime", device="cpu") as engine:
        with pytest.raises(InputError, match=r"lie on cuda:1, and .*onnxruntime.* takes NumPy arrays.*device='cuda:1'"):
            check_place(engine, [Elsewhere()])
        engine.cuda_device = "cuda:0"
        with pytest.raises(InputError, match=r"lie on cuda:1, and .* runs on cuda:0; move them there"):
            check_place(engine, [Elsewhere()])
        check_place(engine, [])
        check_place(engine, [np.zeros((4, 4, 3), np.uint8)])


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        (lambda: torch.zeros(4, 4, 3, dtype=torch.uint8), "for a single image give image"),
        (lambda: torch.zeros(1, 4, 4, 3), "image 0 is float32"),
        (lambda: torch.zeros(4, 4, dtype=torch.uint8), "an array of shape"),
        (lambda: torch.zeros(1, 0, 4, 3, dtype=torch.uint8), "no pixels"),
    ],
)
def test_tensors_that_are_no_images(monkeypatch: Any, tensor: Any, match: str) -> None:
    monkeypatch.setattr(_tensors, "CUDA_DEVICES", (KDL_CPU,))
    with pytest.raises(InputError, match=match):
        check_images(tensor())
