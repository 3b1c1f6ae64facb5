"""posert: human pose estimation and pose-guided person image transfer.

Everything public is here, and nothing is imported before it is used: `import posert` needs NumPy alone, opens no network and
asks no device.

>>> import posert
>>> poses = posert.Estimator("cpm-s").run(images)
>>> result = posert.Transfer("pg2-s").run(posert.TransferBatch(source=images, target=poses))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posert import ops
    from posert.bundle import Bundle
    from posert.engine import Engine, Session
    from posert.errors import (
        BackendError,
        BuildError,
        BundleError,
        ExecutionError,
        GpuMemoryError,
        InputError,
        MissingDependency,
        NoVariantError,
        OutOfFrameError,
        PlanError,
        PosertError,
        SwappedAxesError,
        UnscaledKeypointsError,
    )
    from posert.estimator import Estimator
    from posert.manifest import Manifest
    from posert.ops import get_num_threads, set_num_threads
    from posert.people import find_people
    from posert.skeleton import Skeleton
    from posert.transfer import Transfer
    from posert.types import Poses, TransferBatch, TransferResult

    __version__: str

_HOME = {
    "Bundle": "bundle",
    "Engine": "engine",
    "Session": "engine",
    "Estimator": "estimator",
    "Manifest": "manifest",
    "Poses": "types",
    "TransferBatch": "types",
    "TransferResult": "types",
    "Skeleton": "skeleton",
    "Transfer": "transfer",
    "find_people": "people",
    "get_num_threads": "ops",
    "set_num_threads": "ops",
    "BackendError": "errors",
    "BuildError": "errors",
    "BundleError": "errors",
    "ExecutionError": "errors",
    "GpuMemoryError": "errors",
    "InputError": "errors",
    "MissingDependency": "errors",
    "NoVariantError": "errors",
    "OutOfFrameError": "errors",
    "PlanError": "errors",
    "PosertError": "errors",
    "SwappedAxesError": "errors",
    "UnscaledKeypointsError": "errors",
}

__all__ = [
    "BackendError",
    "BuildError",
    "Bundle",
    "BundleError",
    "Engine",
    "Estimator",
    "ExecutionError",
    "GpuMemoryError",
    "InputError",
    "Manifest",
    "MissingDependency",
    "NoVariantError",
    "OutOfFrameError",
    "PlanError",
    "PosertError",
    "Poses",
    "Session",
    "Skeleton",
    "SwappedAxesError",
    "Transfer",
    "TransferBatch",
    "TransferResult",
    "UnscaledKeypointsError",
    "__version__",
    "find_people",
    "get_num_threads",
    "ops",
    "set_num_threads",
]


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("posert")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0+unknown"


def __getattr__(name: str) -> Any:
    value: Any
    if name == "__version__":
        value = _version()
    elif name == "ops":
        value = importlib.import_module("posert.ops")
    elif name in _HOME:
        value = getattr(importlib.import_module(f"posert.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'posert' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
