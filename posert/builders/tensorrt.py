"""TensorRT, which builds on the GPU that will run the plan."""

from __future__ import annotations

import importlib.util
from typing import Any

from posert.builders import PlanRequest, Progress
from posert.builders.cache import PlanCache
from posert.builders.networks import compile_network, wheel_cuda
from posert.builders.timings import TimingCache
from posert.errors import InputError, MissingDependency
from posert.nvidia import ask_driver, on_gpu

_GET = "install it with: pip install 'posert[tensorrt]'"


def missing() -> str | None:
    """What is missing to build; see `posert.builders.missing`."""
    if importlib.util.find_spec("tensorrt") is None:
        return f"tensorrt is not installed; {_GET}"
    reason = ask_driver()["missing"]
    if reason is not None:
        return f"tensorrt builds on the GPU that will run the plan: {reason}; tensorrt_rtx builds without one"
    try:
        import tensorrt  # noqa: F401
    except ImportError as error:
        return f"tensorrt cannot be imported ({error}); {_GET}"
    return None


def target(compute_capabilities: tuple[str, ...], device: int = 0) -> dict[str, Any]:
    """What of the package and of the GPU changes the plan; see `posert.builders.Builder`."""
    import tensorrt

    if compute_capabilities:
        raise InputError(
            "tensorrt builds for the GPU of this machine alone; leave out the compute capabilities, or build with tensorrt_rtx"
        )
    gpu = ask_driver()
    count = len(gpu["devices"])
    if device >= count:
        raise MissingDependency(f"there is no GPU {device} to build on: the driver finds {count}, counted from 0")
    found = gpu["devices"][device]
    return {
        "version": tensorrt.__version__,
        "cuda": wheel_cuda("tensorrt"),
        "driver_cuda": gpu["cuda"],
        "compute_capabilities": [found["compute_capability"]],
        "gpu": found["name"],
        "flags": ["no TF32"],
    }


def build(request: PlanRequest, progress: Progress | None, cache: PlanCache) -> bytes:
    """Build; see `posert.builders.build`. How long each kernel took on this GPU is kept for later builds."""
    import tensorrt

    timings = TimingCache(cache, {"backend": "tensorrt", **target(request.compute_capabilities, request.device)})
    with on_gpu(request.device):  # the package builds on the current one
        return compile_network(tensorrt, request, progress, timings.lend, timings.keep)
