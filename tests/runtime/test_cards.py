"""The cards of the embedded models say what their bundles hold."""

from __future__ import annotations

import re

import pytest

from posert import zoo


@pytest.mark.parametrize("name", zoo.names())
def test_cards_tell_the_size_of_the_bundle(name: str) -> None:
    card = zoo.card(name)
    assert card.startswith(f"# {name}\n")
    stated = re.search(r"\| size \| ([\d,]+) parameters, ([\d.]+) MB \|", card)
    assert stated, "no row of the table gives the number of parameters and the megabytes"
    assert float(stated[2]) == round(zoo.path(name).stat().st_size / 1e6, 1)


@pytest.mark.parametrize("name", zoo.names())
def test_cards_have_no_places_left_to_fill(name: str) -> None:
    assert not re.search(r"@@|\{\{|\bTODO\b|\bX\.X", zoo.card(name))
