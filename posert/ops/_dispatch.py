"""Which implementation of an operation runs, and why."""

from __future__ import annotations

import difflib
import functools
import importlib
from types import ModuleType

from posert.errors import InputError, MissingDependency

BACKENDS = ("native", "reference")

# Operation -> folder under posert/ops that holds its implementations.
OPERATIONS = {
    "crop_resize": "crop_resize",
    "to_uint8": "to_uint8",
    "rasterize_discs": "rasterize_discs",
    "rasterize_gaussians": "rasterize_gaussians",
    "pose_mask": "pose_mask",
    "dilate": "morphology",
    "erode": "morphology",
    "opening": "morphology",
    "closing": "morphology",
    "decode_heatmaps": "decode_heatmaps",
}


@functools.cache
def native_module() -> ModuleType | str:
    """The compiled kernels, or the reason why they cannot be loaded."""
    try:
        return importlib.import_module("posert._native")
    except ImportError as error:
        return (
            f"the compiled module posert._native cannot be imported ({error}); reinstall posert with "
            "pip install --force-reinstall posert, or inside its source folder with pip install -e ."
        )


def implementation(name: str, backend: str | None) -> ModuleType:
    """The module that holds operation `name` for a backend; None takes the first backend that can run.

    Raises:
        InputError: no such backend.
        MissingDependency: the backend was asked for by name and cannot run here.
    """
    if backend is not None and (not isinstance(backend, str) or backend not in BACKENDS):
        raise InputError(
            f"unknown backend {backend!r} for posert.ops.{name}; use one of {', '.join(BACKENDS)}, or None for the fastest"
        )
    return find_implementation(name, backend)


@functools.cache
def find_implementation(name: str, backend: str | None) -> ModuleType:
    """`implementation` for a backend of `BACKENDS`, remembered."""
    native = native_module()
    if backend == "native" and isinstance(native, str):
        raise MissingDependency(f"posert.ops.{name} with backend='native': {native}")
    if backend is None:
        backend = "reference" if isinstance(native, str) else "native"
    return importlib.import_module(f"posert.ops.{OPERATIONS[name]}.{backend}")


def explain(name: str) -> str:
    """Say which implementation of an operation runs by default on this machine, and why.

    Args:
        name: an operation of `posert.ops`, such as ``"crop_resize"``.

    Returns:
        One line for each backend, in the order in which they are tried.

    Raises:
        InputError: no such operation (near matches are named).
    """
    if not isinstance(name, str) or name not in OPERATIONS:
        near = difflib.get_close_matches(str(name), OPERATIONS, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(OPERATIONS)}"
        raise InputError(f"unknown operation {name!r}{hint}")
    native = native_module()
    if isinstance(native, str):
        return f"{name}: reference\n  native: passed over: {native}\n  reference: chosen: NumPy in float64, correct but slow"
    threads = native.get_num_threads()
    return (
        f"{name}: native\n"
        f"  native: chosen: C++ for {native.instruction_set()}, {threads} thread{'s' if threads != 1 else ''}\n"
        f"  reference: available: NumPy in float64, the definition"
    )
