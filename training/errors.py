"""How the commands of this folder end where something that was named cannot be used: one line instead of a traceback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from posert.errors import PosertError


@contextmanager
def plain_errors() -> Iterator[None]:
    """Print a `PosertError` as one line and leave with status 2, or with that of a command that failed; decorates a ``main``."""
    try:
        yield
    except PosertError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except subprocess.CalledProcessError as error:  # which has said why
        raise SystemExit(error.returncode) from error
