"""Joint orders, mirror permutations and conversions of specs R-6."""

from __future__ import annotations

import numpy as np
import pytest

from posert.errors import InputError
from posert.skeleton import SKELETONS, Skeleton, convert_keypoints

FLIPS = {
    "coco18": [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16],
    "mpii16": [5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10],
    "cpm14": [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10],
}
SIZES = {"coco17": 17, "coco18": 18, "body25": 25, "mpii16": 16, "lsp14": 14, "cpm14": 14, "lsp19": 19}


def random_keypoints(name: str, people: int = 5) -> np.ndarray:
    points = np.random.default_rng().uniform(0.1, 1, (people, SIZES[name], 3)).astype(np.float32)
    points[..., :2] *= 200
    return points


def test_registry() -> None:
    assert {name: len(skeleton) for name, skeleton in SKELETONS.items()} == SIZES
    for skeleton in SKELETONS.values():
        assert [skeleton.flip[k] for k in skeleton.flip] == list(range(len(skeleton)))
        assert len(set(skeleton.joints)) == len(skeleton)
    assert {name: list(SKELETONS[name].flip) for name in FLIPS} == FLIPS


@pytest.mark.parametrize(
    ("source", "target", "picks"),
    [
        ("mpii16", "cpm14", [9, 8, 12, 11, 10, 13, 14, 15, 2, 1, 0, 3, 4, 5]),
        ("lsp14", "cpm14", [13, 12, 8, 7, 6, 9, 10, 11, 2, 1, 0, 3, 4, 5]),
    ],
)
def test_permutations(source: str, target: str, picks: list[int]) -> None:
    points = random_keypoints(source)
    np.testing.assert_array_equal(convert_keypoints(points, source, target), points[:, picks])


def test_coco17_to_coco18() -> None:
    points = random_keypoints("coco17")
    result = convert_keypoints(points, "coco17", "coco18")
    picks = [0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3]
    np.testing.assert_array_equal(np.delete(result, 1, axis=1), points[:, picks])
    np.testing.assert_allclose(result[:, 1, :2], (points[:, 5, :2] + points[:, 6, :2]) / 2, rtol=1e-6)
    points[2, 5] = (np.nan, np.nan, 0)
    assert np.isnan(convert_keypoints(points, "coco17", "coco18")[2, 1, :2]).all()


def test_head_is_extrapolated_and_the_face_left_out() -> None:
    points = random_keypoints("coco18")
    head = convert_keypoints(points, "coco18", "cpm14")[:, 0]
    np.testing.assert_allclose(head[:, :2], points[:, 0, :2] + 0.9 * (points[:, 0, :2] - points[:, 1, :2]), rtol=1e-4, atol=1e-3)
    points = random_keypoints("cpm14")
    result = convert_keypoints(points, "cpm14", "coco18")
    np.testing.assert_allclose(
        result[:, 0, :2], points[:, 1, :2] + 0.55 * (points[:, 0, :2] - points[:, 1, :2]), rtol=1e-4, atol=1e-3
    )
    assert np.isnan(result[:, 14:, :2]).all()
    assert (result[:, 14:, 2] == 0).all()


@pytest.mark.parametrize("source", sorted(SIZES))
@pytest.mark.parametrize("target", sorted(SIZES))
def test_conversion_commutes_with_mirroring_and_keeps_missing_joints_missing(source: str, target: str) -> None:
    points = random_keypoints(source)
    points[np.random.default_rng().random(points.shape[:2]) < 0.3] = (np.nan, np.nan, 0)
    mirrored = points[:, list(SKELETONS[source].flip)] * np.float32([-1, 1, 1])
    first = convert_keypoints(mirrored, source, target)
    second = convert_keypoints(points, source, target)[:, list(SKELETONS[target].flip)] * np.float32([-1, 1, 1])
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-3)
    missing = first[..., 2] == 0
    assert (np.isnan(first[..., :2]).all(-1) == missing).all()


def test_a_skeleton_of_ones_own() -> None:
    tail = Skeleton("cat", ("nose", "left_ear", "right_ear", "tail"), ((0, 3),))
    assert tail.flip == (0, 2, 1, 3)
    result = convert_keypoints(random_keypoints("coco17"), "coco17", tail)
    assert np.isfinite(result[:, :3]).all()
    assert np.isnan(result[:, 3, :2]).all()


def test_errors() -> None:
    with pytest.raises(InputError, match="known: body25, coco17"):
        convert_keypoints(np.zeros((1, 17, 3)), "coco71", "coco18")
    with pytest.raises(InputError, match=r"\(\.\.\., 17, 3\)"):
        convert_keypoints(np.zeros((1, 18, 3)), "coco17", "coco18")
    with pytest.raises(InputError, match="permutation"):
        Skeleton("two", ("a", "b"), (), (0, 0))
    with pytest.raises(InputError, match="own inverse"):
        Skeleton("three", ("a", "b", "c"), (), (1, 2, 0))
    with pytest.raises(InputError, match=r"left_a.*counterpart"):
        Skeleton("two", ("left_a", "b"), ())
    with pytest.raises(InputError, match="limbs"):
        Skeleton("two", ("a", "b"), ((0, 2),))
