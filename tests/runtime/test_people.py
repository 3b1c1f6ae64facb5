"""Finding the one person in a picture by looking at it several times."""

from __future__ import annotations

import numpy as np
import pytest

from posert import Estimator
from posert.people import find_people


@pytest.fixture(scope="module")
def estimator(tiny_estimator_bundle):
    with Estimator(tiny_estimator_bundle) as estimator:
        yield estimator


def blob(height, width, x, y, side=16):
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + side, x : x + side, 0] = 255
    return image


def test_each_look_is_as_good_as_the_last(estimator):
    images = [blob(300, 400, 200, 140), blob(128, 64, 30, 60, 4), blob(500, 500, 250, 240, 10)]
    found = find_people(estimator, images)
    np.testing.assert_array_equal(found.image_index, [0, 1, 2])
    assert found.skeleton.name == "cpm14"
    assert (found.keypoints[..., 2].mean(1) >= estimator.run(images).keypoints[..., 2].mean(1)).all()
    x0, y0, x1, y1 = found.boxes.T
    centre = np.stack([(x0 + x1) / 2, (y0 + y1) / 2], axis=1)
    assert (np.abs(centre - [[208, 148], [32, 62], [255, 245]]) < [[40, 40], [8, 8], [40, 40]]).all()


def test_colour_order(estimator):
    image = blob(300, 400, 200, 140)
    rgb = find_people(estimator, image[None])
    np.testing.assert_array_equal(find_people(estimator, image[None, ..., ::-1], color="bgr").keypoints, rgb.keypoints)


def test_nobody(estimator):
    found = find_people(estimator, [blob(300, 400, 200, 140), np.zeros((50, 40, 3), np.uint8)])
    assert (found.keypoints[0, :, 2] > 0).any()
    assert not found.keypoints[1, :, 2].any()
    np.testing.assert_array_equal(found.boxes[1], [0, 0, 40, 50])
    assert len(find_people(estimator, [])) == 0


def test_joints_beside_the_image(estimator):
    """Joints may be found in what was added to reach the network's proportions; the next look is at the image again."""
    image = blob(20, 400, 392, 6, 8)
    assert len(find_people(estimator, image[None])) == 1
