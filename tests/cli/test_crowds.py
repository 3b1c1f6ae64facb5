"""`posert estimate` with models that find everybody, alone and as detectors."""

from __future__ import annotations

import crowds
import numpy as np
import pytest
from typer.testing import CliRunner

from posert.cli import app
from posert.formats import read_coco
from posert.media.images import read_image, write_image


@pytest.fixture
def photos(tmp_path):
    """Two people, nobody, one person."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, cells in (("a", [(8, 12), (22, 10)]), ("b", []), ("c", [(16, 9)])):
        image = np.zeros((*crowds.SIZE, 3), np.uint8)
        for x, y in cells:
            image[8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = 255
        write_image(folder / f"{name}.png", image)
    return folder


def call(*options):
    return CliRunner().invoke(app, ["estimate", *map(str, options)])


def test_everybody_is_written(photos, tmp_path, tiny_crowd_bundle):
    done = call(photos, "--model", tiny_crowd_bundle, "-o", tmp_path / "all.json")
    assert done.exit_code == 0, done.output
    assert "3 people in 3 pictures" in done.stdout
    poses, images = read_coco(tmp_path / "all.json")
    assert [image.file_name for image in images] == ["a.png", "b.png", "c.png"]
    np.testing.assert_array_equal(poses.image_index, [0, 0, 2])
    assert poses.skeleton.name == "coco18"


def test_everybody_is_drawn(photos, tmp_path, tiny_crowd_bundle):
    done = call(photos / "a.png", "--model", tiny_crowd_bundle, "-o", tmp_path / "drawn.png")
    assert done.exit_code == 0, done.output
    before, after = read_image(photos / "a.png"), read_image(tmp_path / "drawn.png")
    for cell in ((8, 12), (22, 10)):
        x, y = crowds.joints(*cell)[1].round().astype(int)
        assert (after[y - 1 : y + 2, x - 1 : x + 2] != before[y - 1 : y + 2, x - 1 : x + 2]).any()


def test_a_detector_says_where_people_are(photos, tmp_path, tiny_crowd_bundle, tiny_estimator_bundle):
    done = call(photos, "--model", tiny_estimator_bundle, "--detector", tiny_crowd_bundle, "-o", tmp_path / "all.json")
    assert done.exit_code == 0, done.output
    poses, _ = read_coco(tmp_path / "all.json")
    assert poses.skeleton.name == "cpm14"
    assert set(poses.image_index.tolist()) <= {0, 2}


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--boxes", "0,0,9,9", "--detector", "paf-s"), "give one of them"),
        (("--boxes", "0,0,9,9"), "takes no boxes"),
        (("--detector", "paf-s"), "leave the detector out"),
    ],
)
def test_contradictions_are_refused(photos, tmp_path, tiny_crowd_bundle, options, match):
    done = call(photos / "a.png", "--model", tiny_crowd_bundle, *options, "-o", tmp_path / "a.json")
    assert done.exit_code == 2
    assert match in " ".join(done.stderr.split())
    assert not (tmp_path / "a.json").exists()
