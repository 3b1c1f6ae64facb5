"""`posert.track` on a network that finds a bright block."""

from __future__ import annotations

import numpy as np
import pytest

import posert
from posert.errors import InputError
from posert.track import Tracker


def frame(x, y, bright=255):
    image = np.zeros((256, 192, 3), np.uint8)
    image[y - 4 : y + 4, x - 4 : x + 4] = bright
    return image


def middle(person):
    return person[person[:, 2] > 0, :2].mean(0)


def test_it_follows_and_looks_again_where_somebody_was_lost(tiny_estimator_bundle):
    with posert.Estimator(tiny_estimator_bundle) as estimator:
        tracker = Tracker(estimator)
        way = [(80 + 4 * t, 120) for t in range(6)]
        for x, y in way:
            np.testing.assert_allclose(middle(tracker.update(frame(x, y))), (x - 4.5, y - 0.5), atol=12)
        assert tracker.lost == 0
        nobody = tracker.update(np.zeros((256, 192, 3), np.uint8))
        assert nobody.shape == (14, 3)
        assert np.isnan(nobody[:, :2]).all()
        assert tracker.lost == 1
        np.testing.assert_allclose(middle(tracker.update(frame(60, 90))), (56, 90), atol=16)


def test_following_looks_only_into_the_box(tiny_estimator_bundle, monkeypatch):
    with posert.Estimator(tiny_estimator_bundle) as estimator:
        tracker = Tracker(estimator)
        tracker.update(frame(96, 128))
        searched = []
        monkeypatch.setattr("posert.track.find_people", lambda *given: searched.append(given))
        tracker.update(frame(98, 128))
        assert not searched


def test_a_detector_must_find_everybody(tiny_estimator_bundle, tiny_crowd_bundle):
    with posert.Estimator(tiny_estimator_bundle) as estimator, posert.Estimator(tiny_crowd_bundle) as crowd:
        with pytest.raises(InputError, match="detects nobody"):
            Tracker(estimator, estimator)
        assert Tracker(estimator, crowd).update(frame(96, 128)).shape == (14, 3)
        everybody = Tracker(crowd)
        assert everybody.update(np.zeros((256, 192, 3), np.uint8)).shape == (18, 3)
        assert everybody.lost == 1
