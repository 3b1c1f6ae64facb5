"""What a path leads to, asked so that every answer of the file system is either understood or an `InputError`."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

from posert.errors import InputError

Kind = Literal["file", "folder", "other"]


def path_kind(path: str | Path) -> Kind | None:
    """What lies at a path: ``"file"``, ``"folder"``, ``"other"`` (a device, a pipe), or None for nothing; links are followed.

    `pathlib.Path.exists` and its like raise `OSError` for some answers, and which ones depends on the version of Python.

    Raises:
        InputError: the name is too long or holds a NUL character, or a folder on the way may not be entered.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} cannot be used: {getattr(error, 'strerror', None) or error}") from error
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"
