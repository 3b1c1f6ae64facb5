"""`posert.paste` and `posert.flicker`."""

from __future__ import annotations

import numpy as np
import pytest

from posert.flicker import Flicker
from posert.paste import Window
from posert.prefetch import prefetch

RNG = np.random.default_rng(3)


def photo(height=300, width=200):
    return RNG.integers(0, 255, (height, width, 3)).astype(np.uint8)


def test_what_the_mask_leaves_out_is_kept_to_the_byte():
    picture = photo()
    mask = np.zeros((128, 64), np.uint8)
    mask[40:90, 24:40] = 1
    result = Window(picture, (50, 50, 150, 250)).paste(np.full((128, 64, 3), 255, np.uint8), mask)
    assert (result[130:180, 95:105] == 255).all()
    changed = (result != picture).any(-1)
    assert not changed[:, :50].any()
    assert not changed[:, 150:].any()
    assert not changed[:60].any()


def test_an_empty_mask_changes_nothing():
    picture = photo()
    drawn = np.full((128, 64, 3), 255, np.uint8)
    np.testing.assert_array_equal(Window(picture, (-50, -50, 250, 550)).paste(drawn, np.zeros((128, 64), np.uint8)), picture)


def test_a_window_moves_and_may_leave_the_picture():
    picture, mask = photo(), np.zeros((128, 64), np.uint8)
    mask[40:90, 24:40] = 1
    window, white = Window(picture, (50, 50, 150, 250)), np.full((128, 64, 3), 255, np.uint8)
    at = np.argwhere((window.paste(white, mask) == 255).all(-1)).mean(0)
    moved = np.argwhere((window.paste(white, mask, (20, -10)) == 255).all(-1)).mean(0)
    np.testing.assert_allclose(moved - at, (-10, 20), atol=1)
    np.testing.assert_array_equal(window.paste(white, mask, (1000, 0)), picture)


def test_cut_and_paste_fit_together():
    y, x = np.mgrid[:300, :200]
    smooth = np.stack([x, y * 0.8, x + 0.2 * y], -1).astype(np.uint8)
    window = Window(smooth, (50, 50, 150, 250))
    mask = np.ones((128, 64), np.uint8)
    assert np.abs(window.paste(window.cut((128, 64)), mask).astype(int) - smooth).max() <= 3


def test_erase_fills_with_the_surroundings():
    picture = np.full((300, 200, 3), 90, np.uint8)
    picture[120:180, 90:110] = 255
    window = Window(picture, (50, 50, 150, 250))
    mask = np.zeros((128, 64), np.uint8)
    mask[43:85, 24:40] = 1
    window.erase(mask)
    assert np.abs(window.background.astype(int) - 90).max() <= 8
    assert (window.cut((128, 64)) > 200).any(), "the network still sees the person"


def test_erase_fills_with_what_is_given():
    picture, filling = np.full((300, 200, 3), 90, np.uint8), np.full((128, 64, 3), 200, np.uint8)
    mask = np.zeros((128, 64), np.uint8)
    mask[43:85, 24:40] = 1
    window = Window(picture, (50, 50, 150, 250))
    window.erase(mask, filling)
    assert (window.background[130:170, 90:110] == 200).all()
    outside = np.ones(picture.shape[:2], bool)
    outside[70:230, 60:140] = False
    assert (window.background[outside] == 90).all()


def test_flicker_of_a_still_video_is_nothing_and_noise_is_its_size():
    pose = np.array([(32, 60, 1), (40, 80, 1)], np.float32)
    still, noisy = Flicker(), Flicker()
    picture = RNG.integers(0, 200, (128, 64, 3)).astype(np.uint8)
    assert still.add(picture, pose) is None
    noisy.add(picture, pose)
    for step in (10, 0, 10):
        assert still.add(picture, pose) == 0
        assert noisy.add(picture + np.uint8(step), pose) == pytest.approx(10)
    assert still.mean == 0
    assert noisy.mean == pytest.approx(10)


def test_flicker_discounts_what_moves_with_the_pose():
    y, x = np.mgrid[:128, :64].astype(np.float64)

    def blob(at):
        return np.repeat((200 * np.exp(-((x - at) ** 2 + (y - 64) ** 2) / 40))[..., None], 3, 2).astype(np.uint8)

    with_pose, without = Flicker(), Flicker()
    for at in (30, 33):
        with_pose.add(blob(at), np.array([(at, 64, 1)], np.float32))
        without.add(blob(at), np.array([(30, 64, 1)], np.float32))
    assert with_pose.mean < 0.5 * without.mean


def test_flicker_survives_missing_joints():
    flicker = Flicker()
    picture = np.zeros((256, 256, 3), np.uint8)
    for _ in range(2):
        flicker.add(picture, np.full((18, 3), (np.nan, np.nan, 0), np.float32))
    assert flicker.mean == 0


def test_prefetch_keeps_order_bounds_memory_and_passes_errors_on():
    made = []

    def numbers():
        for number in range(100):
            made.append(number)
            if number == 50:
                raise ValueError("fifty")
            yield number

    items = prefetch(numbers(), 3)
    assert next(items) == 0
    assert len(made) <= 6
    rest = []
    with pytest.raises(ValueError, match="fifty"):
        rest.extend(items)
    assert made == list(range(51))


def test_prefetch_ends_its_thread_when_it_is_closed():
    import threading

    before = threading.active_count()
    items = prefetch(iter(range(10**9)), 2)
    next(items)
    items.close()
    assert threading.active_count() == before
