"""Pictures as tensors: lists of them, layouts that need no copy, and values that nobody looks at."""

import backends
import numpy as np
import pytest

from posert import ops
from posert.errors import InputError
from posert.ops import _tensors

torch = pytest.importorskip("torch", reason="tensors are torch's; pip install posert[gpu]")

pytestmark = [] if backends.INTERPRETED else [pytest.mark.gpu]

RNG = np.random.default_rng(5)
IMAGES = [RNG.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((9, 7), (1, 12), (20, 5))]
BOXES = np.array([(-2, 1, 6.5, 8), (0, 0, 12, 1), (1, -3, 4, 30), (0.25, 0.5, 7, 9)], np.float32)
INDEX = np.array([0, 1, 2, 0])
FLIP = np.array([True, False, False, True])
SETTINGS = {"size": (6, 5), "mean": (1.0, 2.0, 3.0), "scale": (0.5, 0.25, 0.125)}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    if backends.INTERPRETED:
        monkeypatch.setattr(_tensors, "CUDA_DEVICES", (1,))  # DLPack's number for the CPU
    return "cpu" if backends.INTERPRETED else "cuda"


def tensors(device: str) -> "list[torch.Tensor]":
    """The images, of which one has rows with gaps, and one pixels with gaps."""
    wide = torch.zeros((20, 8, 3), dtype=torch.uint8, device=device)[:, :5]
    apart = torch.zeros((9, 14, 3), dtype=torch.uint8, device=device)[:, ::2]
    result = [apart, torch.empty((1, 12, 3), dtype=torch.uint8, device=device), wide]
    for tensor, image in zip(result, IMAGES, strict=True):
        tensor.copy_(torch.from_numpy(image))
    return result


@pytest.mark.parametrize("fill", [None, 20.0])
def test_a_list_of_tensors_of_any_sizes(device: str, fill: float | None):
    wanted = ops.crop_resize(IMAGES, BOXES, **SETTINGS, image_index=INDEX, flip=FLIP, fill=fill, backend="reference")
    for on_device in (np.asarray, lambda array: torch.from_numpy(array).to(device)):
        boxes, index, flip = (on_device(array) for array in (BOXES, INDEX, FLIP))
        given = ops.crop_resize(tensors(device), boxes, **SETTINGS, image_index=index, flip=flip, fill=fill)
        for result, expected in zip(given, wanted, strict=True):
            assert result.device.type == device
            np.testing.assert_allclose(result.cpu().numpy(), expected, rtol=0, atol=1e-4)


def test_one_tensor_with_one_flip_for_all(device: str):
    images = np.stack([IMAGES[0]] * len(BOXES))
    wanted = ops.crop_resize(images, BOXES, **SETTINGS, flip=True, backend="reference")
    stacked = torch.from_numpy(images).to(device)
    for flip in (True, torch.tensor(True, device=device)):
        for result, expected in zip(ops.crop_resize(stacked, BOXES, **SETTINGS, flip=flip), wanted, strict=True):
            np.testing.assert_allclose(result.cpu().numpy(), expected, rtol=0, atol=1e-4)


def test_what_an_array_would_be_refused_for_gives_nan(device: str):
    good = (0, 0, 4, 4)
    boxes = [good, good, good, (3, 0, 3, 4), (4, 0, 0, 4), (0, np.nan, 4, 4), (0, 0, np.inf, 4), (-2e9, 0, 4, 4), good]
    index = torch.tensor([-1, 3, 2**40, 0, 1, 2, 0, 1, 2], device=device)
    batch, transforms = ops.crop_resize(tensors(device), torch.tensor(boxes, device=device), **SETTINGS, image_index=index)
    assert torch.isnan(batch[:-1]).all()
    assert torch.isnan(transforms[:-1]).all()
    assert torch.isfinite(batch[-1]).all()
    assert torch.isfinite(transforms[-1]).all()


def test_no_images_at_all(device: str):
    none = torch.zeros((0, 4, 4, 3), dtype=torch.uint8, device=device)
    boxes, index = torch.tensor([(0, 0, 4, 4)], device=device), torch.tensor([0], device=device)
    for images in (none, []):
        assert torch.isnan(ops.crop_resize(images, boxes, **SETTINGS, image_index=index)[0]).all()


def test_boxes_far_away_and_far_apart(device: str):
    """float32 has no digits left behind the point at such places; the positions have."""
    image = RNG.integers(0, 256, (1, 4, 3000, 3), dtype=np.uint8)
    boxes = np.array([(2000.3, 0.1, 2900.7, 3.9), (-1e9, -1e9, 1e9, 1e9), (-99999.9, 0, 100001, 4)], np.float32)
    arguments = {"size": (3, 700), "mean": 0, "scale": 1, "image_index": np.zeros(3, np.int64)}
    wanted = ops.crop_resize(image, boxes, **arguments, backend="reference")[0]
    given = ops.crop_resize(torch.from_numpy(image).to(device), boxes, **arguments)[0]
    np.testing.assert_allclose(given.cpu().numpy(), wanted, rtol=0, atol=1e-4)


def test_refusals(device: str):
    images, boxes = tensors(device), torch.from_numpy(BOXES).to(device)
    with pytest.raises(InputError, match=r"image 1 must be uint8 of shape .* got float32"):
        ops.crop_resize([images[0], images[1].float()], boxes, **SETTINGS)
    with pytest.raises(InputError, match=r"one image is image\[None\]"):
        ops.crop_resize(images[0], boxes, **SETTINGS)
    with pytest.raises(InputError, match=r"image_index must be integers .* got float32"):
        ops.crop_resize(images, boxes, **SETTINGS, image_index=boxes[:, 0])
    with pytest.raises(InputError, match=r"flip must be a bool or bools .* got uint8"):
        ops.crop_resize(images, boxes, **SETTINGS, image_index=INDEX, flip=images[0][0, 0])
    with pytest.raises(InputError, match="mean must be one number or three of the host"):
        ops.crop_resize(images, boxes, (6, 5), boxes[0, :3], 1.0, image_index=INDEX)


@pytest.mark.skipif(backends.INTERPRETED, reason="graphs are captured on GPUs")
def test_a_list_cannot_be_captured(device: str):
    arguments = {"image_index": torch.from_numpy(INDEX).to(device), **SETTINGS}
    images, boxes = tensors(device), torch.from_numpy(BOXES).to(device)
    ops.crop_resize(images, boxes, **arguments)  # compiles
    with torch.cuda.graph(torch.cuda.CUDAGraph()), pytest.raises(InputError, match="stack the images"):
        ops.crop_resize(images, boxes, **arguments)


def test_a_transform_that_is_not_finite_shows_nothing(device: str):
    image, masks = torch.ones((1, 2, 9, 8), device=device), torch.ones((1, 4, 9, 8), device=device)
    matrices = torch.tensor([[(1, 0, 0), (0, 1, 0)]] * 4, dtype=torch.float32, device=device)[None]
    matrices[0, 1, 0, 0] = torch.nan
    matrices[0, 2, 1, 2] = torch.inf
    matrices[0, 3, 0, 1] = -torch.inf
    layers = ops.warp_parts(image, masks, matrices)
    assert (layers[0, 0] == 1).all()
    assert (layers[0, 1:] == 0).all()


def test_one_picture_behind_and_in_many_poses(device: str):
    """Expanded tensors, whose items coincide, are read where they lie."""
    picture = torch.from_numpy(RNG.uniform(-1, 1, (1, 3, 9, 8)).astype(np.float32)).to(device)
    masks = torch.from_numpy(RNG.uniform(0, 1, (4, 1, 9, 8)).astype(np.float32)).to(device)
    matrices = np.tile(np.array([[1, 0.25, -0.5], [0, 0.75, 1]], np.float32), (4, 1, 1, 1))
    many = picture.expand(4, 3, 9, 8)
    host = many.cpu().numpy()
    layers = ops.warp_parts(many, masks, torch.from_numpy(matrices).to(device))
    wanted = ops.warp_parts(host, masks.cpu().numpy(), matrices, backend="reference")
    np.testing.assert_allclose(layers.cpu().numpy(), wanted, rtol=0, atol=1e-5)
    blend = ops.composite(layers[:, 0], many, masks, as_uint8=True, channels="bgr")
    wanted = ops.composite(layers[:, 0].cpu().numpy(), host, masks.cpu().numpy(), as_uint8=True, channels="bgr")
    np.testing.assert_array_equal(blend.cpu().numpy(), wanted)
