"""`posert transfer` into a folder: every source in every pose, resumed where it was stopped, bad inputs told and survived."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import posert
from posert.cli import app
from posert.commands import transfer_many
from posert.media.images import read_image, write_image
from posert.pairs import MANIFEST, PairBatch, draw_pairs


def block(x=96, y=128):
    image = np.zeros((256, 192, 3), np.uint8)
    image[y - 4 : y + 4, x - 4 : x + 4] = 255
    return image


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "people").mkdir()
    for number in range(3):
        crop = rng.integers(0, 120, (128, 64, 3)).astype(np.uint8)
        write_image(tmp_path / "people" / f"000{number}_c1s1_000451_03.png", crop)
    write_image(tmp_path / "people" / "photo.png", block())
    (tmp_path / "poses").mkdir()
    write_image(tmp_path / "poses" / "a.png", block(90, 120))
    flat = np.c_[rng.uniform(20, 200, (18, 2)), np.full(18, 0.9)].ravel().tolist()
    (tmp_path / "poses" / "b.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": flat}]}))
    lines = [f"{n}.jpg: {rng.integers(5, 120, 18).tolist()}: {rng.integers(5, 60, 18).tolist()}" for n in range(2)]
    (tmp_path / "poses" / "c.csv").write_text("name:keypoints_y:keypoints_x\n" + "\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def call(place, tiny_estimator_bundle, tiny_transfer_bundle):
    models = ["--model", tiny_transfer_bundle, "--estimator", tiny_estimator_bundle, "--detector", "none"]

    def run(*options: object, status: int = 0):
        line = ["transfer", "--source", "people", "--poses", "poses", "-o", "out", *map(str, options), *map(str, models)]
        done = CliRunner().invoke(app, line)
        assert done.exit_code == status, done.output
        assert "Traceback" not in done.stderr
        return done

    return run


def manifest(place):
    return [json.loads(line) for line in (place / "out" / MANIFEST).read_text().splitlines()]


def test_every_source_in_every_pose(call, place):
    assert "wrote 16 pictures to out; 0 were there already" in call().stdout
    files = sorted(path.name for path in (place / "out").glob("*.jpg"))
    assert len(files) == 16
    assert files[0] == "0000_c1s1_000451_03_pose000.jpg"
    entries = {entry["file"]: entry for entry in manifest(place)}
    assert sorted(entries) == files
    entry = entries["0001_c1s1_000451_03_pose003.jpg"]
    assert (entry["source"], entry["pose"], entry["person"]) == ("people/0001_c1s1_000451_03.png", "poses/c.csv", "1.jpg")
    assert entry["source_box"] == [0, 0, 64, 128]
    assert entry["settings"]["model"].startswith("tiny-transfer sha256:")
    assert read_image(place / "out" / entry["file"]).shape == (128, 64, 3)
    assert entries["photo_pose000.jpg"]["source_box"] != [0, 0, 192, 256], "the person is found in it"


def test_it_goes_on_where_it_was_stopped(call, place, monkeypatch):
    written, write = [], transfer_many.write_image

    def stop_after_six(path, picture):
        if len(written) == 6:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, picture)

    monkeypatch.setattr(transfer_many, "POSES", 4)
    monkeypatch.setattr(transfer_many, "write_image", stop_after_six)
    call(status=130)
    assert len(manifest(place)) == 4, "what is listed is there"
    with open(place / "out" / MANIFEST, "a") as file:
        file.write('{"file": "0000')  # the power failed
    monkeypatch.setattr(transfer_many, "write_image", write)
    assert "wrote 12 pictures to out; 4 were there already" in call().stdout
    assert len(manifest(place)) == 16
    (place / "out" / "photo_pose001.jpg").unlink()
    assert "wrote 1 pictures to out; 15 were there already" in call().stdout
    assert "wrote 0 pictures" in call().stdout


def test_the_results_do_not_depend_on_batches(call, place, monkeypatch):
    call()
    first = {path.name: path.read_bytes() for path in (place / "out").glob("*.jpg")}
    monkeypatch.setattr(transfer_many, "POSES", 3)
    monkeypatch.setattr(transfer_many, "SOURCES", 1)
    call("--redo")
    assert {path.name: path.read_bytes() for path in (place / "out").glob("*.jpg")} == first


def test_other_settings_and_other_poses_are_refused_unless_redone(call, place, tiny_crowd_bundle):
    call()
    path = place / "out" / MANIFEST
    before = path.read_text()
    path.write_text(before.replace("tiny-transfer sha256:", "tiny-transfer sha256:0"))
    done = call(status=2)
    assert "was made with model tiny-transfer sha256:0" in done.stderr
    assert "use --redo" in done.stderr
    path.write_text(before)
    (place / "poses" / "a.png").rename(place / "poses" / "z.png")
    assert "was made from pose 'poses/a.png', not 'poses/b.json'" in call(status=2).stderr
    assert path.read_text() == before
    assert "wrote 16 pictures" in call("--redo").stdout
    assert len(manifest(place)) == 16


def test_bad_inputs_are_told_at_the_end(call, place):
    (place / "people" / "0009_bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    write_image(place / "people" / "dark.png", np.zeros((90, 90, 3), np.uint8))
    (place / "poses" / "d.json").write_text('{"people": [{"pose_keypoints_2d": [' + "0.5, 0.2, 1, 0.4, 0.6, 1, " * 9 + "0.1]}]}")
    shares = {
        "people": [{"pose_keypoints_2d": np.c_[np.random.default_rng(1).uniform(0, 1, (18, 2)), np.ones(18)].ravel().tolist()}]
    }
    (place / "poses" / "e.json").write_text(json.dumps(shares))
    done = call(status=1)
    assert "wrote 16 pictures" in done.stdout
    assert "4 inputs could not be used:" in done.stderr
    for name in ("0009_bad.jpg", "dark.png", "d.json", "e.json"):
        assert name in done.stderr
    assert "multiply x by the picture's width" in done.stderr
    assert "wrote 64 pictures" not in call(status=1).stdout


def test_nothing_to_work_on(call, place):
    for path in (place / "poses").iterdir():
        path.unlink()
    assert "holds nothing that poses are read from" in call(status=2).stderr
    (place / "poses" / "a.json").write_text("{}")
    assert "none of the 1 files of poses can be used; the first: 'poses/a.json'" in call(status=2).stderr
    assert not (place / "out").exists()


def test_wrong_calls(call, place):
    assert "--grid is for a single result" in call("--grid", status=2).stderr
    assert "--paste is for a single result" in call("--paste", status=2).stderr
    assert "another folder" in call("-o", "poses", status=2).stderr
    assert "so a folder is needed for the results" in call("-o", "out.png", status=2).stderr
    (place / "out").mkdir()
    (place / "out" / MANIFEST).write_text('{"file": 3}\n')
    assert "line 1 is not what posert writes" in call(status=2).stderr


def test_limit_and_single_files(call, place):
    assert "wrote 8 pictures" in call("--limit", 2).stdout
    done = call("--source", "people/photo.png", "--poses", "poses/c.csv", "-o", "other")
    assert "wrote 2 pictures to other" in done.stdout


def test_a_video_gives_a_pose_for_each_frame(call, place):
    pytest.importorskip("av", reason="videos need PyAV: pip install posert[video]")
    from videos import write_video

    write_video(place / "dance.mp4", [block(80 + 2 * t) for t in range(6)])
    assert "wrote 16 pictures" in call("--poses", "dance.mp4", "--limit", 4).stdout
    assert manifest(place)[3]["person"] == "frame 3"


def test_two_sources_of_one_name(call, place):
    for path in (place / "people").iterdir():
        path.unlink()
    for name in ("a.png", "a.bmp"):
        write_image(place / "people" / name, np.zeros((128, 64, 3), np.uint8))
    call("--limit", 1)
    assert {path.name for path in (place / "out").glob("*.jpg")} == {"a.png_pose000.jpg", "a.bmp_pose000.jpg"}


def test_a_batch_is_a_function_of_its_arguments(tiny_transfer_bundle):
    rng = np.random.default_rng(0)
    sources = rng.integers(0, 255, (2, 128, 64, 3)).astype(np.uint8)
    keypoints = np.concatenate([rng.uniform(0, 60, (5, 18, 2)), np.ones((5, 18, 1))], 2).astype(np.float32)
    targets = posert.Poses(keypoints, boxes=np.float32([[0, 0, 64, 128]] * 5))
    index = np.array([0, 1, 1, 0, 1])
    with posert.Transfer(tiny_transfer_bundle) as transfer:
        pictures, boxes = draw_pairs(transfer, PairBatch(sources, None, targets, index))
        alone, _ = draw_pairs(transfer, PairBatch(sources[1:], None, targets[2:3], np.array([0])))
    assert pictures.shape == (5, 128, 64, 3)
    np.testing.assert_array_equal(boxes, [[0, 0, 64, 128]] * 2)
    np.testing.assert_array_equal(alone[0], pictures[2])
