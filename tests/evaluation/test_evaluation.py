"""From pictures to numbers, with a network whose answers are known, and the command on top."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from posert import Estimator, Poses
from posert.cli import app
from posert.errors import InputError, MissingDependency
from posert.evaluation import Detections, PoseDataset, evaluate, load_dataset, predict
from posert.extras import require
from posert.skeleton import convert_keypoints, get_skeleton

CELLS = ((10, 14), (12, 16), (9, 12))
"""Where the bright block lies in each picture of 192 x 256 pixels, in cells of 8."""


def places(cell: tuple[int, int], offsets: np.ndarray) -> np.ndarray:
    """Where `tiny_estimator_bundle` finds the joints of cpm14, (14, 3)."""
    xy = 8 * (np.array(cell) + offsets) + 3.5
    return np.concatenate([xy, np.ones((14, 1))], 1).astype(np.float32)


def write_pictures(folder: Path) -> list[str]:
    folder.mkdir(parents=True)
    names = []
    for number, (x, y) in enumerate(CELLS):
        picture = np.zeros((256, 192, 3), np.uint8)
        picture[8 * y : 8 * y + 8, 8 * x : 8 * x + 8, 2] = 255  # red
        names.append(f"{number}.png")
        cv2.imwrite(str(folder / names[-1]), picture)
    return names


@pytest.fixture
def coco_root(tmp_path: Path, estimator_offsets: np.ndarray) -> Path:
    """COCO's layout: a person a picture, whose box is the picture; the last one's left wrist is labelled 90 pixels away."""
    names = write_pictures(tmp_path / "coco" / "images")
    people = []
    for number, cell in enumerate(CELLS):
        joints = np.nan_to_num(convert_keypoints(places(cell, estimator_offsets), "cpm14", "coco17"))
        joints[1] = (90, 30, 1)  # an eye, which the model does not find
        if number == 2:
            joints[9, 1] += 90
        joints[:, 2] *= 2
        box = {"bbox": [0, 0, 192, 256], "area": 9000.0, "iscrowd": 0, "category_id": 1, "num_keypoints": 14}
        people.append({"id": number + 1, "image_id": number + 1, "keypoints": joints.ravel().tolist(), **box})
    images = [{"id": number + 1, "file_name": name, "width": 192, "height": 256} for number, name in enumerate(names)]
    (tmp_path / "coco" / "annotations.json").write_text(json.dumps({"images": images, "annotations": people}))
    return tmp_path / "coco"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_a_model_that_is_right_but_once(tiny_estimator_bundle: Path, coco_root: Path) -> None:
    pytest.importorskip("faster_coco_eval", reason="average precision: pip install posert[eval]")
    dataset = load_dataset("coco", coco_root)
    with Estimator(tiny_estimator_bundle) as estimator:
        seen: list[int] = []
        found = predict(estimator, dataset, batch_size=2, advance=lambda images, seconds: seen.append(images))
        skeleton = estimator.skeleton
    assert seen == [2, 3]
    assert found.person is not None
    assert found.person.tolist() == [0, 1, 2]
    results = evaluate(found, dataset, skeleton).results
    assert results["metric"] == "PCK@0.2"
    assert (results["images"], results["people_measured"], results["joints_measured"]) == (3, 3, 39)
    assert results["total"] == pytest.approx(38 / 39, abs=1e-6)
    assert results["joints"]["left_wrist"]["right"] == pytest.approx(2 / 3, abs=1e-6)
    assert "left_eye" not in results["joints"]
    assert results["joints_not_given"] == ["left_eye", "right_eye", "left_ear", "right_ear"]
    assert results["joints_derived"] == ["nose"]
    assert 0.9 < results["average_precision"]["AP"] <= 1
    assert sum(b["joints"] for b in results["calibration"]["bins"]) == 39
    json.dumps(results, allow_nan=False)


def test_other_boxes(tiny_estimator_bundle: Path, coco_root: Path) -> None:
    dataset = load_dataset("coco", coco_root)
    dataset = PoseDataset("x", dataset.skeleton, dataset.files, dataset.keypoints, dataset.image_index, dataset.image_ids)
    with Estimator(tiny_estimator_bundle) as estimator:
        skeleton = estimator.skeleton
        whole = np.array([[0, 0, 192, 256]], np.float32)
        twice = Detections([np.tile(whole, (2, 1)), whole, whole[:0]], [np.array([0.5, 1]), np.ones(1), np.ones(0)])
        found = predict(estimator, dataset, boxes=twice)
        assert found.person is None
        assert found.image_index.tolist() == [0, 0, 1]
        assert found.scores[0] == pytest.approx(found.scores[1] / 2)
        results = evaluate(found, dataset, skeleton).results
        assert results["total"] == pytest.approx(2 / 3)  # nobody was looked for in the last picture
        assert results["calibration"]["bins"][0]["joints"] == 13
        outside = dataset.true_boxes() + np.float32([[0], [0], [500]])
        placed = PoseDataset(**{**vars(dataset), "boxes": outside})
        results = evaluate(predict(estimator, placed), placed, skeleton).results
        assert results["joints"]["right_hip"]["measured"] == 3
        assert results["joints"]["right_hip"]["right"] == pytest.approx(2 / 3, abs=1e-6)
        beside = Detections([whole + 500, whole, whole], [np.ones(1)] * 3)
        assert predict(estimator, dataset, boxes=beside).image_index.tolist() == [1, 2]
        alone = evaluate(predict(estimator, dataset, boxes="none"), dataset, skeleton).results
        assert alone["total"] == pytest.approx(38 / 39, abs=1e-6)
        far = PoseDataset(**{**vars(dataset), "boxes": dataset.true_boxes() * np.float32(1e30)})
        with pytest.raises(InputError, match=r"labels of 'x' cannot be used, box 0"):
            predict(estimator, far)
        absent = PoseDataset(**{**vars(dataset), "files": (*dataset.files[:2], coco_root / "absent.png")})
        with pytest.raises(InputError, match=r"1 of 3 pictures are not there, such as .*absent\.png"):
            predict(estimator, absent)
        with pytest.raises(InputError, match="true, joints, none"):
            predict(estimator, dataset, boxes="some")
        with pytest.raises(InputError, match="batch_size"):
            predict(estimator, dataset, batch_size=0)


def test_the_estimators_own_detector(tiny_estimator_bundle: Path, coco_root: Path) -> None:
    dataset = load_dataset("coco", coco_root)
    dataset = PoseDataset(**{**vars(dataset), "areas": None})

    def whole(images: list[np.ndarray]) -> list[np.ndarray]:
        return [np.array([[0, 0, 192, 256]], np.float32) for _ in images]

    with Estimator(tiny_estimator_bundle, detector=whole) as estimator:
        found = predict(estimator, dataset, boxes="detector")
        assert found.person is None
        assert evaluate(found, dataset, estimator.skeleton).results["total"] == pytest.approx(38 / 39, abs=1e-6)


def test_a_model_that_finds_everybody_by_itself(coco_root: Path) -> None:
    dataset = load_dataset("coco", coco_root)

    class Crowd:
        engine = SimpleNamespace(manifest=SimpleNamespace(paper="paf", skeleton=get_skeleton("coco17")))
        finds_everybody = True
        skeleton = get_skeleton("coco17")
        calls = 0

        def run(self, images: list[np.ndarray]) -> Poses:
            start, self.calls = self.calls, self.calls + len(images)
            people = dataset.keypoints[start : self.calls]
            strangers = np.where(people[..., 2:] > 0, people + np.float32([1000, 0, 0]), people)
            return Poses(np.concatenate([people, strangers]), np.tile(np.arange(len(people)), 2), None, "coco17")

    found = predict(Crowd(), dataset, batch_size=2)  # type: ignore[arg-type]
    assert sorted(found.image_index.tolist()) == [0, 0, 1, 1, 2, 2]
    evaluation = evaluate(found, PoseDataset(**{**vars(dataset), "areas": None}), get_skeleton("coco17"))
    assert evaluation.results["total"] == 1
    np.testing.assert_array_equal(evaluation.found, dataset.keypoints)


def test_pckh_and_mpiis_total(tiny_estimator_bundle: Path, coco_root: Path, estimator_offsets: np.ndarray) -> None:
    coco = load_dataset("coco", coco_root)
    truth = np.stack([convert_keypoints(places(cell, estimator_offsets), "cpm14", "mpii16") for cell in CELLS])
    mpii = get_skeleton("mpii16")
    truth[:, mpii.joints.index("pelvis"), 0] += 500  # derived, and left out of the total
    truth[0, mpii.joints.index("right_wrist"), 0] += 5.01
    truth[1, mpii.joints.index("left_wrist"), 0] += 4.99
    boxes, heads = coco.true_boxes(), np.array([10.0, 10.0, np.nan])
    dataset = PoseDataset("mpii", mpii, coco.files, truth, coco.image_index, coco.image_ids, boxes=boxes, head_sizes=heads)
    with Estimator(tiny_estimator_bundle) as estimator:
        results = evaluate(predict(estimator, dataset), dataset, get_skeleton("cpm14")).results
    assert results["metric"] == "PCKh@0.5"
    assert (results["people_measured"], results["joints_measured"]) == (2, 28)
    assert results["total"] == pytest.approx(27 / 28, abs=1e-6)
    assert results["joints"]["pelvis"]["right"] == 0
    assert results["joints_not_in_total"] == ["pelvis", "thorax"]
    assert "1 of 3 people are not measured" in results["notes"][-1]


def test_strict_pcp_with_an_observers_sides(tiny_estimator_bundle: Path, coco_root: Path, estimator_offsets: np.ndarray) -> None:
    coco = load_dataset("coco", coco_root)
    lsp = get_skeleton("lsp14")
    truth = np.stack([convert_keypoints(places(cell, estimator_offsets), "cpm14", "lsp14") for cell in CELLS])
    truth[0] = truth[0, list(lsp.flip)]  # labelled as seen from behind: every joint of a side is wrong, but only by its name
    dataset = PoseDataset("lsp", lsp, coco.files, truth, coco.image_index, coco.image_ids, boxes=coco.true_boxes())
    with Estimator(tiny_estimator_bundle) as estimator:
        found = predict(estimator, dataset)
    named = evaluate(found, dataset, get_skeleton("cpm14")).results
    seen = evaluate(found, dataset, get_skeleton("cpm14"), observer_centric=True).results
    assert named["pcp"]["sticks"]["left_lower_arm"] == pytest.approx(2 / 3, abs=1e-6)
    assert named["pcp"]["parts"]["torso"] == 1
    assert seen["pcp"]["mean"] == seen["total"] == 1
    assert seen["observer_centric"]


def test_command(tiny_estimator_bundle: Path, coco_root: Path, tmp_path: Path) -> None:
    pytest.importorskip("faster_coco_eval", reason="average precision: pip install posert[eval]")
    pytest.importorskip("matplotlib", reason="curves: pip install posert[eval]")
    base = ("eval", str(tiny_estimator_bundle), "--data", "coco", "--root", str(coco_root))
    done = run(*base, "-o", str(tmp_path / "report"))
    assert done.exit_code == 0, done.output
    for text in ("3 pictures", "left wrist", "PCK@0.2", "AP50", "Expected calibration error", "Note: the model does not find"):
        assert text in done.output
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == ["curves.png", "results.json", "worst.png"]
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    assert results["model"] == "tiny-estimator"
    for name in ("curves.png", "worst.png"):
        picture = cv2.imread(str(tmp_path / "report" / name))
        assert picture is not None
        assert picture.std() > 5
    some = run(*base, "--json", "--subset", "2-3", "--limit", "1", "--flip-test", "--scales", "0.9,1")
    assert some.exit_code == 0, some.output
    assert json.loads(some.stdout)["images"] == 1
    (tmp_path / "found.json").write_text(json.dumps([{"image_id": 2, "bbox": [0, 0, 192, 256], "score": 1}]))
    detected = run(*base, "--json", "--boxes", str(tmp_path / "found.json"))
    assert json.loads(detected.stdout)["total"] == pytest.approx(1 / 3, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--subset", "9"), "numbered 1 to 3"),
        (("--boxes", "some"), "--boxes must be"),
        (("--boxes", "absent.json"), "absent.json"),
        (("--annotations", "absent.json"), "absent.json"),
        (("--out", "/dev/null/report"), "cannot write"),
        (("--data", "flic"), "unknown data set 'flic'"),
    ],
)
def test_command_refuses(tiny_estimator_bundle: Path, coco_root: Path, options: tuple[str, ...], message: str) -> None:
    pytest.importorskip("faster_coco_eval", reason="average precision: pip install posert[eval]")
    done = run("eval", str(tiny_estimator_bundle), "--data", "coco", "--root", str(coco_root), *options)
    assert done.exit_code == 2
    assert message in done.output


def test_trust_in_plans_reaches_the_model(tiny_estimator_bundle: Path, coco_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faster_coco_eval", reason="average precision: pip install posert[eval]")
    asked: list[bool] = []

    def opened(*args: Any, **named: Any) -> None:
        asked.append(named["trust_plans"])
        raise InputError("that is enough")

    monkeypatch.setattr("posert.Engine.open", opened)
    for flag in ((), ("--trust-plans",)):
        run("eval", str(tiny_estimator_bundle), "--data", "coco", "--root", str(coco_root), *flag)
    assert asked == [False, True]


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(MissingDependency, match=r"reading .mat files needs scipy: pip install \"posert\[eval\]\""):
        require("scipy.io", "reading .mat files")


def test_a_few_real_pictures(data_root: Path) -> None:
    pytest.importorskip("scipy", reason="reading .mat files: pip install posert[eval]")
    dataset = load_dataset("lsp", data_root / "lsp").part(range(900, 916))
    with Estimator("cpm-s") as estimator:
        results = evaluate(predict(estimator, dataset), dataset, estimator.skeleton).results
    assert results["total"] > 0.75
    assert results["pcp"]["mean"] > 0.7
