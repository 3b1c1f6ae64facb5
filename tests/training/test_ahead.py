"""Batches that are made ahead of time are those that a sampler gives by itself."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")

import numpy as np

from training.ahead import Ahead


class Numbers:
    """A sampler of random numbers."""

    size = (4, 3)

    def batch(self, number: int, count: int) -> np.ndarray:
        if number == 9:
            raise ValueError("a damaged picture")
        return np.random.default_rng(number).random((count, 2))


def test_batches_are_the_same_in_any_order() -> None:
    ahead, plain = Ahead(Numbers(), 1), Numbers()
    assert ahead.size == plain.size
    for number, count in ((0, 3), (1, 3), (2, 3), (5, 3), (6, 3), (6, 3), (7, 1), (0, 3)):
        np.testing.assert_array_equal(ahead.batch(number, count), plain.batch(number, count))


def test_failures_reach_the_training() -> None:
    ahead = Ahead(Numbers(), 1)
    ahead.batch(8, 2)
    with pytest.raises(ValueError, match="damaged picture"):
        ahead.batch(9, 2)
