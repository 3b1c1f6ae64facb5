"""`posert transfer` into a video whose poses come from files: pictures, OpenPose's file for each frame, one file for all."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from posert.cli import app
from posert.media.images import write_image

pytest.importorskip("av", reason="videos need PyAV: pip install posert[video]")
from videos import block

from posert.media.video import VideoReader

WALK = [block(60 + 3 * t, 120) for t in range(12)]


@pytest.fixture
def call(tiny_estimator_bundle, tiny_transfer_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "me.png", block(96, 128))
    (tmp_path / "frames").mkdir()
    for number, image in enumerate(WALK):
        write_image(tmp_path / "frames" / f"{number:06}.png", image)

    def run(command: str, *options: object, status: int = 0) -> str:
        models = {
            "transfer": ["--model", tiny_transfer_bundle, "--estimator", tiny_estimator_bundle, "--detector", "none"],
            "estimate": ["--model", tiny_estimator_bundle],
        }
        done = CliRunner().invoke(app, [command, *map(str, options), *map(str, models[command])])
        assert done.exit_code == status, done.output
        return done.stderr if status else done.stdout

    return run


def transfer(call, pose, *options, status=0):
    return call("transfer", "--source", "me.png", "--smoothing", 0, "--pose", pose, "-o", "out.mp4", *options, status=status)


def places(path):
    """Where the tiny model painted, on average over its discs, in each frame."""
    return [np.argwhere((frame.image > 230).all(-1))[:, ::-1].mean(0) for frame in VideoReader(path).frames()]


def openpose(people):
    return json.dumps({"people": [{"pose_keypoints_2d": np.asarray(person).ravel().tolist()} for person in people]})


def figure(x, y):
    """18 joints about a place, as OpenPose writes them."""
    steps = np.arange(18)
    return np.c_[x + 4 * (steps % 5), y + 6 * (steps // 5), np.full(18, 0.9)]


def test_pictures_are_frames(call, tmp_path):
    said = transfer(call, "frames", "--rate", 10)
    assert "wrote out.mp4 (12 frames of 192 x 256 pixels, sound: none)" in said
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.count, round(reader.rate, 3)) == (12, 10)
    x = np.array(places(tmp_path / "out.mp4"))[:, 0]
    assert x[-3:].mean() - x[:3].mean() > 15, "to the right, as the pictures go"


def test_openposes_files_are_frames(call, tmp_path):
    (tmp_path / "poses").mkdir()
    for number in range(12):
        small, large = figure(100, 20) * (1, 1, 0.5), figure(40 + 4 * number, 60)
        people = [] if number in (5, 6) else [small, large]
        (tmp_path / "poses" / f"dance_{number:012}_keypoints.json").write_text(openpose(people))
    said = transfer(call, "poses")
    assert "(12 frames of 192 x 256 pixels" in said
    assert "nobody" not in said, "two frames are a short gap"
    assert VideoReader(tmp_path / "out.mp4").rate == 25
    x = np.array(places(tmp_path / "out.mp4"))[:, 0]
    assert (np.diff(x) > 0).mean() > 0.8, "the surest person walks to the right"
    assert "(7 frames" in transfer(call, "poses", "--limit", 7)


def test_the_pictures_of_one_file_are_frames(call, tmp_path):
    call("estimate", "frames", "-o", "walk.json")
    assert "(12 frames of 192 x 256 pixels, sound: none)" in transfer(call, "walk.json")
    x = np.array(places(tmp_path / "out.mp4"))[:, 0]
    assert x[-3:].mean() - x[:3].mean() > 15


ERRORS = {
    "--pose mixed": "'mixed' holds pictures and pose files",
    "--pose hollow": "holds nothing that poses are read from",
    "--pose frames --rate 0": "--rate must be above 0 and at most 240 frames a second, got 0",
    "--pose frames --rate nan": "--rate must be above 0",
    "--pose bad": "00001.json",
    "--pose many": "has the poses of 12 pictures, where each file is to be a frame",
    "--pose nobody": "no person was found in 3 frames of 'nobody'",
    "--pose one.json": "a video needs the poses of many frames, and 'one.json' is a pose file with one",
}


@pytest.mark.parametrize("line", ERRORS)
def test_errors_leave_nothing_behind(call, tmp_path, line):
    for folder in ("mixed", "hollow", "bad", "many", "nobody"):
        (tmp_path / folder).mkdir()
    write_image(tmp_path / "mixed" / "a.png", block(96, 128))
    (tmp_path / "one.json").write_text(openpose([figure(40, 60)]))
    for number in range(3):
        (tmp_path / "mixed" / f"{number:05}.json").write_text(openpose([figure(40, 60)]))
        (tmp_path / "bad" / f"{number:05}.json").write_text(openpose([figure(40, 60)]) if number != 1 else '{"people": [{')
        (tmp_path / "nobody" / f"{number:05}.json").write_text(openpose([]))
    call("estimate", "frames", "-o", "many/all.json")
    said = call("transfer", "--source", "me.png", "-o", "out.mp4", *line.split(), status=2)
    assert said.startswith("posert: error: ")
    assert ERRORS[line] in " ".join(said.split())
    assert not list(tmp_path.glob("out.mp4*"))


def test_a_rate_is_for_files(call, tmp_path):
    one = ("--source", "me.png", "--pose", "frames/000000.png", "--rate", 5, "-o")
    assert "--rate is for more than one pose" in call("transfer", *one, "out.png", status=2)
    assert "--rate is for a single result" in call("transfer", *one, "out", status=2)
    from videos import write_video

    write_video(tmp_path / "dance.mp4", WALK)
    assert "has a rate of its own" in transfer(call, "dance.mp4", "--rate", 5, status=2)
