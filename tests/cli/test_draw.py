"""`posert.draw`: pixels change where limbs are, and nowhere far away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posert.draw import LEFT, RIGHT, draw_poses, draw_text, fit_picture, picture_grid
from posert.errors import InputError
from posert.skeleton import SKELETONS
from posert.types import Poses


def person(**joints: tuple[float, float]) -> Poses:
    skeleton = SKELETONS["coco18"]
    keypoints = np.full((1, 18, 3), np.nan, np.float32)
    keypoints[..., 2] = 0
    for name, place in joints.items():
        keypoints[0, skeleton.joints.index(name)] = (*place, 0.9)
    return Poses(keypoints)


def distance_to_segment(shape: tuple[int, int], a: tuple[float, float], b: tuple[float, float]) -> np.ndarray:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(float)
    step = np.subtract(b, a)
    along = np.clip(((x - a[0]) * step[0] + (y - a[1]) * step[1]) / (step @ step), 0, 1)
    return np.hypot(x - a[0] - along * step[0], y - a[1] - along * step[1])


def test_limb_is_drawn_where_it_is():
    image = np.full((100, 200, 3), 90, np.uint8)
    kept = image.copy()
    drawn = draw_poses(image, person(left_shoulder=(20, 30), left_elbow=(150, 80)), line_width=4)
    np.testing.assert_array_equal(image, kept)
    distance = distance_to_segment((100, 200), (20, 30), (150, 80))
    changed = (drawn != image).any(-1)
    assert changed[distance < 1.5].all()
    assert not changed[distance > 8].any()
    assert (np.abs(drawn[55, 85].astype(int) - LEFT) < 30).all()


def test_sides_have_their_colours():
    image = np.zeros((60, 60, 3), np.uint8)
    left = draw_poses(image, person(left_knee=(30, 10), left_ankle=(30, 50)), line_width=5)
    right = draw_poses(image, person(right_knee=(30, 10), right_ankle=(30, 50)), line_width=5)
    assert left[30, 30].tolist() == list(LEFT)
    assert right[30, 30].tolist() == list(RIGHT)


def test_missing_joints_draw_nothing():
    image = np.full((50, 50, 3), 7, np.uint8)
    np.testing.assert_array_equal(draw_poses(image, person()), image)
    np.testing.assert_array_equal(draw_poses(image, person()[:0]), image)
    dot = draw_poses(image, person(nose=(25, 25)))
    assert (dot != image).any()
    assert not (dot[:10] != image[:10]).any()


def test_width_follows_the_picture():
    share = []
    for side in (128, 1024):
        image = np.zeros((side, side, 3), np.uint8)
        drawn = draw_poses(image, person(left_knee=(side * 0.5, side * 0.1), left_ankle=(side * 0.5, side * 0.9)))
        share.append((drawn[side // 2] > 0).any(-1).sum() / side)
    assert 0.3 < share[0] / share[1] < 3


def test_width_follows_a_small_person():
    image = np.zeros((500, 500, 3), np.uint8)
    small = draw_poses(image, person(left_knee=(250, 240), left_ankle=(250, 260)))
    large = draw_poses(image, person(left_knee=(250, 50), left_ankle=(250, 450)))
    assert (small[250] > 0).any(-1).sum() < 0.6 * (large[250] > 0).any(-1).sum()


def test_opacity():
    image = np.full((60, 60, 3), 90, np.uint8)
    pose = person(left_knee=(30, 10), left_ankle=(30, 50))
    np.testing.assert_array_equal(draw_poses(image, pose, opacity=0), image)
    half, full = draw_poses(image, pose, opacity=0.5), draw_poses(image, pose)
    assert abs(int(half[30, 30, 0]) - (90 + int(full[30, 30, 0])) / 2) <= 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(width=32, allow_nan=False, allow_infinity=False)] * 4), min_size=1, max_size=3),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_far_joints_and_tiny_pictures_are_safe(ends, height, width):
    image = np.zeros((height, width, 3), np.uint8)
    for x0, y0, x1, y1 in ends:
        drawn = draw_poses(image, person(left_knee=(x0, y0), left_ankle=(x1, y1)))
        assert drawn.shape == image.shape


def test_line_across_the_picture_from_far_away():
    image = np.zeros((40, 60, 3), np.uint8)
    drawn = draw_poses(image, person(left_knee=(-1e9, 20), left_ankle=(1e9, 20)), line_width=3)
    assert (drawn[20] == LEFT).all()
    assert not drawn[:10].any()


def test_views_and_other_strides_are_accepted():
    image = np.zeros((80, 80, 3), np.uint8)
    pose = person(left_knee=(10, 5), left_ankle=(10, 30))
    np.testing.assert_array_equal(draw_poses(image[::2, ::-2], pose), draw_poses(np.ascontiguousarray(image[::2, ::-2]), pose))


@pytest.mark.parametrize("image", [np.zeros((5, 5), np.uint8), np.zeros((5, 5, 3)), np.zeros((0, 5, 3), np.uint8), "name"])
def test_bad_pictures_are_refused(image):
    with pytest.raises(InputError, match="picture to draw on"):
        draw_poses(image, person())


@pytest.mark.parametrize("options", [{"line_width": 0}, {"line_width": np.nan}, {"opacity": 1.1}, {"opacity": np.nan}])
def test_bad_numbers_are_refused(options):
    with pytest.raises(InputError):
        draw_poses(np.zeros((9, 9, 3), np.uint8), person(), **options)


def test_grid_places_pictures_and_captions():
    red, blue = np.zeros((20, 10, 3), np.uint8), np.zeros((10, 30, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 255
    grid = picture_grid([[None, red], [blue, None]], (40, 40), gap=4)
    assert grid.shape == (4 + 2 * 44, 4 + 2 * 44, 3)
    assert (grid[4:44, 4:44] == 255).all()
    assert grid[24, 68].tolist() == [255, 0, 0]
    assert grid[68, 24].tolist() == [0, 0, 255]
    captioned = picture_grid([[red, blue]], (80, 80), columns=["one", "two"], rows=["row"])
    assert captioned.shape[0] > 92
    assert (captioned[:15] < 200).any()
    assert (captioned[:, :15] < 200).any()


def test_grid_refuses_what_does_not_match():
    cell = np.zeros((4, 4, 3), np.uint8)
    for cells, options in (([], {}), ([[]], {}), ([[cell], [cell, cell]], {}), ([[cell]], {"columns": ["a", "b"]})):
        with pytest.raises(InputError):
            picture_grid(cells, (8, 8), **options)


def test_fit_keeps_proportions():
    fitted = fit_picture(np.zeros((10, 30, 3), np.uint8), (60, 60))
    dark = (fitted == 0).all(-1)
    assert dark.any(1).sum() == 20
    assert dark.any(0).sum() == 60
    assert fit_picture(np.zeros((1, 5000, 3), np.uint8), (8, 8)).shape == (8, 8, 3)


def test_text_stays_inside_and_survives_other_alphabets():
    canvas = np.full((20, 30, 3), 255, np.uint8)
    for centre in ((15, 10), (-100, -100), (29, 19)):
        draw_text(canvas, "a much longer text than fits", centre, 8)
    draw_text(canvas, "日本", (15, 10), 8, upward=True)
    draw_text(canvas, "", (15, 10), 8)
    assert canvas.shape == (20, 30, 3)
