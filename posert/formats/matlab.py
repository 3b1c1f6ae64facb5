"""MATLAB files."""

from __future__ import annotations

from pathlib import Path

from posert.errors import InputError
from posert.extras import require


def read_mat(path: Path, **options: object) -> dict[str, object]:
    """The variables of a MATLAB file, by name.

    Raises:
        InputError: it is no MATLAB file, or of version 7.3, which SciPy does not read.
        MissingDependency: SciPy is not installed.
    """
    io = require("scipy.io", "reading .mat files")
    try:
        variables: dict[str, object] = io.loadmat(str(path), **options)
    except Exception as error:  # damage surfaces as errors of many kinds
        raise InputError(f"{str(path)!r} cannot be read as a MATLAB file (version 4 to 7.2): {error}") from error
    return variables
