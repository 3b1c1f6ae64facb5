"""`posert.smoothing`: gaps are bridged or left, jitter goes, motion stays."""

from __future__ import annotations

import numpy as np
import pytest

from posert.errors import InputError
from posert.smoothing import fill_gaps, smooth

RATE = 25.0


def stream(points, missing=()):
    """Poses of two joints at 25 frames a second: the first as given, the second still; `missing` frames lack the first."""
    for number, (x, y) in enumerate(points):
        first = (np.nan, np.nan, 0) if number in missing else (x, y, 0.9)
        yield number / RATE, np.array([first, (0, 200, 0.8)], np.float32)


def places(poses):
    return np.array([keypoints[0] for _, keypoints in poses])


LINE = [(4.0 * t, 100 - 2.0 * t) for t in range(40)]


def test_short_gaps_become_straight_lines():
    filled = places(fill_gaps(stream(LINE, missing=(7, 8, 9, 20))))
    np.testing.assert_allclose(filled[:, :2], LINE, atol=1e-4)
    assert (filled[:, 2] > 0).all()


def test_long_gaps_and_ends_stay_missing():
    gone = (*range(0, 3), *range(10, 25), 39)
    filled = places(fill_gaps(stream(LINE, missing=gone)))
    assert np.flatnonzero(filled[:, 2] == 0).tolist() == sorted(gone)
    assert np.isnan(filled[list(gone), :2]).all()


def test_a_frame_without_anybody_is_filled():
    poses = list(stream(LINE))
    poses[5][1][:] = (np.nan, np.nan, 0)
    filled = list(fill_gaps(iter(poses)))
    assert len(filled) == 40
    assert (filled[5][1][:, 2] > 0).all()


def test_filling_looks_ahead_by_a_bounded_number_of_frames():
    taken = []

    def poses():
        for number in range(1000):
            taken.append(number)
            yield number / 1000, np.full((2, 3), 0.5, np.float32)

    next(fill_gaps(poses()))
    assert len(taken) <= 66
    assert len(list(fill_gaps(iter([])))) == 0


def test_jitter_of_a_resting_joint_goes():
    noise = np.random.default_rng(0).normal(0, 1.5, (200, 2))
    result = places(smooth(stream(noise + 50)))[50:, :2]
    assert result.std(0).max() < 0.6 * noise.std(0).min()
    stronger = places(smooth(stream(noise + 50), strength=5))[50:, :2]
    assert stronger.std(0).max() < result.std(0).min()


def test_fast_motion_is_hardly_delayed():
    line = [(40.0 * t, 100.0) for t in range(40)]  # 5 sizes of the body a second
    behind = np.array(line)[20:, 0] - places(smooth(stream(line)))[20:, 0]
    assert 0 <= behind.max() < 40 * 0.6  # of a frame's way


def test_strength_zero_changes_nothing_and_scores_are_kept():
    noise = np.random.default_rng(0).normal(0, 3, (20, 2)) + 50
    np.testing.assert_allclose(places(smooth(stream(noise), 0))[:, :2], noise, atol=1e-4)
    kept = places(smooth(stream(noise, missing=(3,))))
    assert np.isnan(kept[3, :2]).all()
    np.testing.assert_allclose(kept[[0, 1, 2, 4], 2], 0.9)


def test_a_joint_starts_anew_after_a_long_gap():
    jump = [(0.0, 0.0)] * 5 + [(0.0, 0.0)] * 15 + [(150.0, 0.0)] * 5
    result = places(smooth(stream(jump, missing=range(5, 20))))
    assert result[20, 0] == 150
    short = places(smooth(stream([(0.0, 0.0)] * 8 + [(30.0, 0.0)] * 8, missing=(7,))))
    assert 0 < short[8, 0] < 30


@pytest.mark.parametrize("strength", [-1, 101, float("nan")])
def test_bad_strength(strength):
    with pytest.raises(InputError, match="smoothing must lie between 0"):
        smooth(iter([]), strength)


def test_huge_coordinates_are_safe():
    poses = [(0.0, np.full((2, 3), 0.5, np.float32)), (0.04, np.array([(3e38, -3e38, 1), (0, 0, 1)], np.float32))]
    for _, keypoints in smooth(fill_gaps(iter(poses))):
        assert np.isfinite(keypoints).all()
