"""TensorRT on an NVIDIA GPU."""

from __future__ import annotations

from typing import Any

from posert.backends import LoadRequest
from posert.backends.plan_program import PlanProgram
from posert.backends.plans import Vendor
from posert.errors import MissingDependency

_GET = "install it with: pip install 'posert[gpu,tensorrt]'"
_LEAST = (10, 1)  # the first version that says how much memory each profile needs


def missing(device: str) -> str | None:
    """What is missing to run on a kind of device, and how to get it; None if nothing is known to be."""
    from posert.backends.plan_needs import missing_here

    reason = missing_here("tensorrt", _GET)
    if reason is not None:
        return reason
    try:
        import tensorrt
    except ImportError as error:
        return f"tensorrt cannot be imported ({error}); {_GET}"
    if tuple(int(part) for part in tensorrt.__version__.split(".")[:2]) < _LEAST:
        return f"tensorrt {tensorrt.__version__} is older than {'.'.join(map(str, _LEAST))}; pip install --upgrade tensorrt"
    return None


def load(request: LoadRequest) -> PlanProgram:
    """Load plans; see `posert.backends.load`."""
    reason = missing("cuda")
    if reason is not None:
        raise MissingDependency(reason)
    import tensorrt

    from posert.builders.networks import wheel_cuda

    return PlanProgram.load(request, TensorRt(tensorrt, wheel_cuda("tensorrt")))


class TensorRt(Vendor):
    """See `Vendor`."""

    name = "tensorrt"

    def create_context(self, engine: Any, state: Any, *, fixed: bool) -> Any:
        """A context without memory of its own."""
        return engine.create_execution_context(self.module.ExecutionContextAllocationStrategy.USER_MANAGED)
