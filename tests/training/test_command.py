"""What the command lines of the trainings share."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")
pytest.importorskip("scipy", reason="training needs SciPy; pip install posert[train]")

from posert.errors import InputError
from training import ablation
from training.command import change_setting, open_device


def test_settings_are_changed() -> None:
    settings: dict[str, Any] = {"steps": 3, "model": {"width": 8}}
    for text in ("steps=500", "model.width = 32", "model.message_passing=false", "discriminators=['pose']"):
        change_setting(settings, text)
    assert settings == {"steps": 500, "model": {"width": 32, "message_passing": False}, "discriminators": ["pose"]}
    for text in ("steps", "steps=", "steps=a b", "steps.more=1", "nowhere.width=1", "=4"):
        with pytest.raises(InputError, match="NAME=VALUE"):
            change_setting(settings, text)


def test_devices() -> None:
    assert open_device("cpu").type == "cpu"
    assert open_device(None).type in ("cpu", "cuda")
    for name in ("cuda:99", "gpu"):
        with pytest.raises(InputError, match="cannot be used here"):
            open_device(name)


def test_every_idea_is_a_setting_of_its_configuration() -> None:
    """With the idea is how the models of the zoo are trained; without it the configuration differs in that alone."""
    for training, with_it, without in ablation.IDEAS.values():
        path = Path(__file__).parents[2] / "training" / "configs" / f"{training}-s.toml"
        settings, changed = tomllib.loads(path.read_text()), tomllib.loads(path.read_text())
        settings.setdefault("intermediate_supervision", True)
        change_setting(changed, with_it)
        changed.setdefault("intermediate_supervision", True)
        assert changed == settings
        change_setting(changed, without)
        assert changed != settings
