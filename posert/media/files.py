"""Files that appear whole or not at all, and the check that they will be able to appear."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from posert.errors import InputError


def read_bytes(path: str | Path, *, max_bytes: int | None = None) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        max_bytes: refuse a larger file without reading it.

    Raises:
        InputError: there is no such file, it is not a regular file, it is too large, or it cannot be read.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise InputError(f"there is no file {str(path)!r}")
        if not path.is_file():
            raise InputError(f"{str(path)!r} is {'a folder' if path.is_dir() else 'not a regular file'}; a file is needed")
        if max_bytes is not None and path.stat().st_size > max_bytes:
            raise InputError(f"{str(path)!r} has {path.stat().st_size:,} bytes; at most {max_bytes:,} are read")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def check_writable(path: str | Path) -> None:
    """Refuse, before any work is done, a file that could not be written.

    A file is created beside the wanted one and removed again: permissions alone do not tell the truth on every file system.

    Raises:
        InputError: the folder does not exist or does not accept files, or `path` is something else than a regular file.
    """
    target = _real(path)
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "not a regular file"
        raise InputError(f"cannot write {str(path)!r}: it is {kind}; name a file")
    if not target.parent.is_dir():
        raise InputError(f"cannot write {str(path)!r}: there is no folder {str(target.parent)!r}; create it first")
    _probe(target.parent, path)


def check_folder_writable(folder: str | Path) -> None:
    """Refuse, before any work is done, an output folder that could neither be created nor written to. Nothing is created.

    Raises:
        InputError: `folder`, or the nearest folder above it that exists, does not accept files.
    """
    existing = _real(folder)
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"cannot write to the folder {str(folder)!r}: {str(existing)!r} is not a folder")
    _probe(existing, folder)


def make_folder(folder: str | Path) -> Path:
    """Create a folder, and those above it, unless it is there.

    Raises:
        InputError: it cannot be created.
    """
    try:
        _real(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot create the folder {str(folder)!r}: {error.strerror or error}") from error
    return Path(folder)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file through a temporary file in the same folder and a rename: readers see the old file or the new one.

    Raises:
        InputError: the file cannot be written; nothing is left behind then.
    """
    target = _real(path)
    if target.exists() and not target.is_file():  # a rename would replace a device node such as /dev/null
        raise InputError(f"cannot write {str(path)!r}: it is not a regular file")
    temporary = _temporary(target.parent)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # renamed, or never created
            temporary.unlink()


def _real(path: str | Path) -> Path:
    """The file that a name stands for: a link is followed, so that writing changes what it points at."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is not the name of a file: {error}") from error


def _temporary(folder: Path) -> Path:
    return folder / f".posert-{secrets.token_hex(8)}.tmp"


def _probe(folder: Path, wanted: str | Path) -> None:
    probe = _temporary(folder)
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        reason = f"the folder {str(folder)!r} does not accept files ({error.strerror})"
        raise InputError(f"cannot write {str(wanted)!r}: {reason}") from error
