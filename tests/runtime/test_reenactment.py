"""`posert.reenactment` on a network that paints the pose's discs white over the source."""

from __future__ import annotations

import numpy as np
import pytest

import posert
from posert.errors import InputError
from posert.reenactment import Reenactment
from posert.types import Poses

BODY = np.array(
    [(0, -75), (0, -60), (-20, -60), (-24, -35), (-26, -10), (20, -60), (24, -35), (26, -10), (-12, 0), (-12, 45), (-12, 90)]
    + [(12, 0), (12, 45), (12, 90), (-4, -79), (4, -79), (-9, -77), (9, -77)],
    np.float64,
)


def poses(*hips, scale=1.0):
    """Somebody in coco18 with the middle of the hips at each of these places."""
    people = np.stack([np.c_[scale * BODY + hip, np.ones(18)] for hip in hips])
    return Poses(people.astype(np.float32))


def white(image):
    return np.argwhere((image > 200).all(-1))[:, ::-1].mean(0)


@pytest.fixture
def transfer(tiny_transfer_bundle):
    with posert.Transfer(tiny_transfer_bundle) as opened:
        yield opened


PHOTO = np.full((400, 500, 3), 60, np.uint8)
SOURCE = poses((250, 200))


def test_the_person_is_where_the_driver_leads_them(transfer):
    ways = [(-60, 0), (0, 0), (60, 0)]
    driver = poses(*[(1000 + 2 * x, 700 + 2 * y) for x, y in ways], scale=2.0)
    drawn = Reenactment(transfer, PHOTO, SOURCE, driver).draw(driver)
    middle = white(drawn.images[1])
    np.testing.assert_allclose(middle, SOURCE.keypoints[0, :, :2].mean(0), atol=10)
    for image, way in zip(drawn.images, ways, strict=True):
        assert image.shape == PHOTO.shape
        np.testing.assert_allclose(white(image), middle + way, atol=3)
        assert (image[:40] == 60).all()
    assert np.ptp(drawn.targets[:, 1, 0]) < 1, "the network always sees the person where the source stands"


def test_nobody_leaves_the_picture(transfer):
    driver = poses((-3000, 200), (250, 200), (4000, 200))
    drawn = Reenactment(transfer, PHOTO, SOURCE, driver).draw(driver)
    for image in drawn.images:
        x, _ = white(image)
        assert 10 < x < 490
        assert (image > 200).all(-1).sum() > 400


def test_poses_that_reach_beyond_the_window_are_moved_inward(transfer):
    driver = poses((250, 200), (250, 150))
    for paste in (False, True):
        reenactment = Reenactment(transfer, PHOTO, SOURCE, poses((250, 200)), paste=paste)
        points = reenactment.draw(driver).targets[..., :2]
        assert points.min() >= 0
        assert points[..., 0].max() <= 63
        assert points[..., 1].max() <= 127


def test_without_paste_the_result_is_what_the_network_drew(transfer):
    drawn = Reenactment(transfer, PHOTO, SOURCE, SOURCE, paste=False).draw(SOURCE)
    assert drawn.images[0].shape == (128, 64, 3)
    np.testing.assert_array_equal(drawn.images[0], drawn.pictures[0])
    crop = np.full((128, 64, 3), 60, np.uint8)
    small = Reenactment(transfer, crop, poses((32, 60), scale=0.5), SOURCE)
    assert small.size == (128, 64), "a source in the network's proportions is taken whole"
    assert small.draw(SOURCE).images[0].shape == (128, 64, 3)


def test_prepare_is_called_once(transfer, monkeypatch):
    calls, prepare = [], transfer.prepare
    monkeypatch.setattr(transfer, "prepare", lambda *given, **named: calls.append(1) or prepare(*given, **named))
    reenactment = Reenactment(transfer, PHOTO, SOURCE, SOURCE)
    for _ in range(3):
        reenactment.draw(SOURCE)
    assert len(calls) == 1


def test_other_skeletons_are_converted(transfer):
    drawn = Reenactment(transfer, PHOTO, SOURCE.convert("coco17"), SOURCE.convert("cpm14")).draw(SOURCE.convert("cpm14"))
    assert drawn.targets.shape == (1, 18, 3)


def test_nobody(transfer):
    nobody = Poses(np.full((1, 18, 3), (np.nan, np.nan, 0), np.float32))
    for source, driver in ((nobody, SOURCE), (SOURCE, nobody), (SOURCE[:0], SOURCE)):
        with pytest.raises(InputError, match="one source pose with joints"):
            Reenactment(transfer, PHOTO, source, driver)
