"""Packages that only some features need, imported when they are used."""

from __future__ import annotations

import importlib
from typing import Any

from posert.errors import MissingDependency

# Module -> package that brings it, and the extra of posert that brings the package; None where more than one does.
_PACKAGES = {
    "scipy": ("scipy", "eval"),
    "matplotlib": ("matplotlib", "eval"),
    "faster_coco_eval": ("faster-coco-eval", "eval"),
    "av": ("PyAV", "video"),
    "filelock": ("filelock", None),
}


def require(module: str, purpose: str) -> Any:
    """Import a module of an optional package.

    Args:
        module: such as ``"scipy.io"``.
        purpose: what it is needed for; begins the message of the error.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package, extra = _PACKAGES[module.split(".")[0]]
        command = f'pip install "posert[{extra}]"' if extra else f"pip install {package}"
        raise MissingDependency(f"{purpose} needs {package}: {command}") from error
