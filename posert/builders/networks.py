"""What TensorRT and TensorRT-RTX share: one Python interface in two packages, from an ONNX file to a plan."""

from __future__ import annotations

import functools
import importlib.metadata
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from posert.builders import PlanRequest, Progress, ranges
from posert.bundle import check_self_contained
from posert.errors import BuildError, BundleError, MissingDependency

ONE_AT_A_TIME = threading.Lock()
"""The vendors take one log a process, so builds and loads take turns: each must know which lines are its own."""

_LINES = 12  # of the log in a message
_HINTS = (
    ("workspace", "allow a larger workspace"),
    ("Turing", "leave out compute capability 7.5, or build fp16 for it"),
    ("sm75", "leave out compute capability 7.5, or build fp16 for it"),
    ("OutOfMemory", "allow a larger workspace, free memory, or build for smaller batches"),
)


def compile_network(
    vendor: Any,
    request: PlanRequest,
    progress: Progress | None,
    configure: Callable[[Any], None] = lambda config: None,
    finish: Callable[[Any], None] = lambda config: None,
) -> bytes:
    """Build a plan with one of the packages.

    Args:
        vendor: the imported package.
        request: what to build.
        progress: told how far the build is.
        configure: sets, in the vendor's configuration, what only one of the packages has.
        finish: takes from the configuration what is of use later, once the plan is built.

    Raises:
        BundleError: the ONNX file's inputs or outputs are not those of the manifest, or its weights lie outside of it.
        BuildError: the vendor failed, with its own words.
        BaseException: what `progress` raised.
    """
    check_self_contained(request.spec.name, request.onnx)
    log = listener(vendor)
    with ONE_AT_A_TIME:
        log.lines.clear()
        monitor = _monitor(vendor, progress)
        builder = create_builder(vendor)
        network = builder.create_network(1 << int(vendor.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = vendor.OnnxParser(network, log)
        if not parser.parse(request.onnx):
            errors = [parser.get_error(i) for i in range(parser.num_errors)]
            raise _failure(vendor, request, [f"{e.node_operator()} {e.node_name()}: {e.desc()}".strip(" :") for e in errors])
        _compare(vendor, request, network)
        config = builder.create_builder_config()
        config.clear_flag(vendor.BuilderFlag.TF32)  # a float32 tensor is computed in float32
        config.set_memory_pool_limit(vendor.MemoryPoolType.WORKSPACE, request.workspace)
        config.builder_optimization_level = request.level
        config.progress_monitor = monitor
        configure(config)
        for profile in _profiles(builder, request):
            if config.add_optimization_profile(profile) < 0:
                raise _failure(vendor, request, log.lines)
        plan = builder.build_serialized_network(network, config)
        if monitor.error is not None:
            raise monitor.error
        if plan is None:
            raise _failure(vendor, request, log.lines)
        finish(config)
        return bytes(plan)


def create_builder(vendor: Any) -> Any:
    """A builder of the package, whose log lines go to `listener`.

    Raises:
        MissingDependency: the package will not start here, with its own words.
    """
    log = listener(vendor)
    try:
        return vendor.Builder(log)
    except (RuntimeError, TypeError) as error:  # what the binding makes of a null pointer
        said = "; ".join(log.lines[-_LINES:]) or str(error)
        raise MissingDependency(f"{vendor.__name__} {vendor.__version__} cannot start here: {said}") from error


@functools.cache
def listener(vendor: Any) -> Any:
    """The package's one log: what is a warning or worse is kept in ``lines`` until the next build."""

    class Listener(vendor.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            vendor.ILogger.__init__(self)
            self.lines: list[str] = []
            self.kept = (vendor.ILogger.INTERNAL_ERROR, vendor.ILogger.ERROR, vendor.ILogger.WARNING)

        def log(self, severity: Any, message: str) -> None:
            if severity in self.kept:
                self.lines.append(message)

    return Listener()


class Phases:
    """The share of a build that is done, from the vendor's account of nested phases and their steps."""

    def __init__(self) -> None:
        self._phases: dict[str, tuple[str | None, int, int]] = {}
        self._share = 0.0

    def start(self, phase: str, parent: str | None, steps: int) -> float:
        """A phase of so many steps begins, within a step of its parent; the share that is done now."""
        self._phases[phase] = (parent, max(steps, 1), 0)
        return self._advance(phase)

    def step(self, phase: str, step: int) -> float:
        """A phase has done a step, counted from 0."""
        parent, steps, _ = self._phases[phase]
        self._phases[phase] = (parent, steps, min(step + 1, steps))
        return self._advance(phase)

    def finish(self, phase: str) -> float:
        """A phase is over; its parent counts its own steps. With the outermost one, all is done."""
        parent, _, _ = self._phases.pop(phase)
        if not self._phases:
            self._share = 1.0
        return self._advance(parent)

    def _advance(self, phase: str | None) -> float:
        """The share never falls, whatever order the vendor does things in."""
        inner = 0.0
        while phase is not None and phase in self._phases:
            parent, steps, done = self._phases[phase]
            inner = min((done + inner) / steps, 1.0)
            phase = parent
        self._share = max(self._share, inner)
        return self._share


def _monitor(vendor: Any, progress: Progress | None) -> Any:
    """The vendor's progress monitor: passes on what it hears, and ends the build if that raises."""

    class Monitor(vendor.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            vendor.IProgressMonitor.__init__(self)
            self.error: BaseException | None = None
            self._phases, self._lock = Phases(), threading.Lock()

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            with self._lock:
                self._tell(phase, self._phases.start(phase, parent, steps))

        def step_complete(self, phase: str, step: int) -> bool:
            with self._lock:
                self._tell(phase, self._phases.step(phase, step))
                return self.error is None

        def phase_finish(self, phase: str) -> None:
            with self._lock:
                self._tell(phase, self._phases.finish(phase))

        def _tell(self, phase: str, share: float) -> None:
            try:
                if progress is not None and self.error is None:
                    progress(phase, share)
            except BaseException as error:  # it must not reach the vendor, which would print it and lose it
                self.error = error

    return Monitor()


def _profiles(builder: Any, request: PlanRequest) -> list[Any]:
    profiles = []
    for least, best, most in ranges(request.batch_sizes):
        profile = builder.create_optimization_profile()
        for tensor in request.spec.inputs:
            sides = tensor.shape[1:]
            profile.set_shape(tensor.name, (least, *sides), (best, *sides), (most, *sides))
        profiles.append(profile)
    return profiles


def _compare(vendor: Any, request: PlanRequest, network: Any) -> None:
    """The graph's own account of its inputs and outputs must be that of the manifest, with the batch left open."""
    spec = request.spec
    sides = (
        ("inputs", spec.inputs, [network.get_input(i) for i in range(network.num_inputs)]),
        ("outputs", spec.outputs, [network.get_output(i) for i in range(network.num_outputs)]),
    )
    for side, wanted, tensors in sides:
        listed = [(t.name, t.dtype, (-1, *t.shape[1:])) for t in wanted]
        found = [(t.name, _dtype(vendor, t.dtype), tuple(t.shape)) for t in tensors]
        if found != listed:
            raise BundleError(f"network {spec.name!r}: the ONNX file has the {side} {found}, the manifest says {listed}")


def _dtype(vendor: Any, kind: Any) -> str:
    """NumPy's name of a type, or the vendor's where NumPy has none."""
    try:
        return str(np.dtype(vendor.nptype(kind)).name)
    except TypeError:
        return str(kind)


def _failure(vendor: Any, request: PlanRequest, lines: list[str]) -> BuildError:
    """The error of a build, with what the vendor said of it and what may help."""
    said = "\n  ".join(lines[-_LINES:]) or "it gave no reason"
    hint = next((f"\n{text}" for word, text in _HINTS if word in said), "")
    batches = ", ".join(map(str, request.batch_sizes))
    what = f"network {request.spec.name!r} ({request.precision}, batches {batches})"
    return BuildError(f"{vendor.__name__} {vendor.__version__} could not build {what}:\n  {said}{hint}")


def wheel_cuda(package: str) -> str:
    """Which CUDA the installed wheels of a package are for, ``"cu12"`` or ``"cu13"``; ``"unknown"`` where they are no wheels.

    Raises:
        MissingDependency: there are wheels for both, whose files lie in one folder.
    """
    found = []
    for cuda in ("cu12", "cu13"):
        try:
            importlib.metadata.version(f"{package}_{cuda}_libs")
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(cuda)
    if len(found) > 1:
        names = [f"{package.replace('_', '-')}-{cuda}" for cuda in found]
        both = [f"{name}{part}" for name in names for part in ("", "-bindings", "-libs")]
        raise MissingDependency(
            f"{' and '.join(names)} are both installed, and have overwritten each other's files: "
            f"pip uninstall {' '.join(both)}; then install the one for the CUDA version of your driver (see posert doctor)"
        )
    return found[0] if found else "unknown"
