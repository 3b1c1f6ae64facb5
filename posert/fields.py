"""Checks of single JSON values: each returns the value, or raises `BundleError` naming the field and what was found in it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from posert.errors import BundleError

_TEXT_LIMIT = 10_000


def refuse(where: str, wanted: str, found: Any) -> NoReturn:
    """Raise the error of a field that holds something else than what is wanted.

    Raises:
        BundleError: always.
    """
    shown = repr(found) if isinstance(found, (str, int, float, bool, type(None))) else repr(found)[:120]
    raise BundleError(f"manifest field {where} must be {wanted}; found {shown[:160]}")


def check_object(value: Any, where: str, required: Sequence[str] | None = None, optional: Sequence[str] = ()) -> dict[str, Any]:
    """A JSON object; with `required`, one with exactly those keys and any of the `optional` ones.

    Raises:
        BundleError: it is something else, or a key is missing or unknown.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        refuse(where, "an object", value)
    if required is not None:
        missing = [key for key in required if key not in value]
        unknown = sorted(value.keys() - {*required, *optional})
        if missing:
            raise BundleError(f"manifest field {where} lacks {missing}")
        if unknown:
            raise BundleError(f"manifest field {where} has keys this posert does not know: {unknown[:8]!s:.200}; update posert")
    return dict(value)


def check_list(value: Any, where: str, least: int, most: int) -> list[Any]:
    """A JSON array of `least` to `most` entries.

    Raises:
        BundleError: it is something else.
    """
    if not isinstance(value, (list, tuple)) or not least <= len(value) <= most:
        count = f"{least}" if least == most else f"{least} to {most}"
        refuse(where, f"an array of {count} entries", value)
    return list(value)


def check_text(
    value: Any, where: str, *, pattern: str | None = None, choices: Sequence[str] | None = None, wanted: str | None = None
) -> str:
    """A string that matches all of a pattern, or is one of some choices.

    Raises:
        BundleError: it is something else.
    """
    if not isinstance(value, str) or len(value) > _TEXT_LIMIT:
        refuse(where, wanted or f"a string of at most {_TEXT_LIMIT} characters", value)
    if choices is not None and value not in choices:
        refuse(where, f"one of {list(choices)}", value)
    if pattern is not None and not re.fullmatch(pattern, value, re.ASCII):
        refuse(where, wanted or f"a name that matches {pattern}", value)
    return value


def check_number(value: Any, where: str, low: float = -1e9, high: float = 1e9) -> float:
    """A finite number within bounds.

    Raises:
        BundleError: it is something else.
    """
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high or not math.isfinite(value):
        refuse(where, f"a number from {low:g} to {high:g}", value)
    return float(value)


def check_count(value: Any, where: str, low: int, high: int) -> int:
    """A whole number within bounds.

    Raises:
        BundleError: it is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        refuse(where, f"a whole number from {low} to {high}", value)
    return value
