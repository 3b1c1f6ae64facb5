"""TensorRT-RTX, whose ahead-of-time builds need no GPU."""

from __future__ import annotations

import importlib.util
from typing import Any

from posert.builders import PlanRequest, Progress
from posert.builders.cache import PlanCache
from posert.builders.networks import compile_network, wheel_cuda
from posert.errors import InputError

_GET = "install it with: pip install 'posert[tensorrt-rtx]'"


def missing() -> str | None:
    """What is missing to build; see `posert.builders.missing`."""
    if importlib.util.find_spec("tensorrt_rtx") is None:
        return f"tensorrt_rtx is not installed; {_GET}"
    try:
        import tensorrt_rtx  # noqa: F401
    except ImportError as error:
        return f"tensorrt_rtx cannot be imported ({error}); {_GET}"
    return None


def target(compute_capabilities: tuple[str, ...], device: int = 0) -> dict[str, Any]:
    """What of the package changes the plan, whichever GPUs this machine has; see `posert.builders.Builder`."""
    import tensorrt_rtx

    _members(compute_capabilities)
    return {
        "version": tensorrt_rtx.__version__,
        "cuda": wheel_cuda("tensorrt_rtx"),
        "compute_capabilities": list(compute_capabilities) or ["default"],
        "flags": ["no TF32"],
    }


def build(request: PlanRequest, progress: Progress | None, cache: PlanCache) -> bytes:
    """Build; see `posert.builders.build`. Nothing but the plan is kept: kernels are chosen when it is run."""
    import tensorrt_rtx

    capabilities = _members(request.compute_capabilities)

    def configure(config: Any) -> None:
        config.num_compute_capabilities = len(capabilities)
        for index, capability in enumerate(capabilities):
            config.set_compute_capability(capability, index)

    return compile_network(tensorrt_rtx, request, progress, configure)


def _members(compute_capabilities: tuple[str, ...]) -> list[Any]:
    """The package's own names of the compute capabilities.

    Raises:
        InputError: it does not know one.
    """
    import tensorrt_rtx

    members = tensorrt_rtx.ComputeCapability.__members__
    known = {f"{name[2:-1]}.{name[-1]}": value for name, value in members.items() if name.startswith("SM")}
    unknown = [capability for capability in compute_capabilities if capability not in known]
    if unknown:
        raise InputError(
            f"tensorrt_rtx {tensorrt_rtx.__version__} does not build for compute capability {', '.join(unknown)}; "
            f"it does for {', '.join(known)}"
        )
    return [known[capability] for capability in compute_capabilities]
