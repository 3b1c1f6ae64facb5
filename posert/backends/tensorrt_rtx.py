"""TensorRT-RTX on an NVIDIA GPU: kernels are compiled for the GPU when a plan first runs, and kept in a runtime cache."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from typing import Any

from posert.backends import LoadRequest
from posert.backends.device import CudaDevice
from posert.backends.plan_program import PlanProgram
from posert.backends.plans import Vendor
from posert.errors import BuildError, MissingDependency
from posert.variants import Plan

_GET = "install it with: pip install 'posert[gpu]'"
_ONE_AT_A_TIME = threading.Lock()
_DEFAULT = "default"
_OLDEST_DEFAULT = (8, 0)
_REASONS = {
    "VERSION_MISMATCH": "it was built by another version of TensorRT-RTX",
    "UNSUPPORTED_CC": "it was not built for this GPU's compute capability",
    "OLD_CUDA_DRIVER": "the NVIDIA driver is too old: driver version is insufficient",
    "OLD_CUDA_RUNTIME": "the CUDA runtime is too old",
    "INSUFFICIENT_GPU_MEMORY": "the GPU has too little memory: out of memory",
    "MALFORMED_ENGINE": "it is damaged",
    "CUDA_ERROR": "CUDA is not installed as it should be",
}


def missing(device: str) -> str | None:
    """What is missing to run on a kind of device, and how to get it; None if nothing is known to be."""
    from posert.backends.plan_needs import missing_here

    reason = missing_here("tensorrt_rtx", _GET)
    if reason is not None:
        return reason
    try:
        import tensorrt_rtx  # noqa: F401
    except ImportError as error:
        return f"tensorrt_rtx cannot be imported ({error}); {_GET}"
    return None


def load(request: LoadRequest) -> PlanProgram:
    """Load plans; see `posert.backends.load`."""
    reason = missing("cuda")
    if reason is not None:
        raise MissingDependency(reason)
    import tensorrt_rtx

    from posert.builders.networks import wheel_cuda

    return PlanProgram.load(request, TensorRtRtx(tensorrt_rtx, wheel_cuda("tensorrt_rtx")))


@dataclass
class RuntimeCache:
    """The kernels that were compiled for a plan.

    Attributes:
        cache: the vendor's.
        name: in posert's cache; None = that cannot be used.
        kept: what lies there.
    """

    cache: Any
    name: str | None
    kept: bytes


class TensorRtRtx(Vendor):
    """See `Vendor`."""

    name = "tensorrt_rtx"

    def targets(self, capability: str) -> tuple[str, ...]:
        """This GPU alone, where the package knows it by name; else its defaults, which run on later ones, too."""
        known = f"SM{capability.replace('.', '')}" in self.module.ComputeCapability.__members__
        return (capability,) if known else ()

    def refusal(self, runtime: Any, data: bytes) -> str | None:
        """What the package says of a plan before it loads it."""
        validity, found = runtime.get_engine_validity(data)
        if validity != self.module.EngineValidity.INVALID:
            return None
        members = self.module.EngineInvalidityDiagnostics.__members__
        reasons = [_REASONS.get(name, name) for name, member in members.items() if int(member) & int(found)]
        return "; ".join(reasons) or "it says that the plan is not valid here"

    def fits(self, needs: Plan, capability: str) -> bool:
        """Plans for the default targets run on GPUs from 8.0 on; of all others `refusal` knows more."""
        if needs.compute_capabilities != (_DEFAULT,):
            return True
        return tuple(map(int, capability.split("."))) >= _OLDEST_DEFAULT

    def open_state(self, engine: Any, plan_hash: str, device: CudaDevice) -> RuntimeCache:
        """The plan's runtime cache, with what earlier runs left. The vendor refuses what another driver or GPU left."""
        from posert.builders.cache import PlanCache, digest

        cache = engine.create_runtime_config().create_runtime_cache()
        identity = {"what": "runtime cache", "plan": plan_hash, "version": self.module.__version__, "gpu": device.product}
        name = digest(identity)
        try:
            kept = PlanCache().load(name)
        except (BuildError, MissingDependency) as error:
            warnings.warn(f"kernels are compiled anew at every start: {error}", RuntimeWarning, stacklevel=2)
            return RuntimeCache(cache, None, b"")
        if kept and not cache.deserialize(kept):
            kept = b""
        return RuntimeCache(cache, name, kept)

    def create_context(self, engine: Any, state: RuntimeCache, *, fixed: bool) -> Any:
        """A context without memory of its own. For one batch size kernels are compiled before it first runs, else beside it."""
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(self.module.ExecutionContextAllocationStrategy.USER_MANAGED)
        strategies = self.module.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER if fixed else strategies.LAZY
        config.cuda_graph_strategy = self.module.CudaGraphStrategy.DISABLED  # posert captures its own
        if not config.set_runtime_cache(state.cache):
            return None
        return engine.create_execution_context(config)

    def keep(self, state: RuntimeCache) -> None:
        """Keep the kernels that have been compiled so far."""
        from posert.builders.cache import PlanCache

        if state.name is None:
            return
        try:
            with _ONE_AT_A_TIME:
                found = state.cache.serialize()
                data = b"" if found is None else bytes(found)
                if data in (b"", state.kept):
                    return
                PlanCache().store(state.name, data)
                state.kept = data
        except BuildError as error:
            state.name = None
            warnings.warn(f"kernels are compiled anew at every start: {error}", RuntimeWarning, stacklevel=2)
