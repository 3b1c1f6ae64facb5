"""Plans of TensorRT and TensorRT-RTX: where they come from, whether they fit this machine, and what it means if they do not."""

from __future__ import annotations

import hashlib
import platform
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from posert.backends import LoadRequest, Network, compare_tensors
from posert.backends.device import CudaDevice, out_of_memory
from posert.errors import BackendError, ExecutionError, GpuMemoryError, MissingDependency, PlanError
from posert.manifest import NetworkSpec
from posert.variants import Plan

_LINES = 6  # of the log in a message
_KEPT = 1000  # lines of the log, at most, between two loads
_FRESH = "delete posert's plan cache (docs/tensorrt.md), or choose another backend"
_REBUILD = "leave trust_plans (--trust-plans) out to have one built here, or build the bundle anew (docs/tensorrt.md)"
_MEMORY_WORDS = ("out of memory", "outofmemory", "insufficient_gpu_memory")
_DRIVER_WORDS = ("driver version is insufficient", "no cuda-capable device", "cuda initialization failure")


class Vendor(ABC):
    """One of the two packages: what they do differently.

    Attributes:
        name: of the backend, ``"tensorrt"`` or ``"tensorrt_rtx"``.
        module: the package.
        cuda: which CUDA its wheels are for, such as ``"cu13"``.
    """

    name: str

    def __init__(self, module: Any, cuda: str) -> None:
        self.module, self.cuda = module, cuda

    def targets(self, capability: str) -> tuple[str, ...]:
        """The compute capabilities to build for, so that a plan runs on a GPU of this one; empty = the vendor chooses."""
        return ()

    def refusal(self, runtime: Any, data: bytes) -> str | None:
        """Why a plan cannot run here, if the vendor can say so before it is loaded."""
        return None

    def fits(self, needs: Plan, capability: str) -> bool:
        """Whether a plan was built for GPUs like this one, as far as can be said without the vendor."""
        return capability in needs.compute_capabilities

    def open_state(self, engine: Any, plan_hash: str, device: CudaDevice) -> Any:
        """What all contexts of a plan share."""
        return None

    @abstractmethod
    def create_context(self, engine: Any, state: Any, *, fixed: bool) -> Any:
        """A context without memory of its own, or None; `fixed` = it will only ever see one batch size."""

    def keep(self, state: Any) -> None:  # noqa: B027 - a vendor may have nothing to keep
        """Keep on disk what makes the next start faster."""


@dataclass(frozen=True, eq=False)
class LoadedPlan:
    """A compiled network, ready for contexts.

    Attributes:
        spec: its inputs and outputs.
        engine: the vendor's.
        profiles: least, best and largest batch of each.
        workspace: bytes of memory that a context needs, of each profile.
        state: of `Vendor.open_state`.
        origin: where the plan came from, in words.
    """

    spec: NetworkSpec
    engine: Any
    profiles: tuple[tuple[int, int, int], ...]
    workspace: tuple[int, ...]
    state: Any
    origin: str

    def profile(self, batch: int) -> int:
        """Which profile takes a batch.

        Raises:
            ExecutionError: none.
        """
        for index, (least, _, most) in enumerate(self.profiles):
            if least <= batch <= most:
                return index
        ranges = ", ".join(f"{least} to {most}" for least, _, most in self.profiles)
        raise ExecutionError(f"the plan of network {self.spec.name!r} takes batches of {ranges}, got {batch}; split the batch")


def load_plan(network: Network, request: LoadRequest, vendor: Vendor, device: CudaDevice) -> LoadedPlan:
    """Get a network's plan, out of the bundle if that is trusted, else built here or out of the cache, and load it.

    Raises:
        PlanError: it is damaged, or for another GPU, version or system, or does not take the bundle's batches.
        GpuMemoryError: the GPU has too little memory.
        MissingDependency: the driver is missing or too old.
        BundleError: its inputs or outputs are not those of the manifest.
        BuildError: it cannot be built.
    """
    if network.plan is not None:
        check_needs(network.plan.needs, vendor, device)
        data, origin = network.plan.data, "from the bundle"
    else:
        data, origin = _built(network, request, vendor, device)
    with device.working(f"loading the plan of network {network.spec.name!r}"):
        hint = _REBUILD if network.plan is not None else _FRESH
        engine = deserialize(data, network.spec.name, vendor, device, hint)
        plan = describe(engine, network.spec, vendor, origin)
        covered = {batch for least, _, most in plan.profiles for batch in range(least, most + 1)}
        refused_batches = set(range(1, request.batch_sizes[-1] + 1)) - covered
        if refused_batches:
            lacking, name = min(refused_batches), network.spec.name
            reach = f"the bundle's reach from 1 to {request.batch_sizes[-1]}"
            raise PlanError(f"the plan of network {name!r} takes no batch of {lacking}, and {reach}; {hint}")
        return replace(plan, state=vendor.open_state(engine, hashlib.sha256(data).hexdigest(), device))


def _built(network: Network, request: LoadRequest, vendor: Vendor, device: CudaDevice) -> tuple[bytes, str]:
    from posert.builders import PlanRequest, build

    wanted = PlanRequest(
        network.spec,
        network.onnx,
        request.precision,
        request.batch_sizes,
        compute_capabilities=vendor.targets(device.capability),
        device=device.index,
    )
    with device.working(f"building a plan of network {network.spec.name!r}"):
        plan = build(vendor.name, wanted)
    return plan.data, "built here" if plan.built else "from posert's cache"


def check_needs(needs: Plan, vendor: Vendor, device: CudaDevice) -> None:
    """Refuse a plan that was built for something else than this machine.

    Raises:
        PlanError: it was; the message says what differs.
    """
    version, system, machine = vendor.module.__version__, platform.system(), platform.machine()
    wheel = vendor.name.replace("_", "-") + ("" if needs.cuda == "unknown" else f"-{needs.cuda}")
    install = f"pip install {wheel}=={needs.version}"
    differences = [
        (needs.version, version, f"{vendor.name} {needs.version}", f"{version} is installed: {install}"),
        (needs.cuda, vendor.cuda, f"CUDA {needs.cuda}", f"the installed {vendor.name} is for {vendor.cuda}"),
        (needs.system, system, needs.system, f"this is {system}"),
        (needs.machine, machine, needs.machine, f"this is {machine}"),
    ]
    for wanted, found, meant, here in differences:
        if wanted != found:
            raise PlanError(f"{needs.file} was built for {meant}, and {here}; or {_REBUILD}")
    if not vendor.fits(needs, device.capability):
        gpus = ", ".join(needs.compute_capabilities)
        here = f"{device.name} ({device.product}) has {device.capability}"
        raise PlanError(f"{needs.file} was built for compute capability {gpus}, and {here}; {_REBUILD}")


def deserialize(data: bytes, name: str, vendor: Vendor, device: CudaDevice, hint: str) -> Any:
    """The vendor's engine of a plan; `hint` says what to do if it is refused.

    Raises:
        BackendError: as of `load_plan`.
    """
    from posert.builders.networks import ONE_AT_A_TIME

    log = listener(vendor)
    with ONE_AT_A_TIME:
        log.lines.clear()
        try:
            runtime = vendor.module.Runtime(log)
        except (RuntimeError, TypeError) as error:  # what the binding makes of a null pointer
            raise refused(vendor, device, f"start for network {name!r}", str(error), hint) from error
        reason = vendor.refusal(runtime, data)
        if reason is not None:
            raise refused(vendor, device, f"load the plan of network {name!r}", reason, hint)
        engine = runtime.deserialize_cuda_engine(data)
        if engine is None:
            raise refused(vendor, device, f"load the plan of network {name!r}", hint=hint)
        return engine


def listener(vendor: Vendor) -> Any:
    """The package's log, which builds and loads share; see `posert.builders.networks.listener`."""
    from posert.builders.networks import listener as shared

    log = shared(vendor.module)
    del log.lines[:-_KEPT]
    return log


def refused(vendor: Vendor, device: CudaDevice, what: str, reason: str = "", hint: str = "") -> BackendError:
    """The error of something that the vendor would not do, by what it says of it.

    Args:
        vendor: the package.
        device: the GPU.
        what: it was to do, such as ``"load the plan of network 'estimator'"``.
        reason: why, as far as it is known beside the end of its log, which is then forgotten: the next error has its own.
        hint: what to do if it is the plan's fault; without one it is not, and the network could not be run.
    """
    log = listener(vendor)
    said = "; ".join([*([reason] if reason else []), *log.lines[-_LINES:]]) or "it gave no reason"
    log.lines.clear()
    message = f"{vendor.name} {vendor.module.__version__} could not {what}: {said}"
    words = said.lower()
    if any(word in words for word in _MEMORY_WORDS):
        return GpuMemoryError(out_of_memory(device.name, what, message))
    if any(word in words for word in _DRIVER_WORDS):
        return MissingDependency(f"{message}: update the NVIDIA driver; see what `posert doctor` finds")
    return PlanError(f"{message}; {hint}") if hint else ExecutionError(message)


def describe(engine: Any, spec: NetworkSpec, vendor: Vendor, origin: str) -> LoadedPlan:
    """Compare an engine with the manifest, and read its profiles; its contexts share nothing yet.

    Raises:
        BundleError: its inputs or outputs are not those of the manifest.
    """
    modes: dict[Any, list[Any]] = {vendor.module.TensorIOMode.INPUT: [], vendor.module.TensorIOMode.OUTPUT: []}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype = str(np.dtype(vendor.module.nptype(engine.get_tensor_dtype(name))).name)
        modes[engine.get_tensor_mode(name)].append((name, dtype, tuple(engine.get_tensor_shape(name))))
    inputs, outputs = modes.values()
    compare_tensors(spec, _ordered(inputs, spec.inputs), _ordered(outputs, spec.outputs), f"the plan ({origin})")
    first = spec.inputs[0].name
    counts = range(engine.num_optimization_profiles)
    profiles = []
    for index in counts:
        least, best, most = (next(iter(shape)) for shape in engine.get_tensor_profile_shape(first, index))
        profiles.append((least, best, most))
    workspace = tuple(int(engine.get_device_memory_size_for_profile_v2(index)) for index in counts)
    return LoadedPlan(spec, engine, tuple(profiles), workspace, None, origin)


def _ordered(found: list[Any], wanted: Any) -> list[Any]:
    """Tensors in the manifest's order: they are known by name, and the vendor may list them in another."""
    order = {spec.name: index for index, spec in enumerate(wanted)}
    return sorted(found, key=lambda tensor: order.get(tensor[0], len(order)))
