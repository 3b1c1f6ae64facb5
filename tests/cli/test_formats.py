"""`posert.formats`: what is written is read back, and nothing but `InputError` comes out of a bad file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posert.errors import InputError
from posert.formats import (
    ImageInfo,
    best_person,
    coco_document,
    openpose_document,
    read_coco,
    read_openpose,
    read_poses,
    write_json,
)
from posert.skeleton import SKELETONS
from posert.types import Poses

IMAGES = [ImageInfo("a.jpg", 640, 480), ImageInfo("b.jpg", 320, 240)]


def some_poses(skeleton: str = "coco17", people: int = 3, *, boxes: bool = True) -> Poses:
    generator = np.random.default_rng(7)
    joints = len(SKELETONS[skeleton])
    keypoints = np.dstack([generator.uniform(-20, 600, (people, joints, 2)), generator.uniform(0.01, 1, (people, joints))])
    keypoints[:, 3] = (np.nan, np.nan, 0)
    index = np.arange(people) % 2
    box = np.float32([[1, 2, 300, 400]] * people) if boxes else None
    return Poses(keypoints.astype(np.float32), index, box, skeleton)


def save(path: Path, document: object) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


@pytest.mark.parametrize("skeleton", SKELETONS)
@pytest.mark.parametrize("boxes", [True, False])
def test_coco_round_trip(tmp_path, skeleton, boxes):
    poses = some_poses(skeleton, boxes=boxes)
    write_json(tmp_path / "out.json", coco_document(poses, IMAGES))
    back, images = read_coco(tmp_path / "out.json")
    assert images == IMAGES
    assert back.skeleton.name == skeleton
    np.testing.assert_array_equal(back.image_index, poses.image_index)
    np.testing.assert_allclose(back.keypoints, poses.keypoints, atol=6e-4)
    if boxes:
        np.testing.assert_allclose(back.boxes, poses.boxes)


def test_coco_document_is_what_pycocotools_reads():
    document = coco_document(some_poses(), IMAGES)
    assert {"images", "annotations", "categories"} <= document.keys()
    assert [image["id"] for image in document["images"]] == [1, 2]
    category = document["categories"][0]
    assert category["keypoints"][:3] == ["nose", "left_eye", "right_eye"]
    assert min(min(limb) for limb in category["skeleton"]) == 1
    for number, annotation in enumerate(document["annotations"]):
        assert annotation["id"] == number + 1
        assert annotation["category_id"] == category["id"]
        assert annotation["iscrowd"] == 0
        assert len(annotation["keypoints"]) == 51
        assert set(annotation["keypoints"][2::3]) == {0, 2}
        assert annotation["keypoints"][9:12] == [0, 0, 0]
        assert annotation["num_keypoints"] == 16
        assert annotation["bbox"] == [1, 2, 299, 398]
        assert annotation["area"] == 299 * 398


def test_tight_box_covers_whole_pixels():
    keypoints = np.full((2, 17, 3), np.nan, np.float32)
    keypoints[..., 2] = 0
    keypoints[0, :2] = [(10, 20, 1), (12, 25, 1)]
    first, second = coco_document(Poses(keypoints, np.zeros(2, int), None, "coco17"), IMAGES)["annotations"]
    assert first["bbox"] == [10, 20, 3, 6]
    assert second["bbox"] == [0, 0, 0, 0]


def test_coco_results_are_read_with_their_scores(tmp_path):
    flat = [10.0, 20.0, 0.5] * 17
    path = save(tmp_path / "results.json", [{"image_id": 42, "category_id": 1, "keypoints": flat, "score": 0.5}])
    poses, images = read_coco(path)
    assert poses.skeleton.name == "coco17"
    assert poses.keypoints[0, 0].tolist() == [10, 20, 0.5]
    assert images == []


def test_empty_poses_are_written_and_read(tmp_path):
    none = Poses(np.zeros((0, 14, 3), np.float32), skeleton="cpm14")
    write_json(tmp_path / "none.json", coco_document(none, IMAGES))
    back, images = read_coco(tmp_path / "none.json")
    assert len(back) == 0
    assert images == IMAGES
    assert openpose_document(none) == {"version": 1.3, "people": []}


def test_image_that_is_not_listed():
    with pytest.raises(InputError, match="image 1, but only 1"):
        coco_document(some_poses(), IMAGES[:1])


@pytest.mark.parametrize("skeleton", ["coco18", "body25"])
def test_openpose_round_trip(tmp_path, skeleton):
    poses = some_poses(skeleton)
    document = openpose_document(poses)
    assert document["version"] == 1.3
    assert len(document["people"][0]["pose_keypoints_2d"]) == 3 * len(poses.skeleton)
    assert document["people"][0]["pose_keypoints_2d"][9:12] == [0, 0, 0]
    write_json(tmp_path / "out.json", document)
    back = read_openpose(tmp_path / "out.json")
    assert back.skeleton.name == skeleton
    np.testing.assert_allclose(back.keypoints, poses.keypoints, atol=6e-4)


@pytest.mark.parametrize("skeleton", ["cpm14", "coco17", "lsp14", "mpii16"])
def test_openpose_converts_other_skeletons(skeleton):
    assert len(openpose_document(some_poses(skeleton))["people"][0]["pose_keypoints_2d"]) == 54


def test_tiny_scores_stay_present(tmp_path):
    keypoints = np.full((1, 18, 3), 5, np.float32)
    keypoints[..., 2] = 1e-9
    write_json(tmp_path / "a.json", openpose_document(Poses(keypoints)))
    assert (read_poses(tmp_path / "a.json").keypoints[..., 2] > 0).all()
    write_json(tmp_path / "b.json", coco_document(Poses(keypoints), IMAGES))
    assert (read_poses(tmp_path / "b.json").keypoints[..., 2] > 0).all()


def test_format_is_detected_and_the_best_person_chosen(tmp_path):
    poses = some_poses("coco18")
    keypoints = poses.keypoints.copy()
    keypoints[1, 5:, 2] = 1
    documents = {"open.json": openpose_document(Poses(keypoints)), "coco.json": coco_document(Poses(keypoints), IMAGES * 2)}
    for name, document in documents.items():
        found = read_poses(save(tmp_path / name, document))
        assert len(found) == 3
        np.testing.assert_allclose(best_person(found).keypoints[0], keypoints[1], atol=6e-4)
    with pytest.raises(InputError, match="no person"):
        best_person(poses[:0])


def test_scores_above_one_are_lowered(tmp_path):
    path = save(tmp_path / "a.json", {"people": [{"pose_keypoints_2d": [1, 2, 1.04] * 18}]})
    assert read_poses(path).keypoints[0, 0].tolist() == [1, 2, 1]


FLAT = [1.0, 2.0, 0.5] * 18


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "is empty"),
        ("not json at all", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("1" * 5000, "is not JSON"),
        ('{"people": [{"pose_keypoints_2d": [NaN, 1, 1]}]}', "holds NaN"),
        ('{"people": [{"pose_keypoints_2d": [1e999, 1, 1]}]}', "too large"),
        ("3", "holds no poses"),
        ({}, "holds no poses"),
        ({"people": []}, "holds no person"),
        ({"people": [{"pose_keypoints_2d": [0] * 54}]}, "holds no person"),
        ({"people": 3}, "people must be a list"),
        ({"people": [3]}, "people must be a list"),
        ({"people": [{}]}, "must be a list of numbers"),
        ({"people": [{"pose_keypoints_2d": FLAT[:-1]}]}, "has 53 numbers"),
        ({"people": [{"pose_keypoints_2d": FLAT[:-3]}]}, "54 .18 joints. or 75"),
        ({"people": [{"pose_keypoints_2d": []}]}, "has 0 numbers"),
        ({"people": [{"pose_keypoints_2d": [True, "1", None] * 18}]}, "must be a list of numbers"),
        ({"people": [{"pose_keypoints_2d": [1, 2, -1] * 18}]}, "negative score"),
        ({"people": [{"pose_keypoints_2d": [1e39, 2, 1] * 18}]}, "too large"),
        ({"people": [{"pose_keypoints_2d": [10**400, 2, 1] * 18}]}, "too large"),
        ({"people": [{"pose_keypoints_2d": FLAT}, {"pose_keypoints_2d": [1, 2, 0.5] * 25}]}, "25 joints, but"),
        ([], "holds no person"),
        ([3], "list of objects"),
        ({"annotations": {}}, "list of objects"),
        ({"annotations": [{"keypoints": [1, 2, 2] * 14}]}, "none of the known skeletons"),
        ({"annotations": [{"keypoints": [1, 2, 2] * 17, "image_id": 3}], "images": [{"id": 1, "file_name": "a"}]}, "not among"),
        ({"annotations": [], "images": [{"id": 1, "file_name": "a"}] * 2}, "same id"),
        ({"annotations": [{"keypoints": [1, 2, 2] * 17, "image_id": 1}], "images": [{"id": 1}]}, "file_name"),
        ({"annotations": [{"keypoints": [1, 2, 2] * 17, "bbox": [1, 2]}]}, "bbox must be"),
        ({"annotations": [{"keypoints": [1, 2, 2] * 17, "keypoint_scores": [1]}]}, "must be 17 numbers"),
        ({"annotations": [{"keypoints": [1, 2, 2] * 17}], "categories": [{"keypoints": ["nose"]}]}, "none of the known"),
        ({"annotations": [{"keypoints": [1, 2, 2] * 17}, {"keypoints": [1, 2, 2] * 18}]}, "3 x 17 = 51 are needed"),
    ],
)
def test_bad_files(tmp_path, document, words):
    path = save(tmp_path / "bad.json", document)
    with pytest.raises(InputError, match=words) as caught:
        read_poses(path)
    assert "bad.json" in str(caught.value)


def test_binary_and_missing_files(tmp_path):
    (tmp_path / "bad.json").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="is not JSON"):
        read_poses(tmp_path / "bad.json")
    with pytest.raises(InputError, match="no file"):
        read_poses(tmp_path / "none.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(FLAT) | st.just([1, 2, 2] * 17),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ("people", "annotations", "images", "categories", "keypoints", "keypoint_scores", "pose_keypoints_2d")
                + ("bbox", "id", "image_id", "file_name", "width", "height")
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(document=JSON, wrapper=st.sampled_from(["", "people", "annotations"]))
def test_any_json_gives_poses_or_an_input_error(tmp_path, document, wrapper):
    path = save(tmp_path / "any.json", {wrapper: [document]} if wrapper else document)
    try:
        poses = read_poses(path)
    except InputError:
        return
    assert len(poses) > 0


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60))
def test_any_bytes_give_an_input_error(tmp_path, content):
    (tmp_path / "any.json").write_bytes(content)
    with pytest.raises(InputError):
        read_poses(tmp_path / "any.json")


def test_nan_is_never_written(tmp_path):
    with pytest.raises(InputError, match="NaN"):
        write_json(tmp_path / "out.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())
