"""Golden values of specs R-11 and cases counted by hand, for the operations that find people."""

import backends
import numpy as np
import pytest

from posert import ops


def with_backends(operation: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("backend", backends.having(operation))


@with_backends("rasterize_pafs")
def test_paf(backend: str):
    keypoints = np.array([[[(80, 96, 1), (200, 140, 1)]]], np.float32)
    field = ops.rasterize_pafs(keypoints, (46, 46), [(0, 1)], backend=backend)[0]
    cells = field != 0
    rows, columns = np.nonzero(cells[0])
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (9, 25, 11, 18)
    assert cells[0].sum() == cells[1].sum() == 36
    np.testing.assert_allclose(field[:, cells[0]], np.broadcast_to([[0.938876], [0.344255]], (2, 36)), atol=1e-6)


@with_backends("find_peaks")
def test_peaks_counted_by_hand(backend: str):
    """Values are twelfths, so that the 7 x 7 centroids come out even."""
    heatmap = np.zeros((9, 12), np.float32)
    heatmap[4, 4], heatmap[4, 5], heatmap[3, 4] = 9 / 12, 3 / 12, 3 / 12  # a peak at (4, 4), pulled right and up
    heatmap[1, 9] = heatmap[1, 10] = 6 / 12  # on the line y = 1 equals are peaks, both
    heatmap[0, 1] = 4 / 12  # of the outermost pixels, those on the line x = 1 may be peaks
    heatmap[8, 5] = heatmap[8, 0] = 1  # these may not
    found = ops.find_peaks(heatmap[None, None], 0.05, max_peaks=6, backend=backend)[0, 0]
    expected = [
        ((4 * 1 + 3 * 4) / 7, (4 * 0 + 3 * 3) / 7, 4 / 12),
        (9.5, 1, 6 / 12),
        (9.5, 1, 6 / 12),
        ((9 * 4 + 3 * 5 + 3 * 4) / 15, (9 * 4 + 3 * 4 + 3 * 3) / 15, 9 / 12),
    ]
    np.testing.assert_allclose(found[:4], expected, atol=1e-6)
    np.testing.assert_array_equal(found[4:], [(np.nan, np.nan, 0)] * 2)


@with_backends("limb_scores")
def test_line_integral(backend: str):
    fields = np.ones((1, 2, 60, 60), np.float32) * np.array([0.6, 0.8], np.float32)[:, None, None]
    peaks = np.array([[[(10, 10, 1)], [(40, 50, 1)]]], np.float32)
    # 14 samples of 1: with one of them spoiled the mean is still 1, but 13 / 14 is not more than 0.95
    for spoiled, score in ((0, 1.0), (1, 0.0)):
        fields[0, :, 10 : 10 + spoiled, 10] = 0
        found = ops.limb_scores(peaks, fields, [(0, 1)], backend=backend)
        np.testing.assert_allclose(found, [[[[score]]]], atol=1e-6)
    found = ops.limb_scores(peaks, fields, [(0, 1)], accepted_fraction=12.9 / 14, backend=backend)
    np.testing.assert_allclose(found, [[[[1]]]], atol=1e-6)
    found = ops.limb_scores(peaks, fields, [(0, 1)], accepted_fraction=13 / 14, backend=backend)
    assert found == 0


@with_backends("assemble_people")
def test_assembly_counted_by_hand(backend: str):
    peaks = np.full((1, 4, 2, 3), (np.nan, np.nan, 0), np.float32)
    peaks[0, 0] = [(10, 10, 0.5), (20, 10, 0.25)]
    peaks[0, 1] = [(11, 20, 0.5), (21, 20, 1.0)]
    peaks[0, 2, 1] = (22, 30, 0.75)
    scores = np.zeros((1, 3, 2, 2), np.float32)
    scores[0, 0] = [[0.5, 0.5], [0.5, 0.125]]  # of equals the larger indices: 1 with 0 goes first, then 0 with 1
    scores[0, 1] = [[0.25, 0.0], [0.0, 0.5]]  # the first has a peak that is missing
    limbs = [(0, 1), (1, 2), (2, 3)]  # joint 3 has no peak: who lacks joint 2 gets nothing, and all of joint 2 is taken
    people, totals = ops.assemble_people(peaks, scores, limbs, order=[0, 1, 2], redundant=[], min_joints=2, backend=backend)
    missing = (np.nan, np.nan, 0)
    np.testing.assert_array_equal(people[0, 0], [peaks[0, 0, 1], peaks[0, 1, 0], missing, missing])
    np.testing.assert_array_equal(people[0, 1], [peaks[0, 0, 0], peaks[0, 1, 1], peaks[0, 2, 1], missing])
    np.testing.assert_array_equal(totals[0, :3], [0.25 + 0.5 + 0.5, 0.5 + 1.0 + 0.5 + 0.75 + 0.5, 0])
    assert np.isnan(people[0, 2:, :, :2]).all()


@with_backends("distance_transform")
def test_distance_transform(backend: str):
    scores = np.zeros((1, 1, 1, 12), np.float32)
    scores[..., 7] = 1
    best, location = ops.distance_transform(scores, (0.03, 0.03), [(2, 0)], backend=backend)
    np.testing.assert_allclose(best[0, 0, 0, [5, 4, 0]], [1, 0.97, 0.25], atol=1e-6)
    np.testing.assert_array_equal(location[0, 0, 0, [5, 4, 0]], [(7, 0)] * 3)
