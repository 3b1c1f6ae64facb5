"""The mean of several runs' weights."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")
safetensors = pytest.importorskip("safetensors.torch", reason="training needs safetensors; pip install posert[train]")

from posert.errors import InputError  # noqa: E402
from training.average import average  # noqa: E402


def test_average(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 2.0), ("c", 6.0)):
        safetensors.save_file({"w": torch.full((2, 3), value).half()}, tmp_path / f"{name}.safetensors", {"model": "cpm"})
    files = [tmp_path / f"{name}.safetensors" for name in "abc"]
    average(files, tmp_path / "mean.safetensors")
    (mean,) = safetensors.load_file(tmp_path / "mean.safetensors").values()
    assert mean.dtype == torch.float16
    assert (mean == 3).all()
    for state, about in (({"w": torch.zeros(2, 2)}, {"model": "cpm"}), ({"w": torch.zeros(2, 3)}, {"model": "paf"})):
        safetensors.save_file(state, tmp_path / "other.safetensors", about)
        with pytest.raises(InputError, match="another network"):
            average([files[0], tmp_path / "other.safetensors"], tmp_path / "never.safetensors")
    assert not (tmp_path / "never.safetensors").exists()
