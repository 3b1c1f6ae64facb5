"""What must hold for every image of several people, whatever the numbers are."""

import backends
import numpy as np
import pytest
from cases.people import found_peaks
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import HEIGHT, STRIDE, WIDTH, crowd, crowd_maps

from posert import ops

seeds = st.integers(0, 2**32 - 1)
sides = st.integers(1, 40)
coordinates = st.floats(width=32, allow_nan=True, allow_infinity=False)
MISSING = np.array([np.nan, np.nan, 0], np.float32)
with_backend = pytest.mark.parametrize("backend", backends.having("find_peaks", "limb_scores", "assemble_people"))


def everybody(backend: str, heatmaps: np.ndarray, pafs: np.ndarray, stride: int, most: int = 127) -> np.ndarray:
    """Joints of the people found, (people, 18, 3), in pixels of the network's input."""
    peaks = ops.find_peaks(heatmaps, stride=stride, max_peaks=most, backend=backend)
    scores = ops.limb_scores(peaks, pafs, stride=stride, backend=backend)
    people, totals = ops.assemble_people(peaks, scores, backend=backend)
    return people[0][totals[0] > 0]


@with_backend
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_crowd_comes_back(backend: str, noise: float):
    people = crowd()
    found = everybody(backend, *crowd_maps(people, noise), STRIDE, most=32)
    assert len(found) == len(people)
    error = np.abs(found[:, None, :, :2] - people[:, :, :2]).max((2, 3))
    assert sorted(error.argmin(1)) == list(range(len(people)))
    assert error.min(1).max() < 2  # pixels


def test_a_crowd_comes_back_from_maps_in_pixels():
    """With a stride of 1, on maps that were drawn in pixels of the network's input."""
    people = crowd()
    size = (HEIGHT, WIDTH)
    heatmaps = ops.rasterize_gaussians(people, size, 7.0).max(0, keepdims=True)
    pafs = ops.rasterize_pafs(people[None], size, stride=1, width=8.0, overlap="average")
    found = everybody("native", heatmaps, pafs, 1)
    error = np.abs(found[:, None, :, :2] - people[:, :, :2]).max((2, 3))
    assert sorted(error.argmin(1)) == list(range(len(people)))
    assert error.min(1).max() < 0.6


@with_backend
def test_joints_that_are_not_there_stay_away(backend: str):
    people = crowd()[:8]
    people[0, 13] = people[1, 4] = people[2, 14] = people[2, 16] = MISSING
    heatmaps, pafs = crowd_maps(people, 0.0)
    found = everybody(backend, heatmaps, pafs, STRIDE, most=16)
    assert len(found) == len(people)
    order = np.array([np.nanargmin(np.nanmax(np.abs(one[:, :2] - people[:, :, :2]), (1, 2))) for one in found])
    np.testing.assert_array_equal(found[..., 2] > 0, people[order, :, 2] > 0)


@given(seeds, st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=30)
def test_peaks_shift_with_the_map(seed: int, down: int, right: int):
    rng = np.random.default_rng(seed)
    inner = rng.uniform(0, 1, (1, 2, 6, 7)).astype(np.float32)
    stride = int(rng.integers(1, 6))

    def peaks(top: int, left: int) -> np.ndarray:
        maps = np.zeros((1, 2, 17, 18), np.float32)
        maps[..., 4 + top : 10 + top, 4 + left : 11 + left] = inner
        return ops.find_peaks(maps, stride=stride, max_peaks=400)

    moved = peaks(0, 0) + np.array([right, down, 0], np.float32) * stride
    np.testing.assert_allclose(peaks(down, right), moved, atol=1e-4)


@given(seeds, sides, sides, st.integers(1, 9))
@settings(max_examples=60)
def test_peaks_of_any_map_are_those_of_the_definition(seed: int, height: int, width: int, stride: int):
    rng = np.random.default_rng(seed)
    height, width = min(height, 160 // stride), min(width, 160 // stride)
    maps = rng.normal(0, 1, (1, 2, height, width))
    smooth = np.cumsum(np.cumsum(maps, -1), -2) / (height + width)
    for values in (maps, smooth, np.round(2 * smooth) / 2, np.sign(maps)):
        given_maps = values.astype(np.float32)
        native = ops.find_peaks(given_maps, 0.3, stride=stride, max_peaks=300, backend="native")
        np.testing.assert_array_equal(native, ops.find_peaks(given_maps, 0.3, stride=stride, max_peaks=300, backend="reference"))


@pytest.mark.parametrize("stride", [1, 3])
@with_backend
def test_a_map_that_is_not_finite_has_no_peaks(backend: str, stride: int):
    maps = np.zeros((1, 5, 9, 9), np.float32)
    maps[:, :, 4, 4] = 1
    for joint, value in enumerate((np.nan, -np.nan, np.inf, -np.inf)):
        maps[0, joint, 0, 8] = value
    found = ops.find_peaks(maps, stride=stride, backend=backend)
    assert (found[0, :, :, 2] > 0).sum(-1).tolist() == [0, 0, 0, 0, 1]
    np.testing.assert_array_equal(found[0, :4], np.broadcast_to(MISSING, (4, 127, 3)))


@pytest.mark.parametrize("stride", [1, 3])
@with_backend
def test_the_first_peaks_are_kept(backend: str, stride: int):
    maps = np.random.default_rng(0).uniform(0, 1, (1, 2, 19, 23)).astype(np.float32)
    every = ops.find_peaks(maps, stride=stride, max_peaks=500, backend=backend)
    few = ops.find_peaks(maps, stride=stride, max_peaks=7, backend=backend)
    np.testing.assert_array_equal(few, every[:, :, :7])


@given(seeds, st.integers(0, 5))
@settings(max_examples=40)
def test_permuted_people_give_permuted_fields_and_the_same_average(seed: int, people: int):
    rng = np.random.default_rng(seed)
    keypoints = rng.uniform(-5, 90, (1, people, 18, 3)).astype(np.float32)
    mean = ops.rasterize_pafs(keypoints, (11, 12), overlap="average")
    other = ops.rasterize_pafs(keypoints[:, rng.permutation(people)], (11, 12), overlap="average")
    np.testing.assert_allclose(mean, other, atol=1e-6)
    alone = [ops.rasterize_pafs(keypoints[:, i : i + 1], (11, 12)) for i in range(people)]
    last = ops.rasterize_pafs(keypoints, (11, 12))
    for field in alone:
        covered = np.any(field[:, 0::2] != 0, 0) | np.any(field[:, 1::2] != 0, 0)
        assert (np.abs(last[:, 0::2]) + np.abs(last[:, 1::2]))[:, covered].min(initial=1) > 0
    if people:
        shown = np.repeat((alone[-1][:, 0::2] != 0) | (alone[-1][:, 1::2] != 0), 2, 1)
        np.testing.assert_array_equal(last[shown], alone[-1][shown])


@given(st.lists(st.tuples(coordinates, coordinates, st.floats(0, 1, width=32)), min_size=36, max_size=36), sides, sides)
@settings(max_examples=60)
def test_any_finite_keypoints_are_safe(points: list[tuple[float, float, float]], height: int, width: int):
    people = np.array(points, np.float32).reshape(1, 2, 18, 3)
    for overlap in ("last", "average"):
        field = ops.rasterize_pafs(people, (height, width), overlap=overlap)
        assert np.abs(field).max(initial=0) <= 1
        np.testing.assert_allclose(
            field, ops.rasterize_pafs(people, (height, width), overlap=overlap, backend="reference"), atol=1e-6
        )
    peaks = people.swapaxes(1, 2).copy()
    fields = np.ones((1, 38, height, width), np.float32)
    scores = ops.limb_scores(peaks, fields)
    np.testing.assert_array_equal(scores, ops.limb_scores(peaks, fields, backend="reference"))
    assert np.isfinite(scores).all()


@given(seeds)
@settings(max_examples=30)
def test_joints_of_people_are_peaks(seed: int):
    rng = np.random.default_rng(seed)
    peaks = found_peaks(rng, 1, 18, 9, 64, 64)
    scores = (rng.uniform(0, 1, (1, 19, 9, 9)) * (rng.random((1, 19, 9, 9)) < 0.2)).astype(np.float32)
    people, totals = ops.assemble_people(peaks, scores, min_joints=1, min_score=0.0, max_people=400)
    used = totals[0] > 0
    assert not (people[0, ~used][..., 2] > 0).any()
    for joint in range(18):
        given_peaks = {tuple(peak) for peak in peaks[0, joint].tolist()}
        taken = [tuple(row) for row in people[0, used, joint].tolist() if row[2] > 0]
        assert set(taken) <= given_peaks


@given(seeds, sides, sides)
@settings(max_examples=60)
def test_distance_transform_laws(seed: int, height: int, width: int):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-1, 1, (1, 2, height, width)).astype(np.float32)
    offsets = rng.integers(-3, 4, (2, 2)).astype(np.float32)
    weights = tuple(rng.uniform(0.01, 2, 2))
    best, location = ops.distance_transform(scores, weights, offsets)
    brute, place = ops.distance_transform(scores, weights, offsets, backend="reference")
    np.testing.assert_array_equal(best, brute)
    np.testing.assert_array_equal(location, place)
    # Nothing beats the cell itself by less, and what is found is what it says.
    still, _ = ops.distance_transform(scores, weights, np.zeros((2, 2)))
    assert (still >= scores).all()
    x, y = location[..., 0], location[..., 1]
    assert ((x >= 0) & (x < width) & (y >= 0) & (y < height)).all()
    rows, columns = np.mgrid[:height, :width]
    ox, oy = offsets[None, :, 0, None, None], offsets[None, :, 1, None, None]
    cost = weights[0] * (x - columns - ox) ** 2 + weights[1] * (y - rows - oy) ** 2
    channel = np.arange(2)[None, :, None, None]
    np.testing.assert_allclose(best, scores[0][channel, y, x] - cost, atol=1e-4)


@pytest.mark.parametrize("backend", backends.having("distance_transform"))
def test_distance_transform_of_a_constant_is_that_constant(backend: str):
    scores = np.full((1, 1, 7, 9), 0.25, np.float32)
    best, location = ops.distance_transform(scores, (0.03, 0.5), [(0, 0)], backend=backend)
    np.testing.assert_array_equal(best, scores)
    np.testing.assert_array_equal(location[0, 0], np.stack(np.meshgrid(np.arange(9), np.arange(7)), -1))
    best, location = ops.distance_transform(scores - np.inf, (0.03, 0.5), [(2, 1)], backend=backend)
    assert np.isneginf(best).all()
    assert not location.any()
