"""Rendered people come with labels that agree with their pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="rendering people needs numba; pip install posert[train]")

from posert.errors import MissingDependency
from training.data.rendered import RenderedPeople


def test_a_missing_renderer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "synthpeople", None)
    with pytest.raises(MissingDependency, match="synthpeople"):
        RenderedPeople(tmp_path)


def test_what_is_hidden_and_what_is_absent(data_root: Path) -> None:
    synth = data_root.parent / "synth"
    if not synth.is_dir():
        pytest.skip(f"needs the renderer in {synth}")
    source = RenderedPeople(synth, size=(128, 96))
    people = [source.draw(np.random.default_rng(number)) for number in range(12)]
    for person in people:
        assert person.image.shape == (128, 96, 3)
        there = person.keypoints[:, 2] > 0
        assert (person.known[there]).all()
        assert np.isnan(person.keypoints[~there, :2]).all()
        assert not person.occluded[~there].any()
        inside = person.keypoints[there]
        assert (inside[:, :2] >= -0.5).all()
        assert (inside[:, :2] <= (95.5, 127.5)).all()
    absent = sum((person.known & (person.keypoints[:, 2] == 0))[14:].sum() for person in people)
    assert absent > 0, "some faces are turned away"
    assert sum(person.occluded.sum() for person in people) > 0
