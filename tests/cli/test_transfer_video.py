"""`posert transfer` with a video as the pose, on tiny models whose results are known."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from posert.cli import app
from posert.commands import motion, transfer_video
from posert.media.images import write_image
from posert.media.video import VideoReader

pytest.importorskip("av", reason="videos need PyAV: pip install posert[video]")
from videos import block, write_video


@pytest.fixture
def call(tiny_estimator_bundle, tiny_transfer_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "me.png", block(96, 128))
    models = ["--model", tiny_transfer_bundle, "--estimator", tiny_estimator_bundle, "--detector", "none"]

    def run(*options: object, source: str = "me.png", status: int = 0) -> str:
        done = CliRunner().invoke(app, ["transfer", "--source", source, *map(str, options), *map(str, models)])
        assert done.exit_code == status, done.output
        assert "Traceback" not in done.stderr
        return done.stderr if status else done.stdout

    return run


def bright(image):
    """The middle of the white discs that the tiny model paints."""
    return np.argwhere((image > 230).all(-1))[:, ::-1].mean(0)


WALK = [block(60 + 3 * t, 120) for t in range(24)]


def test_the_person_moves_as_the_driver_does(call, tmp_path):
    write_video(tmp_path / "dance.mp4", WALK, sound="aac")
    said = call("--pose", "dance.mp4", "-o", "out.mp4", "--smoothing", 0)
    assert "wrote out.mp4 (24 frames of 192 x 256 pixels, sound: copied)" in said
    assert "flicker" in said
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.size, reader.count) == ((256, 192), 24)
    places = [bright(frame.image) for frame in reader.frames()]
    x = np.array(places)[:, 0]
    assert x[-6:].mean() - x[:6].mean() > 25, "to the right, as the driver goes"
    assert abs(np.median(x) - 96) < 14, "its median place is the source's"
    assert np.ptp([y for _, y in places]) < 12


def test_what_is_far_from_the_person_stays(call, tmp_path):
    picture = np.zeros((256, 400, 3), np.uint8)
    picture[:, :, 1] = 90
    picture[:, 100:300] = 0
    picture[124:132, 196:204] = 255
    write_image(tmp_path / "wide.png", picture)
    write_video(tmp_path / "dance.mp4", WALK[:6])
    call("--pose", "dance.mp4", "-o", "out.mp4", source="wide.png")
    last = list(VideoReader(tmp_path / "out.mp4").frames())[-1].image
    assert last.shape == (256, 400, 3)
    assert np.abs(last[:, :60].astype(int) - picture[:, :60]).mean() < 3


def test_limit_grid_and_no_paste(call, tmp_path):
    write_video(tmp_path / "dance.mp4", WALK)
    assert "(5 frames of 64 x 128 pixels" in call("--pose", "dance.mp4", "-o", "a.mp4", "--limit", 5, "--no-paste")
    assert "(5 frames of " in call("--pose", "dance.mp4", "-o", "b.mp4", "--limit", 5, "--grid", "--no-retarget")
    height, width = VideoReader(tmp_path / "b.mp4").size
    assert height == 512
    assert width == 2 * 256 + 512 * 192 // 256


def test_frames_without_anybody_keep_the_last_picture(call, tmp_path):
    dark = np.zeros((256, 192, 3), np.uint8)
    write_video(tmp_path / "dance.mp4", [dark] * 15 + WALK[:3] + [dark] * 20)
    said = call("--pose", "dance.mp4", "-o", "out.mp4")
    assert "nobody was found in 35 of 38 frames" in said
    frames = [frame.image.astype(int) for frame in VideoReader(tmp_path / "out.mp4").frames()]
    assert np.abs(frames[3] - block(96, 128)).mean() < 2, "before anybody is seen, the source is shown"
    assert np.abs(frames[30] - frames[17]).mean() < 2


def test_short_gaps_are_bridged(call, tmp_path):
    dark = np.zeros((256, 192, 3), np.uint8)
    write_video(tmp_path / "dance.mp4", [*WALK[:8], dark, dark, *WALK[10:]])
    assert "nobody" not in call("--pose", "dance.mp4", "-o", "out.mp4")


def test_memory_does_not_grow_with_the_video(call, tmp_path, monkeypatch):
    """No more frames are read ahead of those written than the queues hold."""
    write_video(tmp_path / "dance.mp4", [*WALK, *WALK[::-1]] * 5)
    read, written, lead = [], [], []
    frames, write = motion.VideoReader.frames, transfer_video.VideoWriter.write

    def counted(self, limit=None):
        for frame in frames(self, limit):
            read.append(frame.time)
            yield frame

    def noted(self, image, time):
        written.append(time)
        lead.append(len(read) - len(written))
        write(self, image, time)

    monkeypatch.setattr(motion.VideoReader, "frames", counted)
    monkeypatch.setattr(transfer_video.VideoWriter, "write", noted)
    call("--pose", "dance.mp4", "-o", "out.mp4")
    assert len(written) == 240
    assert max(lead) < 64


ERRORS = {
    "--pose dark.mp4 -o out.mp4": "no person was found in 12 frames of 'dark.mp4'",
    "--pose cut.mp4 -o out.mp4": "'cut.mp4' is truncated",
    "--pose text.mp4 -o out.mp4": "'text.mp4' cannot be opened",
    "--pose empty.mp4 -o out.mp4": "'empty.mp4' is empty",
    "--pose absent.mp4 -o out.mp4": "no file 'absent.mp4'",
    "--pose dance.mp4 -o out.png": "a video's name must end in .mp4",
    "--pose dance.mp4 -o out.avi": "a video's name must end in .mp4",
    "--pose other.png -o out.mp4": "needs the poses of many frames, and 'other.png' is a picture",
    "--pose dance.mp4 -o absent/out.mp4": "there is no folder",
    "--pose dance.mp4 -o out.mp4 --smoothing -1": "smoothing must lie between 0",
    "--pose dance.mp4 -o out.mp4 --limit 0": "--limit must be at least 1",
    "--pose dance.mp4 -o out.mp4 --max-pixels 1000": "megapixels",
    "--pose dance.mp4 -o dance.mp4": "'dance.mp4' is what --pose names, and would be overwritten",
    "--pose dance.mp4 -o out.mp4 --redo": "--redo is for a folder of results",
    "--pose dance.mp4 -o out.mp4 --explain steps": "--explain is for one pose",
    "--pose other.png -o out.png --limit 3": "--limit is for more than one pose",
    "--pose nothing.txt -o out.png": "nothing that poses are read from",
}


@pytest.mark.parametrize("line", ERRORS)
def test_errors_leave_nothing_behind(call, tmp_path, line):
    whole = write_video(tmp_path / "dance.mp4", WALK[:12], faststart=True).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: (whole.find(b"mdat") + len(whole)) // 2])
    (tmp_path / "text.mp4").write_text("notes\n" * 99)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "nothing.txt").touch()
    write_image(tmp_path / "other.png", block(96, 128))
    write_video(tmp_path / "dark.mp4", [np.zeros((256, 192, 3), np.uint8)] * 12)
    before = sorted(tmp_path.iterdir())
    said = call(*line.split(), status=2)
    assert said.startswith("posert: error: ")
    assert said.count("\n") == 1
    assert ERRORS[line] in said
    assert sorted(tmp_path.iterdir()) == before


def test_damage_in_the_middle_leaves_no_video(call, tmp_path):
    data = bytearray(write_video(tmp_path / "dance.mkv", WALK * 4).read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    (tmp_path / "dance.mkv").write_bytes(data)
    done = call("--pose", "dance.mkv", "-o", "out.mp4", status=2) if not _plays(tmp_path / "dance.mkv") else "damaged"
    assert "damaged" in done
    assert not (tmp_path / "out.mp4").exists()


def _plays(path):
    try:
        list(VideoReader(path).frames())
    except Exception:
        return False
    return True
