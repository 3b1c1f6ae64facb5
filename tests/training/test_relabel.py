"""Where three witnesses leave a joint."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rich", reason="training needs rich; pip install posert[train]")
pytest.importorskip("scipy", reason="training needs SciPy; pip install posert[train]")

from training.relabel import settle

HERE, NEAR, AWAY, FAR = (10.0, 10.0), (13.0, 10.0), (40.0, 10.0), (80.0, 80.0)


@pytest.mark.parametrize(
    ("crowd", "network", "model", "expected"),
    [
        ((*HERE, 1), (*NEAR, 0.9), (*HERE, 0.9), (11, 10)),  # all agree
        ((*HERE, 1), (*AWAY, 0.9), (*NEAR, 0.9), (11.5, 10)),  # crowd and model
        ((*AWAY, 1), (*HERE, 0.9), (*NEAR, 0.9), (11.5, 10)),  # network and model
        ((*HERE, 1), (*NEAR, 0.9), (*AWAY, 0.99), (11.5, 10)),  # crowd and network
        ((*HERE, 1), (*AWAY, 0.9), (*FAR, 0.99), FAR),  # nobody: the sure model
        ((*HERE, 1), (*AWAY, 0.9), (*FAR, 0.4), HERE),  # nobody: the crowd where the model is unsure
        ((*HERE, 1), (*AWAY, 0.9), (*FAR, 0.7), None),  # nobody, in between
        ((*HERE, 1), (*AWAY, 0.2), (*AWAY, 0.7), None),  # the network is not heard
        ((np.nan, np.nan, 0), (*AWAY, 0.2), (*FAR, 0.4), None),  # nothing but doubt
        ((np.nan, np.nan, 0), (np.nan, np.nan, 0), (*FAR, 0.9), FAR),
    ],
)
def test_settling(crowd, network, model, expected):
    claims = np.array([crowd, network, model], np.float32)[:, None, None]
    settled = settle(claims, np.array([100.0]))
    assert settled.shape == (1, 1, 3)
    assert settled.dtype == np.float32
    if expected is None:
        np.testing.assert_array_equal(settled[0, 0], (np.nan, np.nan, 0))
    else:
        np.testing.assert_allclose(settled[0, 0], (*expected, 1))


def test_agreement_goes_by_the_size_of_the_person():
    claims = np.array([(*HERE, 1), (np.nan, np.nan, 0), (*NEAR, 0.7)], np.float32)[:, None, None]
    assert settle(claims, np.array([100.0]))[0, 0, 2] == 1
    assert settle(claims, np.array([40.0]))[0, 0, 2] == 0
