"""OpenCV gives the same where it means the same."""

import cv2
import numpy as np
import pytest

from posert import ops


def test_crop_resize_against_warp_affine():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:90, :120]
    image = np.stack([120 + 100 * np.sin(rows / 9), 120 + 100 * np.cos(columns / 7), (rows + columns) % 256], -1).astype(np.uint8)
    boxes = np.array([(10, 5, 74, 60), (-20, -10, 50, 40), (30.25, 20.5, 160, 110)], np.float32)
    for fill, border in ((None, cv2.BORDER_REPLICATE), (40.0, cv2.BORDER_CONSTANT)):
        flip = rng.random(3) < 0.5
        batch, transforms = ops.crop_resize([image] * 3, boxes, (64, 48), 0, 1, fill=fill, flip=flip)
        for person in range(3):
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            warped = cv2.warpAffine(image, transforms[person], (48, 64), flags=flags, borderMode=border, borderValue=(40, 40, 40))
            difference = np.abs(batch[person].transpose(1, 2, 0) - warped)
            # OpenCV rounds the weights to 1/32 pixel and the result to whole levels.
            assert difference.mean() < 1
            assert np.percentile(difference, 98) < 4


def test_halving_against_resize():
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    batch, _ = ops.crop_resize(image[None], [(0, 0, 96, 64)], (32, 48), 0, 1)
    resized = cv2.resize(image.astype(np.float32), (48, 32), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(batch[0].transpose(1, 2, 0), resized, atol=1e-3)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 15])
@pytest.mark.parametrize("operation", ["dilate", "erode", "opening", "closing"])
def test_morphology(operation: str, size: int):
    masks = np.random.default_rng(size).integers(0, 256, (2, 61, 83), dtype=np.uint8)
    code = {"dilate": cv2.MORPH_DILATE, "erode": cv2.MORPH_ERODE, "opening": cv2.MORPH_OPEN, "closing": cv2.MORPH_CLOSE}[
        operation
    ]
    given = getattr(ops, operation)(masks, size)
    for mask, result in zip(masks, given, strict=True):
        # OpenCV's default border is the neutral element, which is what clipping the window means.
        np.testing.assert_array_equal(result, cv2.morphologyEx(mask, code, np.ones((size, size), np.uint8)))


def test_upsampled_peak_against_resize():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:46, :46]
    centres = rng.uniform(2, 43, (8, 19, 2, 1, 1))
    maps = np.exp(-((columns - centres[:, :, 0]) ** 2 + (rows - centres[:, :, 1]) ** 2) / 3).astype(np.float32)
    maps += rng.normal(0, 0.02, maps.shape).astype(np.float32)
    found = ops.decode_heatmaps(maps, "upsampled")
    for person, joint in np.ndindex(8, 19):
        enlarged = cv2.resize(maps[person, joint], (368, 368), interpolation=cv2.INTER_CUBIC)
        _, score, _, (x, y) = cv2.minMaxLoc(enlarged)
        given_x, given_y, given_score = found[person, joint]
        assert given_score == pytest.approx(min(score, 1), abs=1e-5)
        # OpenCV sums in float32, so of pixels that are equal but for that it may name another.
        assert (given_x, given_y) == (x, y) or enlarged[int(given_y), int(given_x)] >= score - 1e-6


def test_softargmax_is_closer_than_argmax():
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.uniform(60, 300, (4, 14, 2)), np.ones((4, 14, 1))], -1).astype(np.float32)
    maps = ops.rasterize_gaussians(points, (46, 46), 12.0, stride=8)
    errors = {
        m: np.abs(ops.decode_heatmaps(maps, m) - points)[..., :2].mean() for m in ("argmax", "quarter", "softargmax", "upsampled")
    }
    assert errors["upsampled"] < errors["quarter"] < errors["argmax"]
    assert errors["softargmax"] < errors["argmax"]
