"""The models that come with posert: `NAME.posert` bundles in this folder, each with its card, `NAME.md`."""

from __future__ import annotations

import difflib
from importlib import resources
from pathlib import Path

from posert.errors import InputError

_SUFFIX = ".posert"


def names() -> tuple[str, ...]:
    """Names of the embedded models, sorted."""
    return tuple(sorted(path.name.removesuffix(_SUFFIX) for path in _folder().iterdir() if path.name.endswith(_SUFFIX)))


def path(name: str) -> Path:
    """The bundle of an embedded model.

    Raises:
        InputError: there is no such model; near matches are offered.
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known are {', '.join(known) or 'none'}"
        raise InputError(f"no model is called {name!r} and no file of that name is here; {hint}")
    return _folder() / f"{name}{_SUFFIX}"


def card(name: str) -> str:
    """The card of an embedded model, as Markdown.

    Raises:
        InputError: there is no such model, or it has no card.
    """
    file = path(name).with_suffix(".md")
    if not file.is_file():
        raise InputError(f"the model {name!r} has no card")
    return file.read_text(encoding="utf-8")


def _folder() -> Path:
    # posert holds a compiled module, so it is always installed as files, never inside an archive.
    return Path(str(resources.files(__name__)))
