"""Metrics by hand, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posert.evaluation.calibration import Calibration, Logistic, cross_validated
from posert.evaluation.metrics import Curve, fraction_right, observer_centric, pck, relative_distances, strict_pcp
from posert.skeleton import get_skeleton

LSP = get_skeleton("lsp14")
NUMBER = {name: k for k, name in enumerate(LSP.joints)}

# A person from the front: the person's left lies to the right in the picture.
FRONT = {
    **{"head_top": (50, 0), "neck": (50, 20), "right_shoulder": (35, 25), "left_shoulder": (65, 25)},
    **{"right_elbow": (30, 45), "left_elbow": (70, 45), "right_wrist": (28, 65), "left_wrist": (72, 65)},
    **{"right_hip": (40, 75), "left_hip": (60, 75), "right_knee": (40, 105), "left_knee": (60, 105)},
    **{"right_ankle": (40, 135), "left_ankle": (60, 135)},
}


def person(places: dict[str, tuple[float, float]] = FRONT) -> np.ndarray:
    return np.array([[*places[name], 1] for name in LSP.joints], np.float32)[None]


def moved(**offsets: tuple[float, float]) -> np.ndarray:
    return person({name: tuple(np.add(place, offsets.get(name, (0, 0)))) for name, place in FRONT.items()})


def test_distances_of_missing_and_unlabelled_joints() -> None:
    truth = np.array([[[0, 0], [np.nan, np.nan], [10, 0]], [[0, 0], [1, 1], [2, 2]]])
    found = np.array([[[3, 4], [1, 1], [np.nan, np.nan]], [[0, 0], [1, 1], [2, 2]]])
    distances = relative_distances(found, truth, np.array([10.0, 0.0]))
    np.testing.assert_array_equal(distances, [[0.5, np.nan, np.inf], [np.nan, np.nan, np.nan]])
    np.testing.assert_array_equal(fraction_right(distances, 0.5), [1, np.nan, 0])
    np.testing.assert_array_equal(fraction_right(distances, 0.49), [0, np.nan, 0])


def test_pck_measures_in_true_torsos() -> None:
    truth = person()
    torso = np.hypot(65 - 40, 75 - 25)
    ends = NUMBER["left_shoulder"], NUMBER["right_hip"]
    for share, right in ((0.1999, 1), (0.2001, 0)):
        result = pck(moved(left_wrist=(share * torso, 0)), truth, ends)
        assert result[NUMBER["left_wrist"]] == right
        assert result.sum() == 13 + right
    found = moved(left_shoulder=(500, 0))  # the found torso is not what is measured in
    assert pck(found, truth, ends).sum() == 13


def test_people_without_a_torso_are_not_measured() -> None:
    truth = np.concatenate([person(), person()])
    truth[1, NUMBER["right_hip"]] = (np.nan, np.nan, 0)
    found = truth.copy()
    found[0, 0, :2] = np.nan
    result = pck(found, truth, (NUMBER["left_shoulder"], NUMBER["right_hip"]))
    assert result[0] == 0
    assert (result[1:] == 1).all()


def test_huge_coordinates_are_wrong_and_nothing_worse() -> None:
    result = pck(np.full((1, 14, 2), 1e38, np.float32), person(), (NUMBER["left_shoulder"], NUMBER["right_hip"]))
    assert (result == 0).all()


def test_curve_and_its_area() -> None:
    distances = np.array([[0.0, 0.25], [np.inf, np.nan]])
    curve = Curve.of(distances, np.array([0, 0.2, 0.25, 0.5]))
    np.testing.assert_allclose(curve.joints, [[0.5, 0], [0.5, 0], [0.5, 1], [0.5, 1]])
    np.testing.assert_allclose(curve.total, [1 / 3, 1 / 3, 2 / 3, 2 / 3])
    assert curve.area == pytest.approx((0.2 / 3 + 0.05 / 2 + 0.25 * 2 / 3) / 0.5)
    assert Curve.of(np.zeros((3, 2))).area == pytest.approx(1)


@given(
    scale=st.floats(0.1, 50),
    shift=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    seed=st.integers(0, 1000),
)
def test_scale_and_place_of_the_picture_change_nothing(scale: float, shift: tuple[float, float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, (3, 14, 2))
    found = truth + rng.normal(0, 8, truth.shape)
    found[rng.random((3, 14)) < 0.1] = np.nan
    other = [points * scale + shift for points in (found, truth)]
    torso = NUMBER["left_shoulder"], NUMBER["right_hip"]
    lengths = np.linalg.norm(truth[:, torso[0]] - truth[:, torso[1]], axis=-1)
    a, b = relative_distances(found, truth, lengths), relative_distances(*other, lengths * scale)
    np.testing.assert_allclose(a, b, rtol=1e-6)
    assert (np.diff(Curve.of(a).total) >= 0).all()


def test_strict_pcp_by_hand() -> None:
    truth = person()
    assert set(strict_pcp(truth, truth, LSP).values()) == {1.0}
    assert len(strict_pcp(truth, truth, LSP)) == 10
    # The left lower arm is hypot(2, 20) = 20.1 pixels long; the upper one is hypot(5, 20) = 20.6.
    for offset, right in ((10.0, 1.0), (10.1, 0.0)):
        sticks = strict_pcp(moved(left_wrist=(0, offset)), truth, LSP)
        assert sticks["left_lower_arm"] == right
        assert sticks["left_upper_arm"] == 1
    sticks = strict_pcp(moved(left_elbow=(0, 10.2)), truth, LSP)
    assert (sticks["left_lower_arm"], sticks["left_upper_arm"]) == (0, 1)
    # The torso goes from (50, 25) to (50, 75): 50 pixels. One hip that is 52 off moves the middle by 26.
    assert strict_pcp(moved(left_hip=(52, 0)), truth, LSP)["torso"] == 0
    assert strict_pcp(moved(left_hip=(48, 0)), truth, LSP)["torso"] == 1


def test_strict_pcp_of_missing_joints() -> None:
    truth, found = person(), person()
    found[0, NUMBER["right_knee"]] = (np.nan, np.nan, 0)
    truth[0, NUMBER["head_top"]] = (np.nan, np.nan, 0)
    sticks = strict_pcp(found, truth, LSP)
    assert "head" not in sticks
    assert sticks["right_upper_leg"] == sticks["right_lower_leg"] == 0
    assert sticks["left_upper_leg"] == sticks["torso"] == 1
    assert "head" not in strict_pcp(np.zeros((1, 17, 2)), np.zeros((1, 17, 2)), get_skeleton("coco17"))


def test_observers_left_lies_left_of_an_upright_torso() -> None:
    front = person()
    back = front[:, list(LSP.flip)]  # the same places, named as of somebody who shows their back
    seen = observer_centric(front, LSP)
    assert seen[0, NUMBER["left_wrist"], 0] < seen[0, NUMBER["right_wrist"], 0]
    np.testing.assert_array_equal(seen, back)
    np.testing.assert_array_equal(observer_centric(back, LSP), back)
    upside_down = front * (-1, -1, 1) + (100, 200, 0)  # turned by 180 degrees: names stay with what is exchanged upright
    np.testing.assert_array_equal(observer_centric(upside_down.astype(np.float32), LSP)[:, :, 2], 1)
    np.testing.assert_allclose(observer_centric(upside_down.astype(np.float32), LSP), (back * (-1, -1, 1) + (100, 200, 0)))


def test_a_twisted_torso_is_judged_at_shoulders_and_hips_apart() -> None:
    twisted = person({**FRONT, "left_hip": FRONT["right_hip"], "right_hip": FRONT["left_hip"]})
    seen = observer_centric(twisted, LSP)
    assert seen[0, NUMBER["left_shoulder"], 0] == 35
    assert seen[0, NUMBER["left_hip"], 0] == 40
    unknown = person()
    unknown[0, NUMBER["left_hip"]] = (np.nan, np.nan, 0)
    np.testing.assert_array_equal(observer_centric(unknown, LSP), unknown)


def test_calibration_by_hand() -> None:
    scores = np.array([0.0, 0.05, 0.55, 0.59, 1.0])
    right = np.array([False, True, True, True, False])
    table = Calibration.of(scores, right)
    assert table.counts.tolist() == [2, 0, 0, 0, 0, 2, 0, 0, 0, 1]
    np.testing.assert_allclose(table.scores[[0, 5, 9]], [0.025, 0.57, 1])
    np.testing.assert_allclose(table.right[[0, 5, 9]], [0.5, 1, 0])
    assert np.isnan(table.right[1])
    assert table.expected_error == pytest.approx((2 * 0.475 + 2 * 0.43 + 1 * 1) / 5)
    assert np.isnan(Calibration.of(np.zeros(0), np.zeros(0, bool)).expected_error)


def test_scores_that_mean_what_they_say_have_no_calibration_error() -> None:
    scores = np.random.default_rng(1).random(200_000)
    right = np.random.default_rng(2).random(200_000) < scores
    assert Calibration.of(scores, right).expected_error < 0.01


def test_a_logistic_map_is_found_again() -> None:
    rng = np.random.default_rng(3)
    scores = rng.random(100_000)
    truth = Logistic(1.6, 1.4)
    right = rng.random(len(scores)) < truth(scores)
    fitted = Logistic.fit(scores, right)
    assert fitted.slope == pytest.approx(1.6, abs=0.05)
    assert fitted.intercept == pytest.approx(1.4, abs=0.05)
    mended = cross_validated(scores, right, np.arange(len(scores)) // 14)
    assert Calibration.of(scores, right).expected_error > 0.15
    assert Calibration.of(mended, right).expected_error < 0.01


@pytest.mark.parametrize(
    ("scores", "right"),
    [
        ([0.1, 0.2, 0.8, 0.9], [False, False, True, True]),
        ([0.0, 1.0, 0.5], [True, True, True]),
        ([0.5, 0.5, 0.5], [True, False, True]),
        ([0.7], [False]),
    ],
)
def test_a_logistic_map_exists_for_every_set(scores: list[float], right: list[bool]) -> None:
    fitted = Logistic.fit(np.array(scores), np.array(right))
    mapped = fitted(np.array([0.0, *scores, 1.0]))
    assert np.isfinite(mapped).all()
    assert ((mapped >= 0) & (mapped <= 1)).all()


def test_nobody_is_mapped_by_their_own_joints() -> None:
    scores, right, people = np.array([0.2, 0.3, 0.9, 0.8]), np.array([False, True, True, True]), np.array([4, 4, 7, 7])
    np.testing.assert_allclose(cross_validated(scores, right, people)[:2], Logistic.fit(scores[2:], right[2:])(scores[:2]))
    assert np.isnan(cross_validated(scores[:2], right[:2], people[:2])).all()
