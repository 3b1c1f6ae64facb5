"""CUDA graphs of single networks: a launch at one batch size, captured once, replayed with its own inputs and outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from posert.backends.device import CudaDevice, Replay
from posert.backends.plan_contexts import Context, Idle
from posert.backends.plans import LoadedPlan, Vendor
from posert.errors import ExecutionError

if TYPE_CHECKING:
    from torch import Tensor

_WARM_UPS = 2  # the first launches allocate, compile and measure, which a capture may not


class NetworkGraph:
    """A captured launch, and the memory that it reads and writes. Whoever has taken it may use it, nobody else."""

    def __init__(self, plan: LoadedPlan, batch: int, stream: Any, vendor: Vendor, device: CudaDevice) -> None:
        """Capture.

        Args:
            plan: of the network.
            batch: which every replay has.
            stream: for the warm-ups and the capture; not the default one, and nothing else may be put on it meanwhile.
            vendor: the package.
            device: the GPU.

        Raises:
            BackendError: the vendor, or CUDA, cannot.
        """
        self.plan, self.batch = plan, batch
        self._device = device
        with device.using(stream):
            self._inputs, self._outputs = (
                empty_like(plan.spec.inputs, batch, device),
                empty_like(plan.spec.outputs, batch, device),
            )
            profile = plan.profile(batch)
            self._workspace = workspace(plan, profile, device)
            # A context of its own: a graph goes on using what its context held at the capture.
            self.context = Context(plan, profile, stream, vendor, device, fixed=True)
            try:
                self._graph = self._capture(stream, vendor)
            except BaseException:
                with contextlib.suppress(Exception):
                    device.synchronize(stream)  # the context is dropped now, and must not be running then
                raise
            # A mark, and not the stream, is what later runs wait for: the stream may be in another capture by then.
            self._done = device.event(stream)

    def _capture(self, stream: Any, vendor: Vendor) -> Replay:
        for _ in range(_WARM_UPS):
            self._launch()
        if not self.context.can_be_captured():
            raise ExecutionError(f"{vendor.name} says that network {self.plan.spec.name!r} cannot be captured")
        return self._device.capture(stream, self._launch)

    def run(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Replay on the current stream, with inputs of the graph's batch; the outputs are fresh memory."""
        device, stream = self._device, self._device.current()
        device.wait_for(stream, self._done)
        for name, tensor in inputs.items():
            device.copy(self._inputs[name], tensor)
        self._graph.replay()
        outputs = empty_like(self.plan.spec.outputs, self.batch, device)
        for name, tensor in outputs.items():
            device.copy(tensor, self._outputs[name])
        self._done = device.event(stream)
        return outputs

    def _launch(self) -> None:
        self.context.launch(self._inputs, self._outputs, self._workspace)


class GraphPool(Idle[NetworkGraph]):
    """Graphs by plan and batch: there are as many as were launched at one moment. Each waits for its own last run."""

    def take(self, plan: LoadedPlan, batch: int) -> NetworkGraph | None:
        """A graph of a batch, if there is one; give it back after the launch."""
        return self.find(lambda graph: graph.plan is plan and graph.batch == batch)


def empty_like(specs: Any, batch: int, device: CudaDevice) -> dict[str, Tensor]:
    """Memory for every input or output, by name."""
    return {spec.name: device.empty((batch, *spec.shape[1:]), spec.dtype) for spec in specs}


def workspace(plan: LoadedPlan, profile: int, device: CudaDevice) -> Tensor | None:
    """Memory for the intermediate results of a profile, or None if it needs none."""
    size = plan.workspace[profile]
    return device.empty((size,), "uint8") if size else None
