"""Bad input of the operations on body parts and layers is refused before any work."""

from typing import Any

import numpy as np
import pytest

from posert import _native, ops
from posert.errors import InputError
from posert.ops import _check

POINTS = np.ones((2, 14, 3), np.float32)
LOGITS = np.zeros((2, 11, 6, 5), np.float32)
IMAGE = np.zeros((2, 3, 6, 5), np.float32)
MASKS = np.zeros((2, 4, 6, 5), np.float32)
MATRICES = np.zeros((2, 4, 2, 3), np.float32)
ALPHA = np.zeros((2, 1, 6, 5), np.float32)


def warp(image: Any = IMAGE, masks: Any = MASKS, matrices: Any = MATRICES, **named: Any):
    return lambda: ops.warp_parts(image, masks, matrices, **named)


def blend(foreground: Any = IMAGE, background: Any = IMAGE, mask: Any = ALPHA, **named: Any):
    return lambda: ops.composite(foreground, background, mask, **named)


def spoiled(value: float) -> np.ndarray:
    matrices = MATRICES.copy()
    matrices[1, 2, 1, 1] = value
    return matrices


BAD = {
    "priors-joints": (lambda: ops.limb_priors(np.ones((2, 18, 3)), (8, 8)), r"keypoints must have shape \(N, 14, 3\)"),
    "priors-infinite": (lambda: ops.limb_priors(POINTS * np.inf, (8, 8)), "hold an infinite value"),
    "priors-size": (lambda: ops.limb_priors(POINTS, (8, 0)), "width of size must be an integer in 1"),
    "priors-out": (lambda: ops.limb_priors(POINTS, (6, 5), out=MASKS), r"float32 array of shape \(2, 11, 6, 5\)"),
    "logits-double": (lambda: ops.part_masks(LOGITS.astype(float), POINTS), "logits must be float32 .* got float64"),
    "logits-list": (lambda: ops.part_masks([1.0], POINTS), "logits must be float32 .* got list"),
    "logits-layers": (
        lambda: ops.part_masks(LOGITS[:, 1:], POINTS),
        r"\(N = 2, 11, H, W\), got float32 of shape \(2, 10, 6, 5\)",
    ),
    "logits-people": (lambda: ops.part_masks(LOGITS[:1], POINTS), r"logits must be float32 of shape \(N = 2, 11, H, W\)"),
    "power": (lambda: ops.part_masks(LOGITS, POINTS, power=0), "power must be an integer in 1"),
    "power-half": (lambda: ops.part_masks(LOGITS, POINTS, power=1.5), "power must be an integer in 1"),
    "logits-empty": (lambda: ops.part_masks(LOGITS[..., :0], POINTS), "logits hold no pixels"),
    "transforms-joints": (lambda: ops.part_transforms(POINTS[:, :9], POINTS), r"target must have shape \(N, 14, 3\)"),
    "transforms-source": (lambda: ops.part_transforms(POINTS, POINTS[0]), r"source must have shape \(N, 14, 3\)"),
    "transforms-people": (lambda: ops.part_transforms(POINTS, POINTS[:1]), "got 2 and 1; .* pass np.broadcast_to"),
    "transforms-infinite": (lambda: ops.part_transforms(POINTS, POINTS * np.inf), "source hold an infinite value"),
    "warp-image-bytes": (warp(IMAGE.astype(np.uint8)), "image must be float32 .* got uint8"),
    "warp-image-rank": (warp(IMAGE[0]), r"image must be float32 of shape \(N, C, H, W\)"),
    "warp-no-channels": (warp(IMAGE[:, :0]), "image must hold channels and pixels"),
    "warp-masks-size": (warp(masks=MASKS[..., 1:]), r"masks must be float32 of shape \(N, P, H, W\) = \(2, P, 6, 5\)"),
    "warp-masks-items": (warp(masks=MASKS[:1]), r"masks must be float32 .* got float32 of shape \(1, 4, 6, 5\)"),
    "warp-matrices-shape": (
        warp(matrices=MATRICES[:, 1:]),
        r"of shape \(N, P, 2, 3\) = \(2, 4, 2, 3\), got shape \(2, 3, 2, 3\)",
    ),
    "warp-matrices-nan": (warp(matrices=spoiled(np.nan)), "transforms must be finite .* with NaN or infinite values"),
    "warp-matrices-infinite": (warp(matrices=spoiled(-np.inf)), "with NaN or infinite values"),
    "warp-matrices-text": (warp(matrices="identity"), "transforms must be real numbers"),
    "warp-threshold-negative": (warp(visible_above=-1e-3), "visible_above must be at least 0"),
    "warp-threshold-nan": (warp(visible_above=np.nan), "visible_above must be a finite number"),
    "composite-channels": (blend(MASKS), r"foreground must be float32 of shape \(N, 3, H, W\)"),
    "composite-double": (blend(IMAGE.astype(float)), "foreground must be float32 .* got float64"),
    "composite-background": (blend(background=IMAGE[:1]), r"background must be .* \(2, 3, 6, 5\), got float32 of shape \(1, 3"),
    "composite-mask": (blend(mask=ALPHA[:, 0]), r"mask must be float32 of shape \(N, 1, H, W\) = \(2, 1, 6, 5\)"),
    "composite-order": (blend(channels="brg"), "unknown channels 'brg'; use one of rgb, bgr"),
    "composite-out": (blend(as_uint8=True, out=IMAGE.copy()), r"writable uint8 array of shape \(2, 6, 5, 3\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str):
    function, message = BAD[name]
    with pytest.raises(InputError, match=message):
        function()


def test_a_warp_of_too_many_pixels(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_check, "MAX_PIXELS", 89)  # 10 x 9 with the border
    with pytest.raises(InputError, match="at most 89 pixels with a border of 2, got 6 x 5"):
        warp()()


LAYERS = np.zeros((2, 4, 3, 6, 5), np.float32)
REFUSED_BY_NATIVE = {
    "priors-joints": (lambda: _native.limb_priors(POINTS[:, :13].copy(), LOGITS), "keypoints: wrong shape"),
    "priors-layers": (lambda: _native.limb_priors(POINTS, MASKS), "out: wrong shape"),
    "masks-logits": (lambda: _native.part_masks(MASKS, POINTS, 1, LOGITS), "logits: wrong shape"),
    "masks-power": (lambda: _native.part_masks(LOGITS, POINTS, 0, LOGITS.copy()), "power: out of range"),
    "warp-image": (lambda: _native.warp_parts(IMAGE[:, :2], MASKS, MATRICES, 0.0, LAYERS), "image: wrong shape"),
    "warp-masks": (lambda: _native.warp_parts(IMAGE, LOGITS, MATRICES, 0.0, LAYERS), "masks: wrong shape"),
    "warp-matrices": (lambda: _native.warp_parts(IMAGE, MASKS, MATRICES[:1], 0.0, LAYERS), "transforms: wrong shape"),
    "warp-threshold": (lambda: _native.warp_parts(IMAGE, MASKS, MATRICES, np.nan, LAYERS), "visible_above: out of range"),
    "composite-mask": (lambda: _native.composite(IMAGE, IMAGE, IMAGE, False, IMAGE.copy()), "mask: wrong shape"),
    "composite-out": (lambda: _native.composite(IMAGE, IMAGE, ALPHA, False, MASKS), "out: wrong shape"),
}


@pytest.mark.parametrize("name", REFUSED_BY_NATIVE)
def test_native_module_by_itself_refuses(name: str):
    function, message = REFUSED_BY_NATIVE[name]
    with pytest.raises(ValueError, match=message):
        function()


@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (0, 0)])
def test_native_module_by_itself_takes_planes_without_pixels(shape: tuple[int, int]):
    image, alpha, layers = (np.zeros((2, count, *shape), np.float32) for count in (3, 1, 11))
    _native.limb_priors(POINTS, layers)
    _native.part_masks(layers, POINTS, 2, layers.copy())
    matrices = np.zeros((2, 11, 2, 3), np.float32)
    _native.warp_parts(image, layers, matrices, 0.0, np.zeros((2, 11, 3, *shape), np.float32))
    _native.composite(image, image, alpha, True, np.zeros((2, *shape, 3), np.uint8))
