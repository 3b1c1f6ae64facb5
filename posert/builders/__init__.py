"""Vendors that compile networks ahead of time: ONNX bytes and batch sizes in, a plan out, kept in a cache."""

from __future__ import annotations

import hashlib
import importlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from posert.builders.cache import CachedPlan, PlanCache
from posert.errors import InputError, MissingDependency
from posert.manifest import NetworkSpec

Progress = Callable[[str, float], None]
"""Called with what the vendor is doing, in its words, and the share of the build that is done, from 0 to 1. It may be called from
any thread; an exception that it raises ends the build, and `build` raises it."""

_MODULES = {"tensorrt": "posert.builders.tensorrt", "tensorrt_rtx": "posert.builders.tensorrt_rtx"}
NAMES = tuple(_MODULES)
"""Backends whose networks are compiled by `build`."""

_LEVELS = 5
_CACHE_FORMAT = 1


@dataclass(frozen=True)
class PlanRequest:
    """What a plan is built from, and for.

    Attributes:
        spec: the network's inputs and outputs, as the manifest lists them.
        onnx: its ONNX file, whose tensors have the types that the plan is to compute in.
        precision: name of the recipe that gave the file its types, such as ``"fp16"``.
        batch_sizes: ascending; one optimisation profile each, see `ranges`.
        compute_capabilities: of the GPUs to build for, such as ``("8.6", "8.9")``; empty = all that the vendor builds for by
            default (tensorrt_rtx), or the GPU of this machine (tensorrt, which knows no others).
        workspace: most bytes of GPU memory for intermediate results; the largest batch needs the most.
        level: how hard the vendor optimises, 0 to 5.
        device: which of this machine's GPUs it is built on, and for, by a vendor that builds on the GPU that will run it.
    """

    spec: NetworkSpec
    onnx: bytes
    precision: str
    batch_sizes: tuple[int, ...]
    compute_capabilities: tuple[str, ...] = ()
    workspace: int = 4 << 30
    level: int = 3
    device: int = 0

    def __post_init__(self) -> None:
        """Refuse what no vendor could build.

        Raises:
            InputError: sizes that do not ascend from at least 1, a level, workspace or device out of range, a capability given
                twice.
        """
        sizes = self.batch_sizes
        if not sizes or sizes[0] < 1 or list(sizes) != sorted(set(sizes)):
            raise InputError(f"batch sizes must be ascending numbers of at least 1, got {sizes}")
        if not 0 <= self.level <= _LEVELS:
            raise InputError(f"the builder's level must be 0 to {_LEVELS}, got {self.level}")
        if self.workspace < 1 << 20:
            raise InputError(f"the workspace must be at least {1 << 20} bytes (1 MiB), got {self.workspace}")
        if self.device < 0:
            raise InputError(f"GPUs are counted from 0, got device {self.device}")
        _refuse_repeated(self.compute_capabilities)


class Builder(Protocol):
    """What a vendor's module offers."""

    def missing(self) -> str | None:
        """What this machine lacks to build, and how to get it; None if nothing is known to be missing."""
        ...

    def target(self, compute_capabilities: tuple[str, ...], device: int = 0) -> dict[str, Any]:
        """What of the vendor and of this machine changes the plan: versions, flags, GPUs. It can be written as JSON.

        Args:
            compute_capabilities: as in `PlanRequest`.
            device: as there.

        Raises:
            InputError: the vendor cannot build for the GPUs that are asked for.
            MissingDependency: the vendor's packages are in disorder, or there is no such GPU.
        """
        ...

    def build(self, request: PlanRequest, progress: Progress | None, cache: PlanCache) -> bytes:
        """Build; what may help later builds is kept in the cache, too. See `posert.builders.build`."""
        ...


def ranges(batch_sizes: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    """Least, best and largest batch of each optimisation profile: a profile begins where the one before it ends.

    Sizes (1, 8, 32) give (1, 1, 1), (2, 8, 8) and (9, 32, 32).
    """
    least = (1, *(size + 1 for size in batch_sizes[:-1]))
    return tuple((low, size, size) for low, size in zip(least, batch_sizes, strict=True))


def missing(backend: str) -> str | None:
    """What this machine lacks to build plans for a backend, and how to get it; None if nothing is known to be missing.

    Raises:
        InputError: the backend compiles nothing.
    """
    return _builder(backend).missing()


def check(backend: str, compute_capabilities: tuple[str, ...] = (), *, cache: PlanCache | None = None) -> None:
    """Refuse, before any work is put into a network, what `build` would refuse whatever the network.

    Args:
        backend: one of `NAMES`.
        compute_capabilities: as in `PlanRequest`.
        cache: where plans are kept; None = the user's.

    Raises:
        InputError: no such backend, or it cannot build for the GPUs that are asked for.
        MissingDependency: the vendor's package, or the GPU that it needs, is not there.
        BuildError: the cache cannot be used.
    """
    builder = _builder(backend)
    reason = builder.missing()
    if reason is not None:
        raise MissingDependency(reason)
    _refuse_repeated(compute_capabilities)
    builder.target(compute_capabilities)
    (cache or PlanCache()).prepare()


def build(backend: str, request: PlanRequest, *, cache: PlanCache | None = None, progress: Progress | None = None) -> CachedPlan:
    """The plan of a network: from the cache, or built and put there.

    Args:
        backend: one of `NAMES`.
        request: what to build.
        cache: where plans are kept; None = the user's, see `PlanCache`.
        progress: told how far a build is; not called where the cache has the plan.

    Raises:
        InputError: no such backend, or it cannot build for the GPUs that are asked for.
        MissingDependency: the vendor's package, or the GPU that it needs, is not there.
        BundleError: the ONNX file's inputs or outputs are not those of the manifest, or its weights lie outside of it.
        BuildError: the vendor failed, with its own words, or the cache cannot be used.
    """
    builder = _builder(backend)
    reason = builder.missing()
    if reason is not None:
        raise MissingDependency(reason)
    kept = cache or PlanCache()
    identity = {**_identity(request), "backend": backend, **builder.target(request.compute_capabilities, request.device)}
    return kept.get(identity, lambda: builder.build(request, progress, kept))


def _identity(request: PlanRequest) -> Mapping[str, Any]:
    """Everything but the vendor that changes the plan."""
    tensors = [[t.name, t.dtype, list(t.shape)] for t in (*request.spec.inputs, *request.spec.outputs)]
    return {
        "cache_format": _CACHE_FORMAT,
        "network": request.spec.name,
        "onnx": hashlib.sha256(request.onnx).hexdigest(),
        "tensors": tensors,
        "precision": request.precision,
        "profiles": [list(profile) for profile in ranges(request.batch_sizes)],
        "workspace": request.workspace,
        "level": request.level,
        "system": platform.system(),
        "machine": platform.machine(),
    }


def _refuse_repeated(compute_capabilities: tuple[str, ...]) -> None:
    if len(set(compute_capabilities)) != len(compute_capabilities):
        raise InputError(f"every compute capability may be given once, got {', '.join(compute_capabilities)}")


def _builder(backend: str) -> Builder:
    if backend not in _MODULES:
        raise InputError(f"backend {backend!r} compiles no plans; those that do are {', '.join(NAMES)}")
    module: Any = importlib.import_module(_MODULES[backend])
    builder: Builder = module
    return builder
