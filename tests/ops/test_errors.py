"""Bad input is refused before any work, with a message that says what was given and what is needed."""

import sys
from typing import Any

import numpy as np
import pytest

from posert import _native, ops
from posert.errors import InputError, MissingDependency
from posert.ops import _dispatch

IMAGE = np.zeros((1, 8, 8, 3), np.uint8)
BOX = [(0, 0, 8, 8)]
POINT = np.ones((1, 18, 3), np.float32)
MAPS = np.ones((2, 3, 4, 5), np.float32)
MASK = np.zeros((1, 8, 8), np.uint8)


def crop(images: Any = IMAGE, boxes: Any = BOX, size: Any = (4, 4), mean: Any = 0, scale: Any = 1, **named: Any):
    return lambda: ops.crop_resize(images, boxes, size, mean, scale, **named)


BAD = {
    "image-float": (crop(IMAGE.astype(float)), "image 0 must be uint8 of shape .* got float64"),
    "image-alone": (crop(IMAGE[0]), r"one image is image\[None\]"),
    "image-channels": (crop(np.zeros((1, 8, 8, 4), np.uint8)), r"got uint8 of shape \(8, 8, 4\)"),
    "image-empty": (crop(np.zeros((1, 0, 8, 3), np.uint8)), "image 0 is empty"),
    "image-none": (crop([None]), "image 0 must be uint8 .* got NoneType"),
    "images-text": (crop("photo.jpg"), "got str"),
    "images-number": (crop(3), "got int"),
    "box-shape": (crop(boxes=[(0, 0, 8)]), r"boxes must have shape \(P, 4\)"),
    "box-nan": (crop(boxes=[(0, 0, np.nan, 8)]), "box 0 must be finite"),
    "box-infinite": (crop(boxes=[(0, 0, np.inf, 8)]), "box 0 must be finite"),
    "box-far": (crop(boxes=[(0, 0, 1e20, 8)]), "box 0 must be finite"),
    "box-beyond-float32": (crop(boxes=[(0, 0, 1e300, 8)]), "box 0 must be finite"),
    "box-without-width": (crop(boxes=[(3, 0, 3, 8)]), "x0 < x1 and y0 < y1"),
    "box-backwards": (crop(boxes=[(0, 8, 8, 0)]), "x0 < x1 and y0 < y1"),
    "box-text": (crop(boxes="all"), "boxes must be real numbers"),
    "box-ragged": (crop(boxes=[(1, 2, 3, 4), (1, 2)]), "boxes must be numbers"),
    "boxes-too-many": (crop(boxes=BOX * 2), "2 boxes for 1 images: pass image_index"),
    "index-range": (crop(image_index=[1]), r"image_index must lie in 0\.\.0"),
    "index-negative": (crop(image_index=[-1]), r"image_index must lie in 0\.\.0"),
    "index-float": (crop(image_index=[0.0]), "image_index must be integers"),
    "index-ragged": (crop(image_index=[[0], [0, 1]]), "image_index must be integers"),
    "index-shape": (crop(image_index=[0, 0]), r"image_index must be integers of shape \(1,\)"),
    "size-one": (crop(size=8), r"size must be \(height, width\)"),
    "size-array-of-one": (crop(size=np.array(8)), r"size must be \(height, width\)"),
    "size-array-of-floats": (crop(size=np.array([8.0, 8.0])), "height of size must be an integer"),
    "size-bytes": (crop(size=b"ab"), r"size must be \(height, width\)"),
    "size-zero": (crop(size=(0, 8)), "height of size must be an integer in 1"),
    "size-float": (crop(size=(8.0, 8)), "height of size must be an integer"),
    "size-huge": (crop(size=(1 << 20, 1 << 20)), "must hold at most"),
    "mean-shape": (crop(mean=(1, 2)), "mean must be one finite number or three"),
    "scale-infinite": (crop(scale=np.inf), "scale must be one finite number or three"),
    "flip-number": (crop(flip=1), "flip must be a bool"),
    "flip-ragged": (crop(flip=[[True], [True, False]]), "flip must be a bool"),
    "flip-shape": (crop(flip=[True, False]), r"flip must be a bool or bools of shape \(1,\)"),
    "fill-nan": (crop(fill=np.nan), "fill must be a finite number"),
    "channels-list": (crop(channels=["rgb"]), "'rgb' or 'bgr'"),
    "channels": (crop(channels="rbg"), "'rgb' or 'bgr', got 'rbg'"),
    "to-uint8-dtype": (lambda: ops.to_uint8(np.zeros((1, 3, 4, 4))), "images must be float32 .* got float64"),
    "to-uint8-channels": (lambda: ops.to_uint8(np.zeros((1, 4, 4, 3), np.float32)), r"shape \(N, 3, H, W\)"),
    "to-uint8-list": (lambda: ops.to_uint8([1.0]), "got list"),
    "points-rank": (lambda: ops.rasterize_discs(POINT[0], (8, 8)), r"keypoints must have shape \(N, K, 3\)"),
    "points-two": (lambda: ops.rasterize_discs(POINT[..., :2], (8, 8)), r"keypoints must have shape \(N, K, 3\)"),
    "points-infinite": (lambda: ops.rasterize_discs(POINT * np.inf, (8, 8)), "hold an infinite value"),
    "points-beyond-float32": (lambda: ops.rasterize_discs(POINT * np.float64(1e300), (8, 8)), "hold an infinite value"),
    "points-complex": (lambda: ops.rasterize_discs(POINT * 1j, (8, 8)), "must be real numbers"),
    "points-objects": (lambda: ops.pose_mask([[None] * 3] * 18, (8, 8)), "must be real numbers"),
    "radius-negative": (lambda: ops.rasterize_discs(POINT, (8, 8), -1), r"radius must be an integer in 0\.\."),
    "radius-float": (lambda: ops.rasterize_discs(POINT, (8, 8), 4.0), "radius must be an integer"),
    "low-nan": (lambda: ops.rasterize_discs(POINT, (8, 8), low=np.nan), "low must be a finite number"),
    "low-text": (lambda: ops.rasterize_discs(POINT, (8, 8), low="0"), "low must be a number"),
    "previous-alone": (lambda: ops.rasterize_discs(POINT, (8, 8), previous=POINT), "needs out"),
    "previous-shape": (
        lambda: ops.rasterize_discs(POINT, (8, 8), previous=POINT[:, :3], out=np.zeros((1, 18, 8, 8), np.float32)),
        "previous must have the shape of keypoints",
    ),
    "sigma-zero": (lambda: ops.rasterize_gaussians(POINT, (8, 8), 0), "sigma must be a finite positive number"),
    "sigma-infinite": (lambda: ops.rasterize_gaussians(POINT, (8, 8), np.inf), "sigma must be a finite positive number"),
    "stride-zero": (lambda: ops.rasterize_gaussians(POINT, (8, 8), 1, 0), "stride must be an integer in 1"),
    "cutoff-negative": (lambda: ops.rasterize_gaussians(POINT, (8, 8), 1, cutoff=-1), "cutoff must be a finite positive number"),
    "cutoff-zero": (lambda: ops.rasterize_gaussians(POINT, (8, 8), 1, cutoff=0), "cutoff must be a finite positive number"),
    "mask-joints": (lambda: ops.pose_mask(POINT[:, :14], (8, 8)), "the default limbs need COCO-18 keypoints"),
    "mask-limbs-shape": (lambda: ops.pose_mask(POINT, (8, 8), [(1, 2, 3)]), "limbs must be pairs"),
    "mask-limbs-ragged": (lambda: ops.pose_mask(POINT, (8, 8), [(1, 2), (1,)]), "limbs must be pairs"),
    "mask-limbs-negative": (lambda: ops.pose_mask(POINT, (8, 8), [(-1, 2)]), r"limbs name the joints -1\.\.2"),
    "mask-limbs-float": (lambda: ops.pose_mask(POINT, (8, 8), [(0.0, 2)]), "limbs must be pairs"),
    "mask-radius": (lambda: ops.pose_mask(POINT, (8, 8), radius=0), "radius must be an integer in 1"),
    "mask-closing": (lambda: ops.pose_mask(POINT, (8, 8), closing=4), "closing must be odd .* use 3 or 5"),
    "morphology-even": (lambda: ops.closing(MASK, 4), "size must be odd .* use 3 or 5"),
    "morphology-zero": (lambda: ops.dilate(MASK, 0), "size must be an integer in 1"),
    "morphology-bool": (lambda: ops.erode(MASK.astype(bool), 3), "mask must be uint8 .* got bool"),
    "morphology-rank": (lambda: ops.erode(MASK[0], 3), r"shape \(N, H, W\) or \(N, 1, H, W\)"),
    "morphology-channels": (lambda: ops.opening(np.zeros((1, 3, 8, 8), np.uint8), 3), r"\(N, 1, H, W\)"),
    "morphology-out-of-fewer-items": (
        lambda: ops.opening(np.zeros((3, 8, 8), np.uint8)[1:], 3, out=MASK),
        "out must be a writable",
    ),
    "maps-double": (lambda: ops.decode_heatmaps(MAPS.astype(float)), "heatmaps must be float32 .* got float64"),
    "maps-rank": (lambda: ops.decode_heatmaps(MAPS[0]), r"shape \(N, K, h, w\)"),
    "method-array": (lambda: ops.decode_heatmaps(MAPS, np.array(["argmax", "quarter"])), "unknown method"),
    "method": (lambda: ops.decode_heatmaps(MAPS, "quarters"), "unknown method 'quarters'; use one of argmax, quarter"),
    "decode-stride": (lambda: ops.decode_heatmaps(MAPS, stride=0), "stride must be an integer in 1"),
    "decode-window": (lambda: ops.decode_heatmaps(MAPS, window=6), "window must be odd"),
    "decode-beta": (lambda: ops.decode_heatmaps(MAPS, beta=0), "beta must be a finite positive number"),
    "decode-transforms": (lambda: ops.decode_heatmaps(MAPS, transforms=np.eye(3)), r"of shape \(2, 2, 3\)"),
    "decode-transforms-nan": (lambda: ops.decode_heatmaps(MAPS, transforms=np.full((2, 2, 3), np.nan)), "must be finite"),
    "backend": (lambda: ops.closing(MASK, 3, backend="cuda"), "unknown backend 'cuda' .* native, triton, reference"),
    "backend-list": (lambda: ops.closing(MASK, 3, backend=[]), r"unknown backend \[\]"),
    "explain-list": (lambda: ops.explain([]), r"unknown operation \[\]"),
    "explain": (lambda: ops.explain("crop_resise"), "did you mean crop_resize"),
    "explain-far": (lambda: ops.explain("fft"), "known: crop_resize"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str):
    function, message = BAD[name]
    with pytest.raises(InputError, match=message):
        function()


def test_out_that_overlaps_the_mask_in_part():
    masks = np.zeros((3, 8, 8), np.uint8)
    with pytest.raises(InputError, match="shares memory"):
        ops.opening(masks[:2], 3, out=masks[1:])


def test_out_that_overlaps_the_previous_keypoints():
    memory = np.zeros(POINT.size + 18 * 8 * 8, np.float32)
    previous = memory[: POINT.size].reshape(POINT.shape)
    out = memory[-18 * 8 * 8 - 1 : -1].reshape(1, 18, 8, 8)
    with pytest.raises(InputError, match="shares memory"):
        ops.rasterize_discs(POINT, (8, 8), previous=previous, out=out)


FLOATS, BYTES = np.zeros((1, 3, 4, 4), np.float32), np.zeros((1, 1, 4, 4), np.uint8)
THREE = POINT[:, :3].copy()
LIMBS = np.zeros((1, 2), np.int32)
UNALIGNED = np.frombuffer(bytes(4 * FLOATS.size + 1), np.float32, FLOATS.size, 1).reshape(FLOATS.shape)
REFUSED_BY_NATIVE = {
    "disc-radius": (lambda: _native.rasterize_discs(THREE, -1, 0, 1, None, FLOATS), "radius: out of range"),
    "mask-radius": (lambda: _native.pose_mask(THREE, LIMBS, 0, 5, BYTES), "radius: out of range"),
    "mask-closing": (lambda: _native.pose_mask(THREE, LIMBS, 4, 4, BYTES), "closing: is not odd"),
    "morphology-even": (lambda: _native.morphology(_native.Morphology.ERODE, BYTES[0], 2, BYTES[0].copy()), "size: is not odd"),
    "morphology-negative": (lambda: _native.morphology(_native.Morphology.ERODE, BYTES[0], -3, BYTES[0].copy()), "size: is not"),
    "decode-window": (
        lambda: _native.decode_heatmaps(FLOATS, _native.Decode.SOFTARGMAX, 8, None, 1.0, 4, THREE.copy()),
        "window: is not odd",
    ),
    "decode-stride": (
        lambda: _native.decode_heatmaps(FLOATS, _native.Decode.ARGMAX, 0, None, 1.0, 7, THREE.copy()),
        "stride: out of range",
    ),
    "unaligned": (lambda: _native.to_uint8(UNALIGNED, np.zeros((1, 4, 4, 3), np.uint8)), "images: is not aligned"),
}


@pytest.mark.parametrize("name", REFUSED_BY_NATIVE)
def test_native_module_by_itself_refuses(name: str):
    function, message = REFUSED_BY_NATIVE[name]
    with pytest.raises(ValueError, match=message):
        function()


@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (0, 0)])
def test_native_module_by_itself_takes_planes_without_pixels(shape: tuple[int, int]):
    planes, mask = np.zeros((1, 3, *shape), np.float32), np.zeros((1, 1, *shape), np.uint8)
    three, box = np.ones(3, np.float32), np.array(BOX, np.float32)
    _native.crop_resize([IMAGE[0]], box, np.zeros(1, np.int64), np.zeros(1, bool), three, three, None, False, planes)
    _native.to_uint8(planes, np.zeros((1, *shape, 3), np.uint8))
    _native.rasterize_discs(THREE, 4, 0, 1, None, planes)
    _native.rasterize_discs(THREE, 4, 0, 1, THREE, planes)
    _native.rasterize_gaussians(THREE, 2.0, 1.0, 0.0, None, False, planes)
    _native.pose_mask(THREE, LIMBS, 4, 5, mask)
    _native.morphology(_native.Morphology.CLOSING, mask[0], 5, mask[0].copy())
    for method in _native.Decode.__members__.values():
        found = THREE.copy()
        _native.decode_heatmaps(planes, method, 8, None, 1.0, 7, found)
        assert (found[..., 2] == 0).all()


def test_empty_lists_are_no_people():
    batch, transforms = ops.crop_resize([], [], (4, 6), 0, 1)
    assert (batch.shape, transforms.shape) == ((0, 3, 4, 6), (0, 2, 3))
    batch, _ = ops.crop_resize(IMAGE, [], (4, 6), 0, 1, image_index=[])
    assert batch.shape == (0, 3, 4, 6)


def test_without_the_compiled_module(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "posert._native", None)  # an import of it now fails
    caches = (_dispatch.native_module, _dispatch.find_implementation)
    for cache in caches:
        cache.cache_clear()
    try:
        assert "reference" in ops.explain("closing").splitlines()[0]
        assert ops.closing(MASK, 3).shape == MASK.shape
        for call in (lambda: ops.closing(MASK, 3, backend="native"), ops.get_num_threads):
            with pytest.raises(MissingDependency, match="pip install"):
                call()
    finally:
        for cache in caches:
            cache.cache_clear()


def test_explain():
    for name in _dispatch.OPERATIONS:
        backend = "reference" if name in _dispatch.NUMPY_ONLY else "native"
        assert ops.explain(name).startswith(f"{name}: {backend}\n")
