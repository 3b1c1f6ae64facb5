"""Reading pictures for a command, which speaks to its user in one line: the decoders' own words on stderr are caught."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from posert.errors import InputError

if TYPE_CHECKING:
    from posert.types import Image

_WARNING = re.compile(r"^(?:Corrupt JPEG data: (?:(\d+) extraneous bytes.*|.*)|Premature end of JPEG.*)$", re.MULTILINE)
_PADDING = 256
"""Cameras leave a few bytes unused before a marker; many of them are a part of the picture that could not be decoded."""


def read_picture(path: str | Path, *, max_pixels: float) -> Image:
    """As `posert.media.images.read_image`, but silently, and a JPEG that libjpeg calls corrupt is refused.

    Damage is noticed only where libjpeg loses its way in the compressed data: a changed byte after which it finds it again
    goes unseen. Stderr is caught for the whole process, so this is for commands, not for libraries.

    Raises:
        InputError: as `read_image`, and for a corrupt JPEG.
    """
    from posert.media.images import read_image

    with _captured_stderr() as said:
        image = read_image(path, max_pixels=max_pixels)
    warning = _WARNING.search("".join(said))
    if warning is not None and int(warning[1] or _PADDING) >= _PADDING:
        raise InputError(f"{str(path)!r} is damaged ({warning[0]}); get another copy")
    return image


@contextlib.contextmanager
def _captured_stderr() -> Iterator[list[str]]:
    """What C and C++ code writes to stderr within the block; the list is filled when it ends."""
    said: list[str] = []
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
        saved = os.dup(2)
    except OSError:  # there is no stderr
        yield said
        return
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), 2)
            try:
                yield said
            finally:
                os.dup2(saved, 2)
            file.seek(0)
            said.append(file.read().decode("utf-8", "replace"))
    finally:
        os.close(saved)
