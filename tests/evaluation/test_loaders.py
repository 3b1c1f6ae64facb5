"""The loaders read the published layouts, on tiny sets written in those layouts, and on the real ones where they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posert.errors import InputError
from posert.evaluation import load_dataset, parse_numbers, read_detections

io = pytest.importorskip("scipy.io", reason="reading .mat files: pip install posert[eval]")


def write_picture(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))


def write_lsp(root: Path, joints: np.ndarray, digits: int) -> Path:
    for number in range(1, joints.shape[2] + 1):
        write_picture(root / "images" / f"im{number:0{digits}}.jpg")
    io.savemat(root / "joints.mat", {"joints": joints})
    return root


def test_lsp(tmp_path: Path) -> None:
    joints = np.random.default_rng().uniform(1, 30, (3, 14, 4))
    data = load_dataset("lsp", write_lsp(tmp_path, joints, 4))
    assert (len(data), data.skeleton.name, data.image_ids[2]) == (4, "lsp14", "im0003.jpg")
    np.testing.assert_allclose(data.keypoints[1, :, :2], joints[:2, :, 1].T - 1, rtol=1e-6)  # counted from 1 in the file
    assert (data.keypoints[..., 2] == 1).all()  # the third row says what is occluded, and every joint is labelled
    low, high = joints[:2, :, 3].min(1) - 1, joints[:2, :, 3].max(1)
    np.testing.assert_allclose(data.true_boxes()[3], [*low, *high], rtol=1e-5)


def test_lspet(tmp_path: Path) -> None:
    joints = np.random.default_rng().uniform(1, 30, (14, 3, 2))
    joints[:, 2] = 1
    joints[5, 2, 0] = 0
    joints[5, :2, 0] = -1000
    data = load_dataset("lspet", write_lsp(tmp_path, joints, 5))
    assert np.isnan(data.keypoints[0, 5, :2]).all()
    assert data.keypoints[0, 5, 2] == 0
    np.testing.assert_allclose(data.keypoints[1, :, :2], joints[:, :2, 1], rtol=1e-6)
    assert data.true_boxes().min() >= 1


def test_parts_keep_people_with_their_pictures(tmp_path: Path) -> None:
    joints = np.random.default_rng().uniform(1, 30, (3, 14, 6))
    data = load_dataset("lsp", write_lsp(tmp_path, joints, 4)).part([1, 4])
    assert data.image_ids == ("im0002.jpg", "im0005.jpg")
    assert data.image_index.tolist() == [0, 1]
    np.testing.assert_allclose(data.keypoints[1, :, :2], joints[:2, :, 4].T - 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "numbers"), [("3", [2]), ("2-4", [1, 2, 3]), ("5,1-2", [0, 1, 4]), ("1-5,2-3", [0, 1, 2, 3, 4])]
)
def test_numbers_of_pictures(text: str, numbers: list[int]) -> None:
    assert parse_numbers(text, 5) == numbers


@pytest.mark.parametrize("text", ["", "0", "6", "4-2", "a", "1-", "-2", "1--2", "²"])
def test_numbers_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="pictures are"):
        parse_numbers(text, 5)


def test_lsp_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        load_dataset("lsp", tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"joints\.mat"):
        load_dataset("lsp", tmp_path)
    (tmp_path / "joints.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(InputError, match="cannot be read as a MATLAB file"):
        load_dataset("lsp", tmp_path)
    root = write_lsp(tmp_path / "lsp", np.ones((3, 14, 2)), 4)
    with pytest.raises(InputError, match=r"14 x 3 x N is needed, got shape \(3, 14, 2\)"):
        load_dataset("lspet", root)
    (root / "images" / "im0002.jpg").unlink()
    with pytest.raises(InputError, match=r"im0002\.jpg"):
        load_dataset("lsp", root)
    with pytest.raises(InputError, match="leave --annotations out"):
        load_dataset("lsp", root, "other.mat")
    with pytest.raises(InputError, match="unknown data set"):
        load_dataset("flic", root)


def write_market(root: Path) -> Path:
    lines = ["name:keypoints_y:keypoints_x"]
    for number in range(3):
        name = f"000{number}_c1s1_00045{number}_03.jpg"
        write_picture(root / "bounding_box_train" / name, (128, 64))
        y, x = list(range(10, 28)), list(range(30, 48))
        x[13] = y[13] = -1
        lines.append(f"{name}: {y}: {x}")
    lines.append(f"9999_absent.jpg: {[-1] * 18}: {[-1] * 18}")
    (root / "market-annotation-train.csv").write_text("\n".join(lines) + "\n")
    return root


def test_market(tmp_path: Path) -> None:
    data = load_dataset("market", write_market(tmp_path))
    assert (len(data), data.skeleton.name) == (3, "coco18")
    assert data.keypoints[1, 2].tolist() == [32, 12, 1]
    assert np.isnan(data.keypoints[1, 13, :2]).all()
    assert "OpenPose" in data.notes[0]
    path = tmp_path / "market-annotation-train.csv"
    path.write_text(path.read_text().replace("[10,", "[", 1))
    with pytest.raises(InputError, match="line 2"):
        load_dataset("market", tmp_path)
    path.unlink()
    with pytest.raises(InputError, match="market-annotation-train"):
        load_dataset("market", tmp_path)


def coco_document() -> dict[str, Any]:
    points = [[float(10 * k), float(5 * k), 1 + k % 2] for k in range(1, 18)]
    points[3] = [0.0, 0.0, 0]
    flat = [value for point in points for value in point]
    images = [{"id": 40 + i, "file_name": f"{i:012}.jpg", "width": 30, "height": 40} for i in range(3)]
    person = {"category_id": 1, "iscrowd": 0, "bbox": [5, 6, 20, 30], "area": 500.5, "keypoints": flat, "num_keypoints": 16}
    people = [{**person, "id": 7, "image_id": 42}, {**person, "id": 8, "image_id": 40}, {**person, "id": 9, "image_id": 42}]
    crowd = {**person, "id": 10, "image_id": 40, "iscrowd": 1, "keypoints": [0] * 51, "num_keypoints": 0}
    return {"images": images, "annotations": [*people, crowd], "categories": [{"id": 1, "name": "person"}]}


def write_coco(root: Path, document: dict[str, Any]) -> Path:
    (root / "annotations").mkdir(parents=True, exist_ok=True)
    (root / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(document))
    for image in document["images"]:
        write_picture(root / "val2017" / image["file_name"])
    return root


def test_coco(tmp_path: Path) -> None:
    data = load_dataset("coco", write_coco(tmp_path, coco_document()))
    assert data.image_ids == (40, 42)  # image 41 has nobody
    assert data.image_index.tolist() == [0, 0, 1, 1]
    assert data.keypoints[0, 0].tolist() == [10, 5, 1]
    assert np.isnan(data.keypoints[0, 3, :2]).all()
    assert data.crowd is not None
    assert data.crowd.tolist() == [False, True, False, False]
    assert data.labelled.tolist() == [True, False, True, True]
    assert data.true_boxes()[0].tolist() == [5, 6, 25, 36]
    assert data.joint_boxes()[0].tolist() == [10, 5, 171, 86]
    assert data.areas is not None
    assert data.areas.tolist() == [500.5] * 4
    assert data.files[1] == tmp_path / "val2017" / "000000000002.jpg"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["annotations"][0].pop("bbox"), "annotation 7: bbox"),
        (lambda d: d["annotations"][0].update(area="large"), "annotation 7: area"),
        (lambda d: d["annotations"][0].update(keypoints=[1, 2, 2]), "keypoints of annotation 7"),
        (lambda d: d["annotations"][0].update(image_id=1), "belongs to image 1"),
        (lambda d: d["annotations"].clear(), "annotates no people"),
        (lambda d: d["images"][0].pop("file_name"), "file_name"),
        (lambda d: d.pop("images"), "images and annotations"),
    ],
)
def test_coco_damage_is_named(tmp_path: Path, change: Any, message: str) -> None:
    document = coco_document()
    root = write_coco(tmp_path, document)
    change(document)
    (root / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        load_dataset("coco", root)


def test_coco_files_that_are_not_clear(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no person_keypoints"):
        load_dataset("coco", tmp_path)
    root = write_coco(tmp_path, coco_document())
    (root / "annotations" / "person_keypoints_train2017.json").write_text(json.dumps(coco_document()))
    with pytest.raises(InputError, match="several annotations"):
        load_dataset("coco", root)
    assert len(load_dataset("coco", root, "annotations/person_keypoints_val2017.json")) == 4
    with pytest.raises(InputError, match="there is no picture"):  # it is named after another folder
        load_dataset("coco", root, root / "annotations" / "person_keypoints_train2017.json")


def test_detections(tmp_path: Path) -> None:
    data = load_dataset("coco", write_coco(tmp_path, coco_document()))
    box = {"category_id": 1, "bbox": [1, 2, 10, 20], "score": 0.5}
    entries = [{**box, "image_id": 42}, {**box, "image_id": 42, "category_id": 3}, {**box, "image_id": 999}]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(entries))
    detections = read_detections(path, data)
    assert [len(boxes) for boxes in detections.boxes] == [0, 1]
    assert detections.boxes[1].tolist() == [[1, 2, 11, 22]]
    assert detections.scores[1].tolist() == [0.5]
    path.write_text(json.dumps(entries[2:]))
    with pytest.raises(InputError, match="no box in any"):
        read_detections(path, data)
    path.write_text(json.dumps([{**box, "image_id": 42, "score": 2}]))
    with pytest.raises(InputError, match="detection 0"):
        read_detections(path, data)


def test_real_sets(data_root: Path) -> None:
    lsp = load_dataset("lsp", data_root / "lsp")
    assert len(lsp) == 1000
    assert (lsp.keypoints[..., 2] == 1).all()
    lspet = load_dataset("lspet", data_root / "lspet")
    assert len(lspet) == 10000
    assert 0.8 < (lspet.keypoints[..., 2] > 0).mean() < 1
    market = load_dataset("market", data_root / "market1501")
    assert len(market) > 10000
    inside = market.keypoints[..., :2][market.keypoints[..., 2] > 0]
    assert (inside >= 0).all()
    assert (inside < (64, 128)).all()
