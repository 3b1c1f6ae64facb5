"""What the README shows works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
TRANSFER = (ROOT / "docs" / "transfer.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", blocks("python") + blocks("python", TRANSFER))
def test_python_blocks_run(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(code, "README.md", "exec"), {})


def test_there_are_two_commands_and_ten_lines() -> None:
    commands = blocks("sh")
    assert len(commands) == 2
    assert commands[0].strip().endswith("posert demo")
    assert commands[1].strip().endswith("pytest")
    assert len(blocks("python")) == 1


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in README


def test_links_and_named_files_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r"\b(?:docs|export|posert|training)/[\w./-]*\w\b", README)
    assert len(targets) > 5
    for target in targets:
        assert (ROOT / target).exists(), target
