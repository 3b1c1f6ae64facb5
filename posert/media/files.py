"""Files, and folders of them, that appear whole or not at all, and the check that they will be able to appear."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from posert.errors import InputError
from posert.paths import path_kind


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
        kind = path_kind(path)
        if kind is None:
            raise InputError(f"there is no file {str(path)!r}")
        if kind != "file":
            raise InputError(f"{str(path)!r} is {'a folder' if kind == 'folder' else 'not a regular file'}; a file is needed")
        if max_bytes is not None and path.stat().st_size > max_bytes:
            raise InputError(f"{str(path)!r} has {path.stat().st_size:,} bytes; at most {max_bytes:,} are read")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error


def check_writable(path: str | Path) -> None:
    """Refuse, before any work is done, a file that could not be written.

    A file is created beside the wanted one and removed again: permissions alone do not tell the truth on every file system.

    Raises:
        InputError: the folder does not exist or does not accept files, or `path` is something else than a regular file.
    """
    target = _real(path)
    kind = path_kind(target)
    if kind not in (None, "file"):
        found = "a folder" if kind == "folder" else "not a regular file"
        raise InputError(f"cannot write {str(path)!r}: it is {found}; name a file")
    if path_kind(target.parent) != "folder":
        raise InputError(f"cannot write {str(path)!r}: there is no folder {str(target.parent)!r}; create it first")
    _probe(target.parent, path)


def check_folder_writable(folder: str | Path) -> None:
    """Refuse, before any work is done, an output folder that could neither be created nor written to. Nothing is created.

    Raises:
        InputError: `folder`, or the nearest folder above it that exists, does not accept files.
    """
    existing = _nearest(folder)
    if path_kind(existing) != "folder":
        raise InputError(f"cannot write to the folder {str(folder)!r}: {str(existing)!r} is not a folder")
    _probe(existing, folder)


@contextlib.contextmanager
def staged_folder(folder: str | Path) -> Iterator[Path]:
    """A temporary folder for files that are to appear in `folder` all together, when the block ends, or not at all.

    It lies where `folder` will be, so that nothing is copied: inside of it if it exists, else in the nearest folder above it.
    Files that `folder` holds already are kept, or replaced by those of the same name.

    Raises:
        InputError: it cannot be created, or its files cannot be moved; nothing is left behind then.
    """
    target, existing = _real(folder), _nearest(folder)
    temporary = _temporary(existing)
    try:
        try:
            temporary.mkdir()
        except OSError as error:
            raise InputError(f"cannot write to the folder {str(folder)!r}: {error.strerror or error}") from error
        yield temporary
        try:
            _move(temporary, target)
        except OSError as error:
            raise InputError(f"cannot write to the folder {str(folder)!r}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # renamed, or not wanted any more


@contextlib.contextmanager
def staged_file(path: str | Path) -> Iterator[Path]:
    """The name of a temporary file that becomes `path` when the block ends, or vanishes if the block raises.

    Raises:
        InputError: it cannot be renamed; nothing is left behind then.
    """
    target = _real(path)
    temporary = _temporary(target.parent)
    try:
        yield temporary
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise InputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # renamed, or never created
            temporary.unlink()


def _move(temporary: Path, folder: Path) -> None:
    """Turn a temporary folder into `folder`, or move its files there."""
    if path_kind(folder) is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.rename(folder)
        return
    moves = [(file, _real(folder / file.name)) for file in sorted(temporary.iterdir())]
    for _, place in moves:  # all of them, before the first is moved
        if path_kind(place) not in (None, "file"):
            raise InputError(f"cannot write {str(folder / place.name)!r}: it is not a regular file")
    for file, place in moves:
        os.replace(file, place)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file through a temporary file in the same folder and a rename: readers see the old file or the new one.

    Raises:
        InputError: the file cannot be written; nothing is left behind then.
    """
    target = _real(path)
    if path_kind(target) not in (None, "file"):  # a rename would replace a device node such as /dev/null
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


def _nearest(folder: str | Path) -> Path:
    """What a name stands for if it exists, else the nearest above it that does."""
    existing = _real(folder)
    while path_kind(existing) is None and existing != existing.parent:
        existing = existing.parent
    return existing


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
