"""What goes wrong is told in one line on stderr, with exit status 2, without a traceback and without a partial file."""

from __future__ import annotations

import errno
import json
import os
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from posert.cli import app
from posert.media.images import write_image


def short_png(width: int, height: int) -> bytes:
    """A PNG in order but for the number of its pixels, which only the decoder counts."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(3 * width * height // 2))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.fixture
def files(tmp_path, tiny_estimator_bundle, tiny_transfer_bundle):
    """A folder with good and bad files; the current folder of the commands."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 48, 3)).astype(np.uint8)
    for name in ("good.png", "good.jpg"):
        write_image(tmp_path / name, image)
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", image)
    (tmp_path / "spoiled").mkdir()
    write_image(tmp_path / "spoiled" / "a.png", image)
    jpeg = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "spoiled" / "b.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "truncated.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "corrupt.jpg").write_bytes(jpeg[: len(jpeg) // 2] + jpeg[-2:])  # the structure of the file is whole
    (tmp_path / "corrupt").mkdir()
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "corrupt" / name, image)
    (tmp_path / "corrupt" / "c.jpg").write_bytes((tmp_path / "corrupt.jpg").read_bytes())
    (tmp_path / "short.png").write_bytes(short_png(48, 64))
    (tmp_path / "series").mkdir()
    for name in ("a.png", "b.png"):
        write_image(tmp_path / "series" / name, image)
    (tmp_path / "last.json").write_text('{"a.png": [[0, 0, 48, 64]], "b.png": [[0, 0, 48, 64], [48, 0, 60, 9]]}')
    (tmp_path / "taken" / "a.png").mkdir(parents=True)
    (tmp_path / "notes.png").write_text("these are my notes\n" * 20)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "e.posert").write_bytes(tiny_estimator_bundle.read_bytes())
    (tmp_path / "t.posert").write_bytes(tiny_transfer_bundle.read_bytes())
    bundle = bytearray(tiny_estimator_bundle.read_bytes())
    (tmp_path / "cut.posert").write_bytes(bytes(bundle[: len(bundle) // 2]))
    bundle[len(bundle) // 2] ^= 1
    (tmp_path / "flipped.posert").write_bytes(bytes(bundle))
    poses = {"people": [{"pose_keypoints_2d": [10, 20, 0.5] * 18}]}
    (tmp_path / "pose.json").write_text(json.dumps(poses))
    (tmp_path / "nan.json").write_text(json.dumps({"people": [{"pose_keypoints_2d": [float("nan"), 20, 0.5] * 18}]}))
    (tmp_path / "nobody.json").write_text('{"people": []}')
    (tmp_path / "short.json").write_text('{"people": [{"pose_keypoints_2d": [1, 2, 3, 4]}]}')
    (tmp_path / "boxes.json").write_text("[[0, 0, 10, 10], [5, 5, 5, 9]]")
    (tmp_path / "other.json").write_text('{"b.png": []}')
    (tmp_path / "coco.json").write_text('{"annotations": [{"bbox": [1, 2, 3, 4], "image_id": 7}], "images": []}')
    return tmp_path


ESTIMATE = "estimate --model e.posert "
LONG = "a" * 300
TRANSFER = "transfer --model t.posert --estimator e.posert --detector none "

CASES = {
    # pictures
    ESTIMATE + "absent.png -o out.json": "no file 'absent.png'",
    ESTIMATE + "truncated.jpg -o out.json": "truncated",
    ESTIMATE + "notes.png -o out.png": "not a JPEG, PNG, WebP or BMP",
    ESTIMATE + "empty.png -o out.png": "empty",
    ESTIMATE + "nothing -o out.json": "holds no picture",
    ESTIMATE + "spoiled -o drawn": "b.jpg",
    ESTIMATE + "good.png --max-pixels 1000 -o out.json": "megapixels",
    ESTIMATE + "good.png --max-pixels nan -o out.json": "greater than 0",
    ESTIMATE + "good.png --max-pixels many -o out.json": "--max-pixels",
    ESTIMATE + "short.png -o out.png": "'short.png' cannot be decoded",
    ESTIMATE + "corrupt.jpg -o out.png": "'corrupt.jpg' is damaged (Corrupt JPEG data",
    ESTIMATE + "corrupt -o drawn": "c.jpg",
    ESTIMATE + "corrupt -o photos": "c.jpg",
    ESTIMATE + f"{LONG} -o out.json": "too long",
    ESTIMATE + f"{LONG}.png -o out.json": "too long",
    # outputs
    ESTIMATE + f"good.png -o {LONG}.json": "too long",
    ESTIMATE + f"good.png -o {LONG}/out.json": "too long",
    ESTIMATE + f"photos -o {LONG}": "too long",
    ESTIMATE + "photos -o taken": "is not a regular file",
    ESTIMATE + "good.png": "nothing would be written",
    ESTIMATE + "good.png -o absent/out.json": "no folder",
    ESTIMATE + "good.png -o /proc/out.png": "does not accept files",
    ESTIMATE + "photos -o /proc/new": "does not accept files",
    ESTIMATE + "photos -o good.png/new": "is not a folder",
    ESTIMATE + "photos -o out.png": "cannot become the single picture",
    ESTIMATE + "photos -o photos": "would be overwritten",
    ESTIMATE + "good.png -o good.png": "would be overwritten",
    ESTIMATE + "good.png -o out.txt": "what is 'out.txt' to be",
    ESTIMATE + "good.png --format openpose -o out.png": "is for JSON",
    ESTIMATE + "good.png --format yaml -o out.json": "must be coco or openpose",
    ESTIMATE + "photos --format openpose -o out.json": "one picture a file",
    ESTIMATE + "photos --format openpose --json": "one picture a file",
    ESTIMATE + "photos --format coco -o drawn": "all pictures in one file",
    # boxes and skeletons
    ESTIMATE + f"good.png --boxes {LONG}.json -o out.json": "too long",
    ESTIMATE + "series --boxes last.json -o drawn": "'b.png', box 1: [48.0, 0.0, 60.0, 9.0] lies outside the image of 48 x 64",
    ESTIMATE + "good.png --boxes 1,2,3 -o out.json": "x0, y0, x1, y1",
    ESTIMATE + "good.png --boxes one,2,3,4 -o out.json": "--boxes must be",
    ESTIMATE + "good.png --boxes 5,5,5,9 -o out.json": "x1 > x0",
    ESTIMATE + "good.png --boxes nan,0,5,9 -o out.json": "NaN",
    ESTIMATE + "good.png --boxes 500,500,600,600 -o out.json": "outside the image",
    ESTIMATE + "good.png --boxes boxes.json -o out.json": "x1 > x0",
    ESTIMATE + "good.png --boxes other.json -o out.json": "no boxes for 'good.png'",
    ESTIMATE + "good.png --boxes coco.json -o out.json": "one of the images",
    ESTIMATE + "good.png --boxes absent.json -o out.json": "no file 'absent.json'",
    ESTIMATE + "good.png --boxes notes.png -o out.json": "--boxes must be",
    ESTIMATE + "photos --boxes pose.json -o out.json": "no boxes for 'a.png'",
    ESTIMATE + "good.png --skeleton coco71 -o out.json": "unknown skeleton",
    # models
    f"estimate --model {LONG} good.png -o out.json": "too long",
    f"estimate --model {LONG}.posert good.png -o out.json": "too long",
    f"inspect {LONG}": "too long",
    f"inspect {LONG}.posert": "too long",
    "estimate --model absent.posert good.png -o out.json": "absent.posert",
    "estimate --model cut.posert good.png -o out.json": "cut.posert",
    "estimate --model flipped.posert good.png -o out.json": "flipped.posert",
    "estimate --model good.png good.png -o out.json": "good.png",
    "estimate --model t.posert good.png -o out.json": "transfer",
    "estimate --model no-such-model good.png -o out.json": "no-such-model",
    ESTIMATE + "good.png --backend tensorflow -o out.json": "tensorflow",
    ESTIMATE + "good.png --device cuda -o out.json": "cannot run here with device 'cuda'; tensorrt: ",
    "inspect cut.posert": "cut.posert",
    "inspect flipped.posert": "flipped.posert",
    "inspect absent.posert": "absent.posert",
    "inspect nosuchmodel": "nosuchmodel",
    # transfer
    TRANSFER + "--source good.png --pose good.png": "Missing option",
    TRANSFER + "--source absent.png --pose good.png -o out.png": "absent.png",
    TRANSFER + "--source truncated.jpg --pose good.png -o out.png": "truncated.jpg",
    TRANSFER + "--source good.png --pose truncated.jpg -o out.png": "truncated.jpg",
    TRANSFER + "--source good.png --pose nan.json -o out.png": "NaN",
    TRANSFER + "--source good.png --pose nobody.json -o out.png": "no person",
    TRANSFER + "--source good.png --pose short.json -o out.png": "4 numbers",
    TRANSFER + "--source good.png --pose absent.json -o out.png": "absent.json",
    TRANSFER + "--source good.png --pose pose.json -o out.gif": "must end in",
    TRANSFER + "--source good.png --pose pose.json -o /proc/out.png": "does not accept files",
    "transfer --model e.posert --estimator e.posert --detector none --source good.png --pose pose.json -o out.png": "estimation",
    TRANSFER + f"--source {LONG} --pose good.png -o out.png": "too long",
    TRANSFER + f"--source good.png --pose {LONG}.json -o out.png": "too long",
    # demo
    f"demo --model t.posert --estimator e.posert -o {LONG}": "too long",
    "demo --model t.posert --estimator e.posert -o /proc/demo": "does not accept files",
    "demo --model t.posert --estimator e.posert -o good.png": "is not a folder",
    "demo --model nosuchmodel --estimator e.posert -o new": "nosuchmodel",
    # the call itself
    "estimat good.png": "No such command",
    "estimate --no-such-option good.png": "No such option",
    "estimate": "Missing argument",
    "models extra": "unexpected",
}


@pytest.mark.parametrize("line", CASES)
def test_bad_input(files, monkeypatch, line):
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    done = CliRunner().invoke(app, line.split())
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.startswith("posert: error: ")
    assert CASES[line] in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(files.rglob("*")) == before, "a file was left behind"
    assert done.stderr.count("\n") == 1


def test_no_person_in_a_picture(files, monkeypatch):
    monkeypatch.chdir(files)
    write_image(files / "dark.png", np.zeros((80, 60, 3), np.uint8))
    for options in ("--source good.png --pose dark.png", "--source dark.png --pose pose.json"):
        done = CliRunner().invoke(app, (TRANSFER + options + " -o out.png").split())
        assert done.exit_code == 2
        assert "dark.png" in done.stderr
    assert not (files / "out.png").exists()


@pytest.mark.parametrize("options", ["corrupt -o drawn", "corrupt -o photos", "series --boxes late.json -o drawn"])
def test_failure_after_the_first_batch_leaves_nothing(files, monkeypatch, options):
    monkeypatch.chdir(files)
    monkeypatch.setattr("posert.commands.estimate.BATCH", 1)
    huge = 3e38  # the estimator's margins lead beyond float32
    (files / "late.json").write_text(json.dumps({"a.png": [[0, 0, 9, 9]], "b.png": [[-huge, -huge, huge, huge]]}))
    before = {path: path.stat().st_mtime_ns for path in files.rglob("*") if path.is_file()}
    done = CliRunner().invoke(app, (ESTIMATE + options).split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert ("b.png" if "late" in options else "c.jpg") in done.stderr
    assert {path: path.stat().st_mtime_ns for path in files.rglob("*") if path.is_file()} == before
    assert not (files / "drawn").exists()


def test_results_join_what_a_folder_holds(files, monkeypatch):
    monkeypatch.chdir(files)
    (files / "drawn").mkdir()
    (files / "drawn" / "mine.txt").write_text("mine")
    (files / "elsewhere.png").write_bytes(b"old")
    (files / "drawn" / "a.png").symlink_to("../elsewhere.png")
    done = CliRunner().invoke(app, (ESTIMATE + "series -o drawn").split())
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (files / "drawn").iterdir()) == ["a.png", "b.png", "mine.txt"]
    assert (files / "drawn" / "a.png").is_symlink()
    assert (files / "elsewhere.png").read_bytes().startswith(b"\x89PNG")


def test_a_box_needs_no_joint(files, monkeypatch):
    monkeypatch.chdir(files)
    (files / "nan_boxes.json").write_text("[[NaN, 0, 5, 9]]")
    for boxes in ("nan,0,5,9", "nan_boxes.json"):
        done = CliRunner().invoke(app, f"{ESTIMATE} good.png --boxes {boxes} -o out.json".split())
        assert "NaN" in done.stderr
        assert "joint" not in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        ESTIMATE + "locked/in/a.jpg -o out.json",
        ESTIMATE + "good.png -o locked/in/o.json",
        ESTIMATE + "good.png -o locked/in/o.png",
        ESTIMATE + "photos -o locked/in/dir",
        "estimate --model locked/in/m.posert good.png -o out.json",
        "inspect locked/in/m.posert",
        "demo --model t.posert --estimator e.posert -o locked/in/x",
    ],
)
def test_locked_folders(files, monkeypatch, line):
    """The file system's answer to everybody but root, to whom no folder is locked."""
    real = os.stat

    def refuse(path, **options):
        if "locked/in" in str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, **options)

    monkeypatch.chdir(files)
    monkeypatch.setattr(os, "stat", refuse)
    done = CliRunner().invoke(app, line.split())
    monkeypatch.undo()
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("posert: error: 'locked/in" if "-o locked" not in line else "posert: error: ")
    assert "locked/in" in done.stderr
    assert "Permission denied" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_last_resort(files, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "disk")

    monkeypatch.setattr("posert.zoo.path", fail)
    done = CliRunner().invoke(app, ["models"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "posert: error: 'disk' cannot be used: Input/output error\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("options", ["models", "models --json", "--help"])
def test_full_disk_behind_stdout(files, options):
    command = f"{sys.executable} -m posert.cli {options} > /dev/full"
    done = subprocess.run(["bash", "-c", command], cwd=files, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "posert: error: reading or writing failed: No space left on device\n")


def shell(files: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", "posert.cli", *options]
    return subprocess.run(command, cwd=files, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (ESTIMATE + "truncated.jpg -o out.json", "truncated"),
        (ESTIMATE + "notes.png -o out.json", "not a JPEG"),
        (ESTIMATE + "spoiled -o drawn", "b.jpg"),
        (ESTIMATE + "short.png -o out.json", "short.png"),
        (ESTIMATE + "corrupt -o drawn", "c.jpg"),
        ("estimate --model cpm-ss good.png -o out.json", "cpm-ss"),
        ("inspect flipped.posert", "flipped.posert"),
        ("estimate --bad", "No such option"),
    ],
)
def test_bad_input_in_a_shell(files, line, words):
    done = shell(files, *line.split())
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("posert: error: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (files / "out.json").exists()
    assert not (files / "drawn").exists()


def test_good_input_in_a_shell(files):
    done = shell(files, *(ESTIMATE + "photos -o out.json").split())
    assert (done.returncode, done.stderr) == (0, "")
    assert "wrote out.json" in done.stdout


def test_closed_pipe_is_quiet(files):
    command = f"{sys.executable} -m posert.cli estimate --model e.posert photos --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], cwd=files, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals work differently there")
def test_interrupt(files):
    """Ctrl-C while a long job runs: status 130, one line, no temporary file."""
    program = (
        "import posert.commands.estimate as estimate, posert.media.images as images, signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # it may have been ignored when the tests were started
        "read = images.read_image\n"
        "def slow(*args, **options):\n    print('reading', flush=True)\n    time.sleep(60)\n"
        "images.read_image = slow\n"
        "from posert.cli import app\n"
        "app(['estimate', '--model', 'e.posert', 'good.png', '-o', 'out.json'])\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], cwd=files, text=True, **pipes) as process:
        assert process.stdout.readline() == "reading\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip() == "posert: interrupted"
    assert not [path for path in files.iterdir() if path.name.startswith((".posert", "out"))]


def test_help_is_quick_and_light(files):
    program = (
        "import sys\nfrom typer.testing import CliRunner\nfrom posert.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([name for name in ('cv2', 'onnxruntime', 'torch', 'posert._native') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=files, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
