"""Boxes: properties that hold for any box."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posert import InputError, ops
from posert.geometry import check_boxes, fit_aspect, person_boxes, to_box

corner = st.floats(-500, 500, width=32)
side = st.floats(0.5, 500, width=32)
boxes = st.lists(st.tuples(corner, corner, side, side), max_size=5).map(
    lambda rows: np.array([(x, y, x + w, y + h) for x, y, w, h in rows], np.float32).reshape(-1, 4)
)


@given(boxes, st.floats(0.2, 5), st.floats(0.5, 3))
def test_fit_aspect(box, aspect, padding):
    fitted = fit_aspect(box, aspect, padding)
    assert fitted.dtype == np.float32
    assert fitted.shape == box.shape
    (w0, h0), (w1, h1) = ((b[:, 2:] - b[:, :2]).astype(np.float64).T for b in (box, fitted))
    tolerance = 1e-3 * padding * (1 + aspect + 1 / aspect)
    np.testing.assert_allclose(w1, h1 * aspect, atol=tolerance * 4)
    assert (w1 >= w0 * padding - tolerance).all()
    assert (h1 >= h0 * padding - tolerance).all()
    assert (np.isclose(w1, w0 * padding, atol=tolerance) | np.isclose(h1, h0 * padding, atol=tolerance)).all()
    np.testing.assert_allclose(fitted[:, :2] + fitted[:, 2:], box[:, :2] + box[:, 2:], atol=tolerance * 2)


def test_fit_aspect_leaves_a_box_that_fits():
    np.testing.assert_array_equal(fit_aspect([[0, 0, 64, 128]], 0.5), [[0, 0, 64, 128]])
    np.testing.assert_array_equal(fit_aspect([[0, 0, 128, 128]], 0.5), [[0, -64, 128, 192]])


@given(st.integers(1, 4), st.integers(1, 6), st.data())
def test_person_boxes_enclose_the_joints(people, joints, data):
    values = data.draw(st.lists(st.floats(-300, 300, width=32), min_size=people * joints * 2, max_size=people * joints * 2))
    present = data.draw(st.lists(st.booleans(), min_size=people * joints, max_size=people * joints))
    points = np.zeros((people, joints, 3), np.float32)
    points[..., :2] = np.reshape(values, (people, joints, 2))
    points[..., 2] = np.reshape(present, (people, joints))
    points[:, 0, 2] = 1
    box = person_boxes(points, 0.1)
    for person in range(people):
        here = points[person][points[person, :, 2] > 0, :2] + 0.5
        x0, y0, x1, y1 = box[person]
        assert (here > [x0, y0]).all()
        assert (here < [x1, y1]).all()
        assert x1 - x0 >= 3
        assert y1 - y0 >= 3


def test_person_boxes():
    points = np.array([[[9.5, 19.5, 1], [29.5, 119.5, 0.2], [np.nan, np.nan, 0]]])
    np.testing.assert_allclose(person_boxes(points), [[0, 10, 40, 130]])
    assert person_boxes(np.zeros((0, 18, 3))).shape == (0, 4)
    with pytest.raises(InputError, match=r"people \[1\] have no joints"):
        person_boxes(np.concatenate([points, np.zeros((1, 3, 3))]))
    with pytest.raises(InputError, match="margin"):
        person_boxes(points, 0)
    with pytest.raises(InputError, match=r"people \[0\]"):
        person_boxes(np.zeros((1, 0, 3)))


@given(boxes.filter(len), st.integers(1, 300), st.integers(1, 300))
def test_to_box_inverts_crop_resize(box, height, width):
    images = [np.zeros((4, 4, 3), np.uint8)]
    index = np.zeros(len(box), np.int64)
    _, transforms = ops.crop_resize(images, box, (height, width), 0, 1, image_index=index, backend="reference")
    network = np.array([[0, 0], [width - 1, height - 1], [width / 3, height / 7]])
    image = np.einsum("pij,kj->pki", transforms[:, :, :2], network) + transforms[:, None, :, 2]
    points = np.concatenate([image, np.ones((*image.shape[:2], 1))], axis=2).astype(np.float32)
    scale = np.array([width, height]) / (box[:, 2:] - box[:, :2]).min(0)
    moved = to_box(points, box, (height, width))[..., :2]
    np.testing.assert_allclose(moved, np.broadcast_to(network, image.shape), atol=2e-4 * scale.max() + 1e-3)


def test_to_box_keeps_what_is_missing_and_refuses_what_is_too_far():
    points = np.array([[[np.nan, np.nan, 0], [0, 0, 0.5]]], np.float32)
    moved = to_box(points, np.array([[0, 0, 10, 10]], np.float32), (20, 20))
    np.testing.assert_allclose(moved, [[[np.nan, np.nan, 0], [0.5, 0.5, 0.5]]])
    with pytest.raises(InputError, match="too far"):
        to_box(np.full((1, 1, 3), 3e38, np.float32), np.array([[0, 0, 1, 1]], np.float32), (20, 20))


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ([[0, 0, 1]], "shape"),
        ([0, 0, 1, 1], "shape"),
        ("boxes", "numbers"),
        ([[0, 0, 1, 1], [0, 0, 0, 1]], "box 1 .* no area"),
        ([[0, 5, 1, 1]], "no area"),
        ([[0, 0, np.nan, 1]], "finite"),
        ([[0, 0, np.inf, 1]], "finite"),
        ([[0, 0, 1e300, 1]], "finite"),
        ([[-1e8, 0, 1, 1]], "within"),
        ([[0, 0, 1, 1], [0, 0]], "numbers"),
    ],
)
def test_bad_boxes(value, match):
    with pytest.raises(InputError, match=match):
        check_boxes(value)


@pytest.mark.parametrize(("aspect", "padding"), [(0, 1), (-1, 1), (np.nan, 1), (1, 0), (1, np.inf)])
def test_bad_aspect(aspect, padding):
    with pytest.raises(InputError, match="aspect and padding"):
        fit_aspect([[0, 0, 1, 1]], aspect, padding)
