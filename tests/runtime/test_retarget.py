"""`posert.retarget`: the driver's directions, the source's lengths, the root's way, and nothing where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from posert.errors import InputError
from posert.retarget import measure, retarget, roots
from posert.skeleton import SKELETONS

BONES = [(2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13)]  # arms and legs of coco18


def person(scale=1.0, *, arm=1.0, leg=1.0, at=(200.0, 300.0), bend=0.0):
    """A person in coco18 with hips at a place; `bend` turns arms and legs."""
    up, down = np.array([np.sin(bend), -np.cos(bend)]), np.array([np.sin(bend), np.cos(bend)])
    joints = np.zeros((18, 3))
    joints[:, 2] = 0.9
    hips = np.array(at)
    neck = hips + (0, -60 * scale)
    joints[1, :2] = neck
    for first, side in ((2, -1), (5, 1)):
        shoulder = neck + (side * 20 * scale, 0)
        joints[first : first + 3, :2] = [shoulder + n * 30 * scale * arm * down for n in range(3)]
    for first, side in ((8, -1), (11, 1)):
        hip = hips + (side * 12 * scale, 0)
        joints[first : first + 3, :2] = [hip + n * 45 * scale * leg * down for n in range(3)]
    nose = neck + 25 * scale * up
    joints[0, :2] = nose
    joints[14:, :2] = nose + scale * np.array([(-4, -4), (4, -4), (-9, -2), (9, -2)])
    return joints.astype(np.float32)


def lengths(poses):
    points = np.asarray(poses)[..., :2].astype(np.float64)
    return np.stack([np.hypot(*(points[..., a, :] - points[..., b, :]).T) for a, b in BONES], axis=-1)


def test_bones_have_the_sources_lengths_and_the_drivers_directions():
    driver = np.stack([person(2.0, bend=b) for b in np.linspace(-1, 1, 9)])
    source = person(1.0, arm=1.2, leg=0.9, at=(80, 90))
    result = retarget(driver, "coco18", measure(driver, "coco18"), measure(source[None], "coco18"))
    np.testing.assert_allclose(lengths(result), np.broadcast_to(lengths(source[None]), (9, 8)), rtol=1e-4)
    for a, b in BONES:
        before, after = (p[:, a, :2] - p[:, b, :2] for p in (driver, result))
        np.testing.assert_allclose(np.arctan2(*before.T), np.arctan2(*after.T), atol=1e-4)
    np.testing.assert_array_equal(result[..., 2], driver[..., 2])


def test_somebody_driven_by_themselves_stays():
    someone = np.stack([person(1.3, arm=1.1, bend=0.3)])
    body = measure(someone, "coco18")
    np.testing.assert_allclose(retarget(someone, "coco18", body, body), someone, atol=1e-3)


def test_a_shortened_bone_stays_short():
    driver = np.stack([person(), person(), person()])
    driver[1, 4, :2] = driver[1, 3, :2] + (0, 10)  # a forearm that points at the camera
    result = retarget(driver, "coco18", measure(driver, "coco18"), measure(person(2.0)[None], "coco18"))
    assert np.hypot(*(result[1, 4, :2] - result[1, 3, :2])) == pytest.approx(20, rel=1e-4)


def test_the_root_follows_in_the_sources_size():
    driver = np.stack([person(2.0, at=(200 + 50 * t, 300)) for t in (-1, 0, 1)])
    source = person(1.0, at=(80, 90))
    result = retarget(driver, "coco18", measure(driver, "coco18"), measure(source[None], "coco18"))
    np.testing.assert_allclose(roots(result, "coco18"), [(55, 90), (80, 90), (105, 90)], atol=1e-3)


def test_feet_stand_on_the_sources_ground_whatever_the_legs():
    driver, source = person(1.0), person(1.0, leg=0.8, at=(80, 90))
    result = retarget(driver[None], "coco18", measure(driver[None], "coco18"), measure(source[None], "coco18"))
    np.testing.assert_allclose(result[0, [10, 13], 1], source[[10, 13], 1], atol=1e-3)


def test_missing_joints_stay_missing_and_what_hangs_on_them_does_not_vanish():
    driver = np.stack([person(2.0)] * 2)
    driver[1, [3, 8]] = (np.nan, np.nan, 0)  # an elbow and a hip
    source = person(1.0)
    result = retarget(driver, "coco18", measure(driver[:1], "coco18"), measure(source[None], "coco18"))
    assert np.isnan(result[1, [3, 8], :2]).all()
    present = [k for k in range(18) if k not in (3, 8)]
    assert np.isfinite(result[1, present]).all()
    assert np.abs(result[1, [4, 9, 10], :2] - result[0, [4, 9, 10], :2]).max() < 15


def test_all_in_one_size_keeps_the_drivers_proportions():
    driver, source = person(1.0, arm=1.5), person(2.0)
    result = retarget(driver[None], "coco18", measure(driver[None], "coco18"), measure(source[None], "coco18"), bones=False)
    ratio = lengths(result)[0] / lengths(driver[None])[0]
    np.testing.assert_allclose(ratio, 2.0, rtol=1e-4)


def test_unusual_lengths_are_limited():
    driver, source = person(1.0), person(1.0, arm=0.1)  # arms seen from their ends
    result = retarget(driver[None], "coco18", measure(driver[None], "coco18"), measure(source[None], "coco18"))
    assert np.hypot(*(result[0, 3, :2] - result[0, 2, :2])) == pytest.approx(0.7 * 30, rel=1e-3)


@pytest.mark.parametrize("name", SKELETONS)
def test_every_skeleton(name):
    rng = np.random.default_rng(1)
    joints = len(SKELETONS[name])
    poses = np.concatenate([rng.uniform(0, 300, (4, joints, 2)), np.ones((4, joints, 1))], 2).astype(np.float32)
    body = measure(poses[:1], name)
    np.testing.assert_allclose(retarget(poses[:1], name, body, body), poses[:1], atol=1e-2)
    assert np.isfinite(retarget(poses, name, measure(poses, name), body)).all()
    assert retarget(poses[:0], name, body, body).shape == (0, joints, 3)


def test_what_cannot_be_compared():
    nobody = measure(np.full((1, 18, 3), (np.nan, np.nan, 0), np.float32), "coco18")
    someone = measure(person()[None], "coco18")
    with pytest.raises(InputError, match="hips or shoulders were not found"):
        retarget(person()[None], "coco18", someone, nobody)
    neck = np.full((1, 18, 3), (np.nan, np.nan, 0), np.float32)
    neck[0, 1] = (5, 5, 1)
    with pytest.raises(InputError, match="no bone in common"):
        retarget(person()[None], "coco18", someone, measure(neck, "coco18"))
