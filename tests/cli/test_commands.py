"""Every command, on tiny models whose results are known."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import posert
from posert.cli import app
from posert.commands import doctor
from posert.commands.catalogue import headline
from posert.formats import read_coco, read_openpose, read_poses
from posert.media.images import list_images, read_image, write_image
from posert.nvidia import ask_driver, tensorrt_wheel
from posert.people import find_people
from posert.skeleton import SKELETONS

EXAMPLES = Path(posert.__file__).parent / "examples"


def picture(x: int = 96, y: int = 128, width: int = 192, height: int = 256) -> np.ndarray:
    """Dark, with a bright 8 x 8 block of which x, y is the middle: the tiny estimator finds a person around it."""
    image = np.zeros((height, width, 3), np.uint8)
    image[y - 4 : y + 4, x - 4 : x + 4] = 255
    return image


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    write_image(folder / "a.png", picture())
    write_image(folder / "b.png", picture(60, 100))
    write_image(folder / "c.jpg", picture(96, 128, 200, 300))
    return folder


@pytest.fixture
def call(tiny_estimator_bundle, tiny_transfer_bundle):
    """Run a command that must succeed, with the tiny models; returns what it printed on stdout."""
    models = {
        "estimate": ["--model", tiny_estimator_bundle],
        "transfer": ["--model", tiny_transfer_bundle, "--estimator", tiny_estimator_bundle, "--detector", "none"],
        "demo": ["--model", tiny_transfer_bundle, "--estimator", tiny_estimator_bundle],
    }

    def run(command: str, *options: object) -> str:
        done = CliRunner().invoke(app, [command, *map(str, options), *map(str, models.get(command, []))])
        assert done.exit_code == 0, done.output
        assert done.stderr == ""
        return done.stdout

    return run


def test_estimate_writes_coco(call, photos, tmp_path, estimator_offsets):
    said = call("estimate", photos / "a.png", "--boxes", "0,0,192,256", "-o", tmp_path / "a.json")
    assert "1 person in 1 picture" in said
    assert str(tmp_path / "a.json") in said
    poses, images = read_coco(tmp_path / "a.json")
    assert (images[0].file_name, images[0].width, images[0].height) == ("a.png", 192, 256)
    assert poses.skeleton.name == "cpm14"
    # The block covers the corners of four heatmap cells equally; the first of them is at (11, 15), its middle at pixel 91.5,
    # 123.5.
    np.testing.assert_allclose(poses.keypoints[0, :, :2], (91.5, 123.5) + 8 * estimator_offsets, atol=1e-3)
    assert poses.boxes.tolist() == [[0, 0, 192, 256]]


def test_estimate_looks_for_the_person(call, photos, tmp_path, tiny_estimator_bundle):
    call("estimate", photos / "c.jpg", "-o", tmp_path / "c.json")
    found, _ = read_coco(tmp_path / "c.json")
    poses = find_people(posert.Estimator(tiny_estimator_bundle), [read_image(photos / "c.jpg")])
    np.testing.assert_allclose(found.keypoints, poses.keypoints, atol=1e-3)
    np.testing.assert_allclose(found.boxes, poses.boxes, atol=2e-3)


def test_estimate_keeps_pictures_without_a_person(call, photos, tmp_path):
    write_image(photos / "dark.png", np.zeros((40, 30, 3), np.uint8))
    call("estimate", photos, "-o", tmp_path / "all.json")
    annotations = json.loads((tmp_path / "all.json").read_text())["annotations"]
    assert [annotation["num_keypoints"] for annotation in annotations] == [14, 14, 14, 0]
    assert annotations[3]["bbox"] == [0, 0, 30, 40]


def test_estimate_prints_json(call, photos, tmp_path):
    printed = json.loads(call("estimate", photos, "--json"))
    assert [image["file_name"] for image in printed["images"]] == ["a.png", "b.png", "c.jpg"]
    assert [annotation["image_id"] for annotation in printed["annotations"]] == [1, 2, 3]
    both = json.loads(call("estimate", photos, "--json", "-o", tmp_path / "all.json"))
    assert both == json.loads((tmp_path / "all.json").read_text()) == printed


def test_estimate_writes_openpose(call, photos, tmp_path):
    call("estimate", photos / "a.png", "--format", "openpose", "-o", tmp_path / "a.json")
    assert read_openpose(tmp_path / "a.json").skeleton.name == "coco18"
    call("estimate", photos, "--format", "openpose", "-o", tmp_path / "new" / "poses")
    names = sorted(path.name for path in (tmp_path / "new" / "poses").iterdir())
    assert names == ["a_keypoints.json", "b_keypoints.json", "c_keypoints.json"]
    printed = json.loads(call("estimate", photos / "a.png", "--format", "openpose", "--json"))
    assert len(printed["people"]) == 1


def test_estimate_draws(call, photos, tmp_path):
    call("estimate", photos / "a.png", "-o", tmp_path / "drawn.png")
    drawn, original = read_image(tmp_path / "drawn.png"), read_image(photos / "a.png")
    assert drawn.shape == original.shape
    changed = (drawn != original).any(-1)
    assert changed[60:180, 40:150].any()
    assert not changed[:40].any()
    said = call("estimate", photos, "-o", tmp_path / "drawn")
    assert "3 people in 3 pictures; wrote 3 files" in said
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a.png", "b.png", "c.png"]


def test_pictures_of_the_same_stem_do_not_share_a_result(call, photos, tmp_path):
    write_image(photos / "a.jpg", picture())
    call("estimate", photos, "-o", tmp_path / "drawn")
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a.jpg.png", "a.png.png", "b.png", "c.png"]


@pytest.mark.parametrize("limit", [("BATCH", 2), ("BATCH_PIXELS", 60_000)])
def test_more_pictures_than_a_batch(call, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(f"posert.commands.estimate.{limit[0]}", limit[1])
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(5):
        write_image(folder / f"{number}.png", picture(48 + 16 * number))
    call("estimate", folder, "--boxes", "0,0,192,256", "-o", tmp_path / "all.json")
    poses, _ = read_coco(tmp_path / "all.json")
    assert poses.image_index.tolist() == [0, 1, 2, 3, 4]
    assert (np.diff(poses.keypoints[:, 1, 0]) == 16).all()


def test_estimate_converts_skeletons(call, photos, tmp_path):
    call("estimate", photos / "a.png", "--skeleton", "coco17", "-o", tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["categories"][0]["keypoints"] == list(SKELETONS["coco17"].joints)
    assert len(document["annotations"][0]["keypoints"]) == 51


def test_boxes_as_numbers_and_as_files(call, photos, tmp_path):
    call("estimate", photos / "a.png", "--boxes", "0,0,192,256", "-o", tmp_path / "numbers.json")
    (tmp_path / "two.json").write_text("[[0, 0, 192, 256], [10, 10.5, 180, 250]]")
    call("estimate", photos / "a.png", "--boxes", tmp_path / "two.json", "-o", tmp_path / "two_out.json")
    poses, _ = read_coco(tmp_path / "two_out.json")
    np.testing.assert_allclose(poses.boxes, [[0, 0, 192, 256], [10, 10.5, 180, 250]])
    (tmp_path / "one.json").write_text("[0, 0, 192, 256]")
    call("estimate", photos / "a.png", "--boxes", tmp_path / "one.json", "-o", tmp_path / "one_out.json")
    assert (tmp_path / "one_out.json").read_bytes() == (tmp_path / "numbers.json").read_bytes()
    by_name = {"a.png": [[0, 0, 192, 256]], "b.png": [], "c.jpg": [[0, 0, 200, 300], [10, 20, 190, 280]]}
    (tmp_path / "names.json").write_text(json.dumps(by_name))
    call("estimate", photos, "--boxes", tmp_path / "names.json", "-o", tmp_path / "names_out.json")
    poses, _ = read_coco(tmp_path / "names_out.json")
    assert poses.image_index.tolist() == [0, 2, 2]
    call("estimate", photos, "--boxes", tmp_path / "names_out.json", "-o", tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "names_out.json").read_bytes()
    call("estimate", photos / "b.png", "--boxes", tmp_path / "names.json", "-o", tmp_path / "nobody.png")
    np.testing.assert_array_equal(read_image(tmp_path / "nobody.png"), read_image(photos / "b.png"))


def test_flip_test_and_limits_are_passed_on(call, photos, tmp_path):
    call("estimate", photos / "a.png", "--flip-test", "--max-pixels", 192 * 256, "-o", tmp_path / "a.json")
    call("estimate", photos / "a.png", "--backend", "onnxruntime", "--device", "cpu", "-o", tmp_path / "a.json")


def test_transfer_takes_the_pose_from_a_picture_or_a_file(call, photos, tmp_path):
    options = ("--source", photos / "c.jpg", "--no-paste")
    said = call("transfer", *options, "--pose", photos / "a.png", "-o", tmp_path / "out.png")
    assert "64 x 128 pixels" in said
    drawn = read_image(tmp_path / "out.png")
    assert drawn.shape == (128, 64, 3)
    assert (drawn == 255).all(-1).any(), "the tiny model paints the pose's discs white"
    call("estimate", photos / "a.png", "--format", "openpose", "-o", tmp_path / "pose.json")
    said = call("transfer", *options, "--pose", tmp_path / "pose.json", "-o", tmp_path / "other.png")
    assert "the pose is from OpenPose JSON, 1 person" in said
    assert read_image(tmp_path / "other.png").shape == (128, 64, 3)


def test_transfer_puts_the_person_back_into_the_photograph(call, photos, tmp_path):
    call("transfer", "--source", photos / "c.jpg", "--pose", photos / "a.png", "-o", tmp_path / "out.png")
    source, drawn = read_image(photos / "c.jpg"), read_image(tmp_path / "out.png")
    assert drawn.shape == source.shape
    assert (drawn[:20] == source[:20]).all(), "far from the person nothing changes"
    assert (drawn.astype(int) - source).max() > 100, "the tiny model paints the pose's discs white"


@pytest.mark.parametrize("paste", ["--paste", "--no-paste"])
def test_transfer_explains(call, photos, tmp_path, paste):
    options = ("--source", photos / "c.jpg", "--pose", photos / "a.png", paste, "--explain", tmp_path / "steps")
    assert f"steps to {tmp_path / 'steps'}" in call("transfer", *options, "-o", tmp_path / "out.png")
    names = sorted(path.name for path in (tmp_path / "steps").iterdir())
    assert names[0] == "01-source.png"
    assert names[-1].endswith("-image.png")


def test_transfer_takes_a_source_in_the_networks_proportions_whole(call, photos, tmp_path, monkeypatch):
    source = np.zeros((128, 64, 3), np.uint8)
    source[..., 2] = 200
    write_image(tmp_path / "source.png", source)
    call("transfer", "--source", tmp_path / "source.png", "--pose", photos / "a.png", "-o", tmp_path / "out.png")
    drawn = read_image(tmp_path / "out.png")
    assert ((np.abs(drawn.astype(int) - source).max(-1) <= 1) | (drawn == 255).all(-1)).all()
    looks = []
    monkeypatch.setattr("posert.track.find_people", lambda *given: looks.append(given) or find_people(*given))
    call("transfer", "--source", tmp_path / "source.png", "--pose", photos / "a.png", "-o", tmp_path / "out.png")
    assert len(looks) == 1, "only the picture of the pose is looked at"


def test_transfer_takes_the_best_person(call, photos, tmp_path):
    good, poor = ([value for k in range(18) for value in (20 + step * k, 30 + 7 * k, step / 10)] for step in (5, 2))
    results = []
    for name, people in (("one", [good]), ("two", [poor, good])):
        (tmp_path / f"{name}.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": person} for person in people]}))
        if name == "two":
            assert len(read_poses(tmp_path / "two.json")) == 2
        call("transfer", "--source", photos / "a.png", "--pose", tmp_path / f"{name}.json", "-o", tmp_path / f"{name}.png")
        results.append(read_image(tmp_path / f"{name}.png"))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("pose", ["a.png", "pose.json"])
def test_transfer_grid(call, photos, tmp_path, pose):
    call("estimate", photos / "a.png", "-o", photos / "pose.json")
    call("transfer", "--source", photos / "c.jpg", "--pose", photos / pose, "--grid", "-o", tmp_path / "grid.png")
    height, width = read_image(tmp_path / "grid.png").shape[:2]
    assert height > 384
    assert width > 4 * 192


def test_demo(call, tmp_path):
    said = call("demo", "-o", tmp_path / "new" / "demo")
    assert str((tmp_path / "new" / "demo" / "transfer.png").resolve()) in said
    names = {path.name for path in (tmp_path / "new" / "demo").iterdir()}
    assert names == {"transfer.png", "poses.json"} | {path.with_suffix(".png").name for path in list_images(EXAMPLES)}
    grid = read_image(tmp_path / "new" / "demo" / "transfer.png")
    assert grid.shape[0] > 5 * 192
    assert grid.shape[1] > 5 * 96
    poses, images = read_coco(tmp_path / "new" / "demo" / "poses.json")
    assert len(poses) == len(images) == 8


def test_demo_writes_to_the_current_folder_by_default(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("demo")
    assert (tmp_path / "posert-demo" / "transfer.png").is_file()


def test_examples_are_small_and_square():
    paths = list_images(EXAMPLES)
    assert sum(path.stat().st_size for path in paths) < 300_000
    assert {read_image(path).shape for path in paths} == {(256, 256, 3)}
    assert sorted(path.stem.split("-")[0] for path in paths) == ["pose"] * 4 + ["source"] * 4


@pytest.fixture
def tiny_zoo(tiny_estimator_bundle, tiny_transfer_bundle, monkeypatch, tmp_path):
    for bundle in (tiny_estimator_bundle, tiny_transfer_bundle):
        (tmp_path / bundle.name).write_bytes(bundle.read_bytes())
    monkeypatch.setattr("posert.zoo._folder", lambda: tmp_path)


@pytest.mark.usefixtures("tiny_zoo")
def test_models(call):
    listed = call("models")
    for word in (
        "tiny-estimator",
        "estimation",
        "cpm14",
        "192 x 256",
        "tiny-transfer",
        "coco18",
        "not measured",
        "code: Apache-2.0",
    ):
        assert word in listed
    documents = json.loads(call("models", "--json"))
    assert [document["name"] for document in documents] == ["tiny-estimator", "tiny-transfer"]
    assert documents[0]["licences"] == {"code": "Apache-2.0", "weights": "none", "data": "none"}
    assert documents[1]["input_size"] == [128, 64]


@pytest.mark.usefixtures("tiny_zoo")
def test_inspect(call, tiny_estimator_bundle):
    for name in (tiny_estimator_bundle, "tiny-estimator"):
        shown = call("inspect", name)
        for word in ("A linear function", "heatmaps", "N x 15 x 32 x 24", "max_abs: 0", "manifest.json", "estimator.onnx"):
            assert word in shown
    document = json.loads(call("inspect", tiny_estimator_bundle, "--json"))
    assert document["bytes"] == tiny_estimator_bundle.stat().st_size
    assert document["manifest"]["files"]["estimator.onnx"]["sha256"] in shown


def test_headline_takes_the_first_two_numbers():
    assert headline({"pck@0.2": 0.87654, "set": "LSP", "per joint": {"neck": 0.9}}) == "pck@0.2 0.8765"
    assert headline({"a": {"x": 1}, "b": 0.5, "c": True, "d": 2, "e": 3}) == "b 0.5\nd 2"
    assert headline({}) == "not measured"


def test_doctor(call):
    said = call("doctor")
    for word in ("onnxruntime-cpu", "threads", "CPUs", "tensorrt", "openvino", "posert runs here"):
        assert word in said
    facts = json.loads(call("doctor", "--json"))
    assert facts["can_run"] is True
    assert facts["backends"]["onnxruntime-cpu"] == {"can_run": True, "missing": None}
    assert facts["packages"]["onnxruntime"]["version"]
    assert facts["processor"]["threads"] == posert.get_num_threads()
    assert "CPUExecutionProvider" in facts["onnxruntime_providers"]


def test_doctor_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(
        "posert.backends.survey", lambda: {"onnxruntime-cpu": "onnxruntime is not installed; install it with: ..."}
    )
    monkeypatch.setitem(doctor.PACKAGES, "onnxruntime", ("a-distribution-that-is-not-there", "pip install posert"))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "not installed" in done.stdout
    assert "posert cannot run here" in done.stdout


def test_doctor_without_compiled_kernels(monkeypatch):
    def refuse() -> int:
        raise posert.MissingDependency("the compiled module cannot be imported")

    monkeypatch.setattr("posert.ops.get_num_threads", refuse)
    facts = doctor.examine()
    assert facts["processor"]["kernels"] == "NumPy"
    doctor._show(facts)


class Driver:
    """Answers as NVIDIA's driver library does, for `count` GPUs; `failure` is what its start returns."""

    def __init__(self, count: int, failure: int = 0) -> None:
        self.count, self.failure = count, failure

    def cuInit(self, flags: int) -> int:
        return self.failure

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 13010
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = self.count
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: int) -> int:
        name.value = b"NVIDIA Example"
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: int) -> int:
        value._obj.value = {75: 9, 76: 0}[attribute]
        return 0


def install(monkeypatch, driver):
    """Put a driver in the place of NVIDIA's; other libraries are as they are, since doctor imports what is installed."""
    real = ctypes.CDLL
    names = ("libcuda.so.1", "nvcuda.dll")
    monkeypatch.setattr(ctypes, "CDLL", lambda name, *rest, **named: driver if name in names else real(name, *rest, **named))


def test_doctor_names_gpus(call, monkeypatch):
    install(monkeypatch, Driver(2))
    gpu = ask_driver()
    assert gpu["cuda"] == "13.1"
    assert gpu["devices"] == [{"name": "NVIDIA Example", "compute_capability": "9.0"}] * 2
    assert "NVIDIA Example (compute capability 9.0)" in call("doctor")
    install(monkeypatch, Driver(0, failure=100))
    assert "error 100" in ask_driver()["missing"]
    install(monkeypatch, Driver(0))
    assert ask_driver()["missing"] == "the NVIDIA driver finds no GPU"


@pytest.mark.parametrize(
    ("capability", "cuda", "wheel"),
    [
        ("8.6", "13.1", "tensorrt-rtx-cu13"),
        ("12.0", "12.8", "tensorrt-rtx-cu12"),
        ("9.0", "13.0", "tensorrt-cu13"),
        ("10.0", "12.9", "tensorrt-cu12"),
        ("8.6", "11.8", None),
        ("6.1", "12.2", None),
    ],
)
def test_doctor_names_the_wheel(capability, cuda, wheel):
    gpu = {"missing": None, "cuda": cuda, "devices": [{"name": "NVIDIA Example", "compute_capability": capability}]}
    found, reason = tensorrt_wheel(gpu)
    assert found == wheel
    assert cuda in reason or capability in reason


def test_doctor_names_the_wheel_that_needs_no_gpu(call, monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: Driver(0))
    assert tensorrt_wheel(ask_driver())[0] == "tensorrt-rtx-cu13"
    found = doctor.importlib.metadata.version

    def version(name, there):
        if name.startswith("tensorrt") and not there:
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return "1.7.1" if name.startswith("tensorrt") else found(name)

    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: version(name, False))
    assert "pip install tensorrt-rtx-cu13 filelock: it builds plans without a GPU" in " ".join(call("doctor").split())
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: version(name, True))
    assert "tensorrt-rtx-cu13 1.7.1 is installed: it builds plans without a GPU" in " ".join(call("doctor").split())
    facts = json.loads(call("doctor", "--json"))["tensorrt"]
    assert set(facts["builds"]) == {"tensorrt", "tensorrt_rtx"}
    assert facts["builds"]["tensorrt"] is not None, "there is no GPU to build on"


def test_version_and_help():
    runner = CliRunner()
    assert runner.invoke(app, ["--version"]).stdout.strip() == f"posert {posert.__version__}"
    for options in ([], ["--help"]):
        done = runner.invoke(app, options)
        assert done.exit_code == 0
        assert "posert demo" in done.stdout
    for command in ("estimate", "transfer", "demo", "models", "inspect", "doctor"):
        done = runner.invoke(app, [command, "--help"])
        assert done.exit_code == 0
        assert f"posert {command}" in done.stdout


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("command", ["estimate", "transfer", "demo"])
def test_trust_in_plans_reaches_every_model(call, photos, tmp_path, monkeypatch, command, trusted):
    asked, real = [], posert.Engine.open
    monkeypatch.setattr(posert.Engine, "open", lambda *args, **named: asked.append(named["trust_plans"]) or real(*args, **named))
    flag = ["--trust-plans"] if trusted else []
    options = {
        "estimate": [photos / "a.png", "-o", tmp_path / "a.json"],
        "transfer": ["--source", photos / "a.png", "--pose", photos / "b.png", "-o", tmp_path / "new.png"],
        "demo": ["-o", tmp_path / "demo"],
    }
    call(command, *options[command], *flag)
    assert asked == [trusted] * (1 if command == "estimate" else 2)
