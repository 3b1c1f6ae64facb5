"""What must hold for every input, whatever the numbers are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posert import ops

sides = st.integers(1, 70)
seeds = st.integers(0, 2**32 - 1)
odd = st.integers(0, 12).map(lambda half: 2 * half + 1)
corners = st.floats(-90, 90, width=32)
extents = st.floats(1, 180, width=32)
coordinates = st.floats(width=32, allow_nan=True, allow_infinity=False)


def image(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


def mask(seed: int, height: int, width: int) -> np.ndarray:
    """A mask of two levels, 0 and another, and one of several."""
    rng = np.random.default_rng(seed)
    share, level = rng.uniform(0, 1), rng.choice([1, 7, 128, 255])
    binary = (rng.random((height, width)) < share) * level
    return np.stack([binary, rng.choice([0, 0, 7, 130, 255], (height, width))]).astype(np.uint8)


@given(seeds, sides, sides)
def test_crop_of_the_whole_image_is_the_image(seed: int, height: int, width: int):
    source = image(seed, height, width)
    batch, transforms = ops.crop_resize(source, [(0, 0, width, height)], (height, width), 127.5, 1 / 127.5)
    expected = (source.transpose(0, 3, 1, 2).astype(np.float32) - np.float32(127.5)) * np.float32(1 / 127.5)
    np.testing.assert_array_equal(batch, expected)
    np.testing.assert_array_equal(transforms[0], [[1, 0, 0], [0, 1, 0]])


@given(seeds, sides, sides)
def test_crop_then_to_uint8_gives_the_image_back(seed: int, height: int, width: int):
    source = image(seed, height, width)
    batch, _ = ops.crop_resize(source, [(0, 0, width, height)], (height, width), 127.5, 1 / 127.5)
    # Half a level up, because to_uint8 truncates what rounding may have put just below an integer.
    np.testing.assert_array_equal(ops.to_uint8(batch + np.float32(0.5 / 127.5)), source)


@given(seeds, sides, sides, st.integers(-40, 40), st.integers(-40, 40), sides, sides)
def test_crop_by_whole_pixels_copies_them(seed: int, height: int, width: int, x: int, y: int, rows: int, columns: int):
    source = image(seed, height, width)
    batch, _ = ops.crop_resize(source, [(x, y, x + columns, y + rows)], (rows, columns), 0, 1, fill=99)
    padded = np.pad(source[0], ((120, 120), (120, 120), (0, 0)), constant_values=99)
    expected = padded[120 + y : 120 + y + rows, 120 + x : 120 + x + columns]
    np.testing.assert_array_equal(batch[0].transpose(1, 2, 0), expected)


@given(seeds, sides, sides, st.tuples(corners, corners), st.tuples(extents, extents), sides, sides)
def test_flip_mirrors_the_output_and_the_transform(
    seed: int, height: int, width: int, corner: tuple[float, float], extent: tuple[float, float], rows: int, columns: int
):
    boxes = [(*corner, corner[0] + extent[0], corner[1] + extent[1])]
    source = image(seed, height, width)
    plain, forward = ops.crop_resize(source, boxes, (rows, columns), 0, 1)
    mirrored, backward = ops.crop_resize(source, boxes, (rows, columns), 0, 1, flip=True)
    np.testing.assert_array_equal(mirrored[..., ::-1], plain)
    ends = np.array([[0, 0, 1], [columns - 1, rows - 1, 1]], np.float32)
    swapped = np.array([[columns - 1, 0, 1], [0, rows - 1, 1]], np.float32)
    np.testing.assert_allclose(backward[0] @ ends.T, forward[0] @ swapped.T, atol=1e-3)


@given(seeds, sides, sides, odd)
def test_morphology_laws(seed: int, height: int, width: int, size: int):
    source = mask(seed, height, width)
    dilated, eroded = ops.dilate(source, size), ops.erode(source, size)
    closed, opened = ops.closing(source, size), ops.opening(source, size)
    assert (eroded <= opened).all()
    assert (opened <= source).all()
    assert (source <= closed).all()
    assert (closed <= dilated).all()
    np.testing.assert_array_equal(ops.closing(closed, size), closed)
    np.testing.assert_array_equal(ops.opening(opened, size), opened)
    np.testing.assert_array_equal(ops.erode(255 - source, size), 255 - dilated)
    np.testing.assert_array_equal(ops.erode(dilated, size), closed)
    np.testing.assert_array_equal(ops.dilate(eroded, size), opened)
    levels = source.max((1, 2), keepdims=True)  # of the binary mask, this is its complement
    np.testing.assert_array_equal(ops.erode(levels - source, size), levels - dilated)
    np.testing.assert_array_equal(ops.dilate(levels - source, size), levels - eroded)


@given(seeds, sides, sides, odd, odd)
def test_windows_add_up(seed: int, height: int, width: int, first: int, second: int):
    source, both = mask(seed, height, width), first + second - 1  # 3 and then 5 is 7
    for operation in (ops.dilate, ops.erode):
        np.testing.assert_array_equal(operation(operation(source, first), second), operation(source, both))


@given(seeds, sides, sides, odd)
def test_morphology_in_place(seed: int, height: int, width: int, size: int):
    source = mask(seed, height, width)
    for operation in (ops.dilate, ops.erode, ops.opening, ops.closing):
        copy = source.copy()
        assert operation(copy, size, out=copy) is copy
        np.testing.assert_array_equal(copy, operation(source, size))


@given(st.lists(st.tuples(coordinates, coordinates, st.floats(0, 1, width=32)), min_size=18, max_size=18), sides, sides)
def test_any_finite_keypoints_are_safe(points: list[tuple[float, float, float]], height: int, width: int):
    keypoints = np.array([points], np.float32)
    for backend in ("native", "reference"):
        discs = ops.rasterize_discs(keypoints, (height, width), low=0, high=1, backend=backend)
        body = ops.pose_mask(keypoints, (height, width), backend=backend)
        assert set(np.unique(discs)) <= {0, 1}
        assert set(np.unique(body)) <= {0, 1}
    np.testing.assert_array_equal(body, ops.pose_mask(keypoints, (height, width)))
    maps = ops.rasterize_gaussians(keypoints, (height, width), 3.0)
    assert ((maps >= 0) & (maps <= 1)).all()


@given(seeds, st.integers(-9, 9), st.integers(-9, 9))
def test_drawings_shift_with_their_keypoints(seed: int, dx: int, dy: int):
    rng = np.random.default_rng(seed)
    # Positive coordinates: truncation towards zero is not the same shift on the other side of zero.
    keypoints = np.concatenate([rng.integers(160, 400, (1, 18, 2)) / 8, np.ones((1, 18, 1))], -1).astype(np.float32)
    moved = keypoints + np.array([dx, dy, 0], np.float32)
    draw = {
        "discs": lambda k: ops.rasterize_discs(k, (70, 70)),
        "gaussians": lambda k: ops.rasterize_gaussians(k, (70, 70), 2.0),
        "mask": lambda k: ops.pose_mask(k, (70, 70)),
    }
    for name, function in draw.items():
        before = function(keypoints)[..., 9:61, 9:61]
        after = function(moved)[..., 9 + dy : 61 + dy, 9 + dx : 61 + dx]
        # The closing looks 2 + 2 pixels beyond: compare what no border touches.
        np.testing.assert_allclose(after[..., 4:-4, 4:-4], before[..., 4:-4, 4:-4], atol=1e-6, err_msg=name)


@given(seeds, st.integers(0, 9), st.booleans())
def test_discs_over_previous_discs(seed: int, radius: int, first_missing: bool):
    rng = np.random.default_rng(seed)
    poses = rng.uniform(-12, 52, (2, 3, 4, 3)).astype(np.float32)
    poses[..., 2] = rng.uniform(-0.3, 1, (2, 3, 4))
    poses[0, 0, 0] = (np.nan, np.nan, 0) if first_missing else poses[0, 0, 0]
    for backend in ("native", "reference"):
        buffer = np.empty((3, 7, 40, 33), np.float32)
        out = ops.rasterize_discs(poses[0], (40, 33), radius, -1, 1, out=buffer[:, 3:], backend=backend)
        again = ops.rasterize_discs(poses[1], (40, 33), radius, -1, 1, previous=poses[0], out=out, backend=backend)
        assert again is out
        np.testing.assert_array_equal(out, ops.rasterize_discs(poses[1], (40, 33), radius, -1, 1))


@given(seeds, st.sampled_from([2, 4, 8]))
def test_decode_finds_what_was_drawn(seed: int, stride: int):
    rng = np.random.default_rng(seed)
    cells = np.array([24, 20])
    keypoints = np.ones((2, 5, 3), np.float32)
    keypoints[..., :2] = rng.uniform(2 * stride, (cells[::-1] - 3) * stride, (2, 5, 2))
    maps = ops.rasterize_gaussians(keypoints, tuple(map(int, cells)), 1.5 * stride, stride=stride)
    # Half a cell either way, half of that after the quarter; the others interpolate.
    limits = {"argmax": 0.5, "quarter": 0.25, "softargmax": 0.35, "upsampled": 0.2}
    for method, limit in limits.items():
        found = ops.decode_heatmaps(maps, method, stride=stride)
        error = np.abs(found - keypoints)[..., :2].max() / stride
        assert error <= limit + 1e-4 + (0.5 / stride if method == "upsampled" else 0), method


@given(seeds, st.sampled_from(["argmax", "quarter", "softargmax", "upsampled"]))
def test_decode_through_the_transform_of_the_crop(seed: int, method: str):
    rng = np.random.default_rng(seed)
    maps = rng.uniform(0.01, 1, (3, 4, 8, 6)).astype(np.float32)
    boxes = np.array([(3, 4, 60, 99), (-20, 8.5, 10, 20), (0, 0, 48, 64)], np.float32)
    _, transforms = ops.crop_resize(np.zeros((3, 9, 9, 3), np.uint8), boxes, (64, 48), 0, 1, flip=np.array([True, False, True]))
    network = ops.decode_heatmaps(maps, method)
    found = ops.decode_heatmaps(maps, method, transforms=transforms)
    expected = np.einsum("nij,nkj->nki", transforms, np.concatenate([network[..., :2], np.ones((3, 4, 1), np.float32)], -1))
    np.testing.assert_allclose(found[..., :2], expected, atol=1e-4)
    np.testing.assert_array_equal(found[..., 2], network[..., 2])


def test_decode_takes_a_view_of_the_first_joints():
    maps = np.random.default_rng(0).uniform(0, 1, (3, 15, 8, 6)).astype(np.float32)
    np.testing.assert_array_equal(ops.decode_heatmaps(maps[:, :14]), ops.decode_heatmaps(maps)[:, :14])


@pytest.mark.parametrize("method", ["argmax", "quarter", "softargmax", "upsampled"])
def test_decode_says_what_is_missing(method: str):
    maps = np.zeros((1, 6, 5, 5), np.float32)
    maps[0, 1] = np.nan
    maps[0, 2, 2, 2] = np.inf
    maps[0, 3] = -1
    maps[0, 4, 2, 2] = 2
    maps[0, 5, 1, 3], maps[0, 5, 4, 4] = 0.5, np.nan
    found = ops.decode_heatmaps(maps, method)
    missing = np.array([np.nan, np.nan, 0], np.float32)
    for joint in (0, 1, 2, 3, 5):
        np.testing.assert_array_equal(found[0, joint], missing)
    assert found[0, 4, 2] == 1  # limited


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("method", ["argmax", "quarter", "softargmax", "upsampled"])
def test_decode_beyond_float32_is_missing(method: str, backend: str):
    maps = np.zeros((3, 2, 5, 5), np.float32)
    maps[:, :, 3, 3] = 1
    transforms = np.zeros((3, 2, 3), np.float32)
    transforms[0, 0, 0] = 3e38  # x overflows
    transforms[1, 1] = (3e38, -3e38, 7)  # y does not: the terms cancel
    transforms[2, 1] = (-3e38, 0, 0)  # y overflows downwards
    found = ops.decode_heatmaps(maps, method, transforms=transforms, backend=backend)
    missing = np.broadcast_to(np.array([np.nan, np.nan, 0], np.float32), (2, 3))
    np.testing.assert_array_equal(found[0], missing)
    np.testing.assert_array_equal(found[2], missing)
    assert np.isfinite(found[1]).all()


def test_first_of_equal_peaks_wins():
    maps = np.zeros((1, 1, 6, 7), np.float32)
    maps[0, 0, 2, 5] = maps[0, 0, 4, 1] = 0.5
    assert ops.decode_heatmaps(maps, "argmax", stride=1).tolist() == [[[5, 2, 0.5]]]
