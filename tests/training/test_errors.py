"""How the commands end where something cannot be used, and weights that cannot be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")
safetensors = pytest.importorskip("safetensors.torch", reason="training needs safetensors; pip install posert[train]")

from posert.errors import InputError  # noqa: E402
from training import average  # noqa: E402
from training.errors import plain_errors  # noqa: E402
from training.weights import fill_fitting, read_weights, save  # noqa: E402


def test_an_error_is_one_line_and_status_2(monkeypatch, capsys, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["average", str(tmp_path / "none.safetensors"), "--out", str(tmp_path / "mean.safetensors")])
    with pytest.raises(SystemExit) as left:
        average.main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    assert "none.safetensors" in said


def test_a_command_that_failed_gives_its_status(capsys) -> None:
    with pytest.raises(SystemExit) as left, plain_errors():
        subprocess.run([sys.executable, "-c", "raise SystemExit(7)"], check=True)
    assert left.value.code == 7
    assert capsys.readouterr().err == ""


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), plain_errors():
        print(1 // 0)


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\xff" * 64], ids=["empty", "text", "a huge header"])
def test_damaged_weights_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(content)
    for use in (read_weights, lambda path: fill_fitting(torch.nn.Linear(2, 2), path)):
        with pytest.raises(InputError, match="cannot be read as weights"):
            use(path)


def test_weights_go_and_come_in_half_precision(tmp_path: Path) -> None:
    state = {"w": torch.rand(3, 2), "steps": torch.tensor(5)}
    saved = save(tmp_path, "cpm", state, config={"stages": 3})
    found = read_weights(tmp_path / "weights.safetensors")
    assert {name: value.dtype for name, value in found.items()} == {"w": torch.float32, "steps": torch.int64}
    for name, value in saved.items():
        assert torch.equal(found[name], value)
    assert torch.allclose(found["w"], state["w"], atol=1e-3)
    assert list(tmp_path.iterdir()) == [tmp_path / "weights.safetensors"]
    with pytest.raises(InputError, match="no weights that fit"):
        fill_fitting(torch.nn.Linear(2, 2), tmp_path / "weights.safetensors")
