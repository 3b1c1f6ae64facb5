"""Who draws where `posert transfer` is not told: the source decides."""

from __future__ import annotations

from importlib.resources import files

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from posert.cli import app
from posert.commands.transfer_plan import suited_model
from posert.media.images import read_image, write_image

EXAMPLES = files("posert") / "examples"


@pytest.mark.parametrize(
    ("size", "model"),
    [
        ((128, 64), "pg2-s"),
        ((256, 128), "pg2-s"),
        ((200, 101), "pg2-s"),
        ((258, 129), "unseen-s"),
        ((128, 70), "unseen-s"),
        ((64, 128), "unseen-s"),
        ((256, 256), "unseen-s"),
        ((2000, 1000), "unseen-s"),
    ],
)
def test_small_upright_crops_are_drawn_by_the_model_of_crops(size, model):
    assert suited_model(np.zeros((*size, 3), np.uint8)) == model


def transfer(*options, status=0):
    done = CliRunner().invoke(app, ["transfer", *map(str, options)])
    assert done.exit_code == status, done.output
    return " ".join(done.output.split())


def test_one_picture(tmp_path):
    said = transfer("--source", EXAMPLES / "source-jacket.jpg", "--pose", EXAMPLES / "pose-left.jpg", "-o", tmp_path / "out.png")
    assert "drawn by unseen-s, which suits sources of 256 x 256 pixels" in said
    assert read_image(tmp_path / "out.png").shape == (256, 256, 3)


def test_the_first_source_of_a_folder_that_can_be_read_decides(tmp_path):
    people = tmp_path / "people"
    people.mkdir()
    whole = read_image(str(EXAMPLES / "source-jacket.jpg"))
    write_image(people / "1.png", cv2.resize(whole[:, 64:192], (64, 128), interpolation=cv2.INTER_AREA))
    write_image(people / "2.png", whole)
    said = transfer("--source", people, "--poses", EXAMPLES / "pose-left.jpg", "-o", tmp_path / "out")
    assert "drawn by pg2-s" in said
    assert read_image(tmp_path / "out" / "1_pose000.jpg").shape == (128, 64, 3)
    (people / "0.png").write_bytes(b"")
    (people / "1.png").unlink()
    said = transfer("--source", people, "--poses", EXAMPLES / "pose-left.jpg", "-o", tmp_path / "other", status=1)
    assert "drawn by unseen-s" in said
    assert "1 inputs could not be used" in said
    assert read_image(tmp_path / "other" / "2_pose000.jpg").shape == (256, 256, 3)
