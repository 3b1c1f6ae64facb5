"""Which implementation of an operation runs, and why."""

from __future__ import annotations

import difflib
import functools
import importlib
from types import ModuleType
from typing import Any

from posert.errors import InputError, MissingDependency
from posert.ops import _tensors, _triton

BACKENDS = ("native", "triton", "reference")

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
    "limb_priors": "limb_priors",
    "part_masks": "part_masks",
    "part_transforms": "part_transforms",
    "warp_parts": "warp_parts",
    "composite": "composite",
    "rasterize_pafs": "rasterize_pafs",
    "find_peaks": "find_peaks",
    "limb_scores": "limb_scores",
    "assemble_people": "assemble_people",
    "distance_transform": "distance_transform",
}
# So little work that NumPy does it fast: the reference is what every backend runs.
NUMPY_ONLY = frozenset({"part_transforms"})

_ON_CPU = "it runs on the CPU alone; pass NumPy arrays (tensor.cpu().numpy()) and leave the backend out"
# Operation -> why it has no Triton kernel.
NO_TRITON: dict[str, str] = {
    "find_peaks": _ON_CPU,
    "part_transforms": f"a few numbers a part, less than a launch is worth: {_ON_CPU}",
    "assemble_people": f"few numbers, and each choice waits for the one before: {_ON_CPU}",
    "distance_transform": f"its linear time comes from going along each line in turn: {_ON_CPU}",
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


def implementation(name: str, backend: str | None, *inputs: Any) -> Any:
    """What holds operation `name` for a backend and some checked inputs, as an attribute of that name.

    None takes Triton where an input is a CUDA tensor, else the first of native and reference that can run.

    Raises:
        InputError: no such backend, or one that does not take these inputs.
        MissingDependency: the backend was asked for by name and cannot run here.
    """
    if backend is not None and (not isinstance(backend, str) or backend not in BACKENDS):
        raise InputError(
            f"unknown backend {backend!r} for posert.ops.{name}; use one of {', '.join(BACKENDS)}, or None for the fastest"
        )
    if any(_tensors.is_tensor(value) for value in inputs):
        if name in NUMPY_ONLY:
            raise InputError(f"posert.ops.{name} takes NumPy arrays, got a CUDA tensor; pass tensor.cpu().numpy()")
        if backend not in (None, "triton"):
            raise InputError(
                f"posert.ops.{name} with backend={backend!r} takes NumPy arrays, got a CUDA tensor; pass tensor.cpu().numpy(), "
                f"or leave the backend out to run on the GPU"
            )
        backend = "triton"
    return find_implementation(name, backend)


@functools.cache
def find_implementation(name: str, backend: str | None) -> Any:
    """`implementation` for a backend of `BACKENDS`, remembered."""
    if name in NUMPY_ONLY:
        return importlib.import_module(f"posert.ops.{OPERATIONS[name]}.reference")
    if backend == "triton":
        why = NO_TRITON.get(name) or _triton.problem()
        if why is not None:
            raise MissingDependency(f"posert.ops.{name} with backend='triton': {why}")
        return _triton.Implementation(importlib.import_module(f"posert.ops.{OPERATIONS[name]}.triton"))
    native = native_module()
    if backend == "native" and isinstance(native, str):
        raise MissingDependency(f"posert.ops.{name} with backend='native': {native}")
    if backend is None:
        backend = "reference" if isinstance(native, str) else "native"
    return importlib.import_module(f"posert.ops.{OPERATIONS[name]}.{backend}")


def explain(name: str, *inputs: Any) -> str:
    """Say which implementation of an operation runs, and why.

    Args:
        name: an operation of `posert.ops`, such as ``"crop_resize"``.
        *inputs: arrays that it would be called with: a CUDA tensor among them decides for the GPU. None: NumPy arrays.

    Returns:
        One line for each backend, in the order in which they are tried.

    Raises:
        InputError: no such operation (near matches are named).
    """
    if not isinstance(name, str) or name not in OPERATIONS:
        near = difflib.get_close_matches(str(name), OPERATIONS, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; known: {', '.join(OPERATIONS)}"
        raise InputError(f"unknown operation {name!r}{hint}")
    if name in NUMPY_ONLY:
        return (
            f"{name}: reference\n  reference: chosen: NumPy in float64, the only implementation, fast enough for so little work"
        )
    native = native_module()
    on_gpu = any(_tensors.is_tensor(value) for value in inputs)
    missing = NO_TRITON.get(name) or _triton.problem()
    for_gpu = "nothing" if missing else "triton"
    chosen = for_gpu if on_gpu else "reference" if isinstance(native, str) else "native"
    notes = {"reference": "NumPy in float64, the definition"}
    if isinstance(native, str):
        notes["native"] = f"passed over: {native}"
    else:
        threads = native.get_num_threads()
        notes["native"] = f"C++ for {native.instruction_set()}, {threads} thread{'s' if threads != 1 else ''}"
    notes["triton"] = f"passed over: {missing}" if missing else f"Triton kernels on {_triton.place()}"
    lines = [f"{name}: {chosen}"]
    for backend in BACKENDS:
        note = notes[backend]
        if not note.startswith("passed over"):
            takes = on_gpu == (backend == "triton")
            state = "chosen" if backend == chosen else "available" if takes else "not for these inputs"
            state = "on request, or for CUDA tensors" if backend == "triton" and not on_gpu else state
            note = f"{state}: {note}"
        lines.append(f"  {backend}: {note}")
    return "\n".join(lines)
