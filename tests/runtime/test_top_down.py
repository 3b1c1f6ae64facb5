"""Looks at people, with a network that is surest of them upright."""

from __future__ import annotations

import numpy as np
import pytest

from posert.manifest import Manifest
from posert.stopwatch import Stopwatch
from posert.top_down import UPRIGHT, Looks, People, find_in_boxes

HEAD, FOOT = (255, 0, 0), (0, 0, 255)
SEEN_UPRIGHT, SEEN_OTHERWISE = 0.9, 0.5


class Session:
    """A network of two joints, a red block and a blue one; its maps are high where red is above blue."""

    def __init__(self, otherwise: float) -> None:
        self.otherwise = otherwise
        self.runs = 0

    def run(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.runs += 1
        image = inputs["image"]
        cells = (image[:, [0, 2]] - image[:, 1:2]).reshape(len(image), 2, 32, 8, 24, 8).mean((3, 5)) / 2
        cells /= cells.max((2, 3), keepdims=True)
        maps = np.repeat(cells, [7, 7], 1).astype(np.float32)  # seven joints at the head, seven at the foot
        rows = cells.sum(3).argmax(2)
        upright = rows[:, 0] < rows[:, 1] - 3
        maps *= np.where(upright, SEEN_UPRIGHT, self.otherwise)[:, None, None, None]
        return {"heatmaps": maps, "occlusion": np.repeat(upright, 14).reshape(-1, 14, 1, 1) * maps[:, :14]}


def person(turns: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture of a head and a foot, turned, and where the two are: (2, 2), x and y."""
    image = np.zeros((240, 240, 3), np.uint8)
    image[24:40, 112:128], image[200:216, 112:128] = HEAD, FOOT
    turned = np.ascontiguousarray(np.rot90(image, turns))
    places = [np.argwhere(turned[..., channel] > 0).mean(0)[::-1] for channel in (0, 2)]
    return turned, np.array(places)


@pytest.fixture
def find(estimator_document):
    output = {"name": "occlusion", "dtype": "float32", "shape": ["N", 14, 32, 24], "range": None}
    document = {**estimator_document, "paper": "adversarial", "files": {"estimator.onnx": {"sha256": "0" * 64, "bytes": 1}}}
    network = document["networks"][0]
    heatmaps = {**network["outputs"][0], "shape": ["N", 14, 32, 24]}
    manifest = Manifest.of({**document, "networks": [{**network, "outputs": [heatmaps, output]}]})

    def run(images, looks, otherwise=SEEN_OTHERWISE):
        session, count = Session(otherwise), len(images)
        boxes = np.tile(np.float32([0, 0, 240, 240]), (count, 1))
        people = People(images, boxes, np.arange(count), 1.0, "rgb")
        workspace = lambda number, image: (session, np.full((number, 3, 256, 192), np.nan, np.float32))  # noqa: E731
        return *find_in_boxes(people, manifest, workspace, Stopwatch(), looks), session.runs

    return run


def test_turned_people_are_found_by_turned_looks(find):
    pictures, places = zip(*(person(turns) for turns in (0, 1, 2, 3, 2)), strict=True)
    keypoints, occlusion, runs = find(list(pictures), Looks(rotation_test=True))
    assert runs == 4
    np.testing.assert_allclose(keypoints[..., 2], SEEN_UPRIGHT, atol=0.05)
    np.testing.assert_allclose(keypoints[:, 0, :2], [place[0] for place in places], atol=6)
    np.testing.assert_allclose(keypoints[:, 13, :2], [place[1] for place in places], atol=6)
    assert (occlusion > 0.5).all(), "of the look that counts"
    once, hidden, runs = find(list(pictures), Looks())
    assert runs == 1
    np.testing.assert_allclose(once[:, 0, 2], [SEEN_UPRIGHT, *[SEEN_OTHERWISE] * 4], atol=0.05)
    np.testing.assert_array_equal(hidden[1:], 0)
    np.testing.assert_array_equal(once[0], keypoints[0])


def test_a_turned_look_must_be_clearly_surer(find):
    """The upright look is kept where others are hardly better: here, of somebody who is upside down."""
    picture, _ = person(2)
    for gain, turned in ((UPRIGHT - 0.02, False), (UPRIGHT + 0.02, True)):
        keypoints, _, _ = find([picture], Looks(rotation_test=True), SEEN_UPRIGHT - gain)
        assert (keypoints[0, 0, 2] > SEEN_UPRIGHT - gain / 2) == turned


def test_all_looks_together(find):
    """Scales, mirrored looks and turns are independent of each other."""
    pictures, places = zip(*(person(turns) for turns in (0, 1, 2, 3)), strict=True)
    keypoints, _, runs = find(list(pictures), Looks(flip_test=True, scales=(0.8, 1.0), rotation_test=True))
    assert runs == 16
    np.testing.assert_allclose(keypoints[:, 0, :2], [place[0] for place in places], atol=8)
    np.testing.assert_allclose(keypoints[:, 13, :2], [place[1] for place in places], atol=8)


def test_nobody(find):
    keypoints, occlusion, _ = find([], Looks(rotation_test=True))
    assert keypoints.shape == (0, 14, 3)
    assert occlusion.shape == (0, 14)
