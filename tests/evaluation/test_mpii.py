"""MPII in its published layout, and as the JSON files that the field uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posert.errors import InputError
from posert.evaluation import load_dataset

io = pytest.importorskip("scipy.io", reason="reading .mat files: pip install posert[eval]")

HEAD = (100, 40, 130, 80)  # a diagonal of 50 pixels


def write_pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        cv2.imwrite(str(folder / f"{number:09}.jpg"), np.full((40, 30, 3), 90, np.uint8))


def joints_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(1, 200, (16, 2)).round(1)


def rectangle(joints: np.ndarray, left_out: tuple[int, ...] = ()) -> dict[str, Any]:
    points = [{"x": x, "y": y, "id": k, "is_visible": 1} for k, (x, y) in enumerate(joints) if k not in left_out]
    return {
        **dict(zip(("x1", "y1", "x2", "y2"), HEAD, strict=True)),
        "annopoints": {"point": np.array(points, dtype=object)},
        "scale": 1.5,
        "objpos": {"x": 90, "y": 100},
    }


def structs(entries: list[dict[str, Any]]) -> np.ndarray:
    """MATLAB's array of structs: every struct has all fields, empty where nothing is known."""
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    array = np.empty((1, len(entries)), [(name, object) for name in names])
    for i, entry in enumerate(entries):
        for name in names:
            array[name][0, i] = entry.get(name, np.zeros((0, 0)))
    return array


def write_release(root: Path) -> tuple[Path, list[np.ndarray]]:
    joints = [joints_of(seed) for seed in range(3)]
    people = [rectangle(joints[0]), rectangle(joints[1], (6, 9))]
    for person in people:
        person["annopoints"] = {"point": structs(list(person["annopoints"]["point"]))}
    alone = rectangle(joints[2])
    alone["annopoints"] = {"point": structs(list(alone["annopoints"]["point"]))}
    bystander = {"scale": 1.1, "objpos": {"x": 5, "y": 6}}  # somebody without labels
    annolist = structs(
        [
            {"image": {"name": "000000001.jpg"}, "annorect": structs([*people, bystander])},
            {"image": {"name": "000000002.jpg"}, "annorect": np.zeros((0, 0))},
            {"image": {"name": "000000003.jpg"}, "annorect": structs([alone])},
        ]
    )
    write_pictures(root / "images", 3)
    release = {"annolist": annolist, "img_train": np.array([[1, 0, 1]]), "version": "12"}
    io.savemat(root / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    return root, joints


def test_release(tmp_path: Path) -> None:
    root, joints = write_release(tmp_path)
    data = load_dataset("mpii", root)
    assert data.image_ids == ("000000001.jpg", "000000003.jpg")
    assert data.image_index.tolist() == [0, 0, 1]
    np.testing.assert_allclose(data.keypoints[0, :, :2], joints[0] - 1, rtol=1e-5)  # counted from 1 in the file
    assert np.flatnonzero(data.keypoints[1, :, 2] == 0).tolist() == [6, 9]
    assert data.head_sizes is not None
    np.testing.assert_allclose(data.head_sizes, 0.6 * 50)
    # The hourglass crop is a square of 200 * 1.25 * scale about the centre lowered by 15 * scale; 1.25 is the model's margin.
    np.testing.assert_allclose(data.true_boxes()[2], [89.5 - 150, 99.5 + 22.5 - 150, 89.5 + 150, 99.5 + 22.5 + 150])


def test_release_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none of mpii_human_pose"):
        load_dataset("mpii", tmp_path)
    io.savemat(tmp_path / "mpii_human_pose_v1_u12_1.mat", {"other": 1})
    with pytest.raises(InputError, match="no struct RELEASE"):
        load_dataset("mpii", tmp_path)
    rect = {"annopoints": {"point": structs([{"x": 1, "y": 2, "id": 77}])}}
    annolist = structs([{"image": {"name": "000000001.jpg"}, "annorect": structs([rect])}])
    io.savemat(tmp_path / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": {"annolist": annolist}})
    with pytest.raises(InputError, match=r"annolist\(1\)"):
        load_dataset("mpii", tmp_path)


def listed(joints: np.ndarray, image: str, labelled: list[int]) -> dict[str, Any]:
    visible = [int(k in labelled) for k in range(16)]
    places = [[*point] if v else [-1.0, -1.0] for point, v in zip(joints.tolist(), visible, strict=True)]
    return {"image": image, "joints": places, "joints_vis": visible, "center": [90.0, 100.0], "scale": 1.5}


def write_valid(root: Path, *, heads: bool) -> tuple[Path, list[np.ndarray]]:
    joints = [joints_of(seed) for seed in range(3)]
    names = ["000000002.jpg", "000000001.jpg", "000000002.jpg"]
    people = [listed(points, name, list(range(15))) for points, name in zip(joints, names, strict=True)]
    people[1]["center"] = [-1.0, -1.0]
    (root / "annot").mkdir(parents=True)
    (root / "annot" / "valid.json").write_text(json.dumps(people))
    if heads:
        corners = np.array(HEAD, float).reshape(2, 2)[..., None] * np.array([1, 2, 3])
        io.savemat(root / "annot" / "gt_valid.mat", {"headboxes_src": corners})
    write_pictures(root / "images", 2)
    return root, joints


def test_valid_json(tmp_path: Path) -> None:
    root, joints = write_valid(tmp_path, heads=True)
    data = load_dataset("mpii", root)
    assert data.image_ids == ("000000002.jpg", "000000001.jpg")
    assert data.image_index.tolist() == [0, 0, 1]  # people of a picture stand together; their head rectangles move with them
    np.testing.assert_allclose(data.keypoints[1, :15, :2], joints[2][:15] - 1, rtol=1e-5)
    assert (data.keypoints[:, 15, 2] == 0).all()
    assert data.head_sizes is not None
    np.testing.assert_allclose(data.head_sizes, [30, 90, 60])
    assert data.boxes is not None
    assert np.isnan(data.boxes[2]).all()
    np.testing.assert_array_equal(data.true_boxes()[2], data.joint_boxes()[2])


def test_valid_json_without_heads_says_so(tmp_path: Path) -> None:
    data = load_dataset("mpii", write_valid(tmp_path, heads=False)[0])
    assert data.head_sizes is None
    assert "no head rectangles" in data.notes[0]


def test_prepared_json_takes_the_validation_part(tmp_path: Path) -> None:
    joints = joints_of(4)
    table = np.concatenate([joints, np.ones((16, 1))], 1)
    table[7] = 0
    entry = {"img_paths": "000000001.jpg", "joint_self": table.tolist(), "objpos": [90, 100], "scale_provided": 1.5}
    entries = [{**entry, "isValidation": 0.0}, {**entry, "isValidation": 1.0}]
    (tmp_path / "mpii_annotations.json").write_text(json.dumps(entries))
    corners = np.array(HEAD, float).reshape(2, 2)[..., None] * np.array([3, 1])
    np.save(tmp_path / "mpii_headboxes.npy", corners)
    write_pictures(tmp_path, 1)  # beside the annotation
    data = load_dataset("mpii", tmp_path)
    assert len(data) == 1
    assert np.flatnonzero(data.keypoints[0, :, 2] == 0).tolist() == [7]
    np.testing.assert_allclose(data.keypoints[0, 8, :2], joints[8] - 1, rtol=1e-5)
    assert data.head_sizes is not None
    np.testing.assert_allclose(data.head_sizes, [30])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints": [[1, 2]]}, "joints must be 16 rows"),
        ({"joints_vis": [1]}, "joints_vis must be 16 numbers"),
        ({"image": None}, "file name"),
        ({"center": [1]}, "centre must be x, y"),
        ({"image": "elsewhere.jpg"}, "no picture 'elsewhere.jpg'"),
    ],
)
def test_json_damage_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    person = {**listed(joints_of(0), "000000001.jpg", list(range(16))), **change}
    (tmp_path / "valid.json").write_text(json.dumps([person]))
    write_pictures(tmp_path / "images", 1)
    with pytest.raises(InputError, match=message):
        load_dataset("mpii", tmp_path)


def test_head_rectangles_must_fit(tmp_path: Path) -> None:
    root, _ = write_valid(tmp_path, heads=True)
    io.savemat(root / "annot" / "gt_valid.mat", {"headboxes_src": np.ones((2, 2, 7))})
    with pytest.raises(InputError, match=r"\(2, 2, 3\) are needed"):
        load_dataset("mpii", root)
    (root / "annot" / "valid.json").write_text("[]")
    (root / "annot" / "gt_valid.mat").unlink()
    with pytest.raises(InputError, match="nobody with labelled joints"):
        load_dataset("mpii", root)
