"""The types check what they are given and say what is wrong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from posert import InputError, Poses, TransferBatch


def keypoints(people: int = 3) -> np.ndarray:
    points = np.random.default_rng().uniform(0, 1, (people, 18, 3)).astype(np.float32)
    points[..., :2] *= 100
    return points


def test_missing_joints_have_one_form() -> None:
    points = keypoints()
    points[0, 1] = (0, 0, 0)
    points[1, 2, 0] = np.nan
    poses = Poses(points)
    for person, joint in ((0, 1), (1, 2)):
        assert np.isnan(poses.keypoints[person, joint, :2]).all()
        assert poses.keypoints[person, joint, 2] == 0
    assert points[0, 1].tolist() == [0, 0, 0], "the caller's array must stay as it was"
    assert poses.skeleton.name == "coco18"
    assert poses.image_index.tolist() == [0, 1, 2]


def test_poses_are_sliced_and_converted() -> None:
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    poses = Poses(keypoints(), [0, 0, 4], boxes)
    assert len(poses) == 3
    assert poses[-1].image_index.tolist() == [4]
    boxes[2] = 0  # the caller's own array; the poses keep what they were given
    np.testing.assert_array_equal(poses[-1].boxes, [[8, 9, 10, 11]])
    with pytest.raises(TypeError):
        poses[True]
    assert len(poses[1:]) == 2
    assert len(poses[np.array([True, False, True])]) == 2
    assert [len(person) for person in poses] == [1, 1, 1]
    with pytest.raises(IndexError):
        poses[3]
    converted = poses.convert("cpm14")
    assert converted.keypoints.shape == (3, 14, 3)
    assert converted.image_index.tolist() == [0, 0, 4]
    assert len(Poses(np.zeros((0, 18, 3)))) == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        poses.boxes = None  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[0], "shape"),
        (lambda p: p[:, :17], "18"),
        (lambda p: p[..., :2], "shape"),
        (lambda p: np.where(p > 50, np.inf, p), "infinite"),
        (lambda p: p.astype(np.float64) * (1e300, 1, 1), "infinite"),
        (lambda p: p * (1, 1, 2) + (0, 0, 1), r"\[0, 1\]"),
        (lambda p: p * (1, 1, np.nan), r"\[0, 1\]"),
        (lambda p: [["a"]], "numbers"),
        (lambda p: p.astype(str), "numbers"),
        (lambda p: p * 1j, "numbers"),
    ],
)
def test_bad_keypoints(change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Poses(change(keypoints()))


def test_bad_companions() -> None:
    for index in ([0, 1], [0.0, 1.0, 2.0], [0, 1, -1], [[0], [1, 2], 3]):
        with pytest.raises(InputError, match="image_index"):
            Poses(keypoints(), index)
    for boxes in (
        np.zeros((3, 3)),
        np.full((3, 4), np.nan),
        np.zeros((3, 4)),
        np.full((3, 4), 1e300),
        [["a"] * 4] * 3,
        np.eye(4),
    ):
        with pytest.raises(InputError, match="box"):
            Poses(keypoints(), boxes=boxes)
    with pytest.raises(InputError, match="unknown skeleton"):
        Poses(keypoints(), skeleton="stick")


def test_batches() -> None:
    images = np.zeros((3, 8, 8, 3), np.uint8)
    batch = TransferBatch.of({"source": images, "target": keypoints()})
    assert len(batch) == 3
    assert TransferBatch.of(batch) is batch
    with pytest.raises(InputError, match="3 images, 2 poses"):
        TransferBatch(images, keypoints(2))
    with pytest.raises(InputError, match="3 images, 2 poses"):
        TransferBatch(images, keypoints(), Poses(keypoints(2)))
    with pytest.raises(InputError, match="source_pose"):
        TransferBatch(images, keypoints(), keypoints())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="keys source and target"):
        TransferBatch.of({"source": images})
    with pytest.raises(InputError, match="keys source and target"):
        TransferBatch.of({"source": images, "target": keypoints(), "pose": 1})
    with pytest.raises(InputError, match="TransferBatch"):
        TransferBatch.of(images)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="source"):
        TransferBatch(3, keypoints())  # type: ignore[arg-type]


def test_occlusion_goes_along() -> None:
    points = keypoints(2)
    points[..., 2] = 0.8
    occlusion = np.zeros((2, 18), np.float32)
    left_wrist, nose = 7, 0
    occlusion[0, left_wrist], occlusion[1, nose] = 0.9, 0.25
    poses = Poses(points, occlusion=occlusion)
    assert np.argwhere(poses.occluded).tolist() == [[0, left_wrist]]
    np.testing.assert_array_equal(poses[1:].occlusion, occlusion[1:])
    converted = poses.convert("coco17")
    joints = converted.skeleton.joints
    assert converted.occlusion[0, joints.index("left_wrist")] == np.float32(0.9)
    assert np.isnan(poses.convert("body25").occlusion[:, 8]).all(), "a derived joint says nothing about occlusion"
    assert not poses.convert("body25").occluded[:, 8].any()
    assert not Poses(points).occluded.any()
    with pytest.raises(InputError, match="one a joint"):
        Poses(points, occlusion=occlusion[:, :5])
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        Poses(points, occlusion=occlusion + 2)
