"""Running plans: the program that threads share, and each thread's runner, with its stream and pinned memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from posert.backends import Array, LoadRequest
from posert.backends.device import CudaDevice
from posert.backends.pipeline_graphs import PipelineGraphs, Work, graphs_wanted, warn_without_graphs
from posert.backends.plan_contexts import ContextPool, OwnContexts
from posert.backends.plan_graphs import GraphPool, NetworkGraph, empty_like, workspace
from posert.backends.plans import LoadedPlan, Vendor, load_plan
from posert.errors import BackendError, ExecutionError

if TYPE_CHECKING:
    from torch import Tensor


class PlanProgram:
    """Loaded plans, with the contexts and graphs that run them.

    A network whose batch is one of the bundle's own batch sizes is replayed from a CUDA graph, captured when that size is first
    run; any other batch is launched kernel by kernel.

    Attributes:
        summary: the vendor, its version and settings, in a few words.
        tensors: the CUDA device whose tensors it takes, such as ``"cuda:0"``.
        graphs: whether CUDA graphs of networks are used: not once a capture has failed.
        pipelines: CUDA graphs of what surrounds the networks besides.
    """

    def __init__(self, plans: Mapping[str, LoadedPlan], batch_sizes: tuple[int, ...], vendor: Vendor, device: CudaDevice) -> None:
        self.vendor, self.device, self.batch_sizes = vendor, device, batch_sizes
        self.tensors = device.name
        self.graphs = graphs_wanted()
        origins = " and ".join(dict.fromkeys(plan.origin for plan in plans.values()))
        version = f"{vendor.name} {vendor.module.__version__} ({vendor.cuda})"
        self.summary = f"{version}, {device.name} ({device.product}), plans {origins}"
        self.contexts, self.captured = ContextPool(vendor, device), GraphPool(device)
        self.pipelines = PipelineGraphs(device, lambda: self.graphs)
        self._plans = dict(plans)
        self._lock = threading.Lock()

    @classmethod
    def load(cls, request: LoadRequest, vendor: Vendor) -> PlanProgram:
        """Load the plans of a request; see `posert.backends.load`."""
        from posert.backends.plan_needs import open_device

        device = open_device(request.device)
        plans = {network.spec.name: load_plan(network, request, vendor, device) for network in request.networks}
        return cls(plans, request.batch_sizes, vendor, device)

    def runner(self) -> PlanRunner:
        """A runner for the calling thread."""
        return PlanRunner(self)

    def plan(self, network: str) -> LoadedPlan:
        """A network's plan.

        Raises:
            ExecutionError: the engine was closed.
        """
        plan = self._plans.get(network)
        if plan is None:
            raise ExecutionError(f"network {network!r} is not loaded: the engine was closed; open it again")
        return plan

    def give_up_graphs(self, reason: BackendError) -> None:
        """Launch kernel by kernel from now on, and say so once."""
        with self._lock:
            first, self.graphs = self.graphs, False
        if first:
            warn_without_graphs("networks are launched kernel by kernel", "no CUDA graph", reason)

    def close(self) -> None:
        """Give the plans back, once the device is done with them; keep on disk what makes the next start faster."""
        with self._lock:
            plans, self._plans = list(self._plans.values()), {}
        with self.device.working("closing an engine"):
            self.pipelines.close()
            self.captured.close()
            self.contexts.close()
            for plan in plans:
                self.vendor.keep(plan.state)


class PlanRunner:
    """Runs plans for one thread."""

    def __init__(self, program: PlanProgram) -> None:
        """Use `PlanProgram.runner`."""
        self._program, self._device = program, program.device
        self._stream = program.device.new_stream()
        self._pinned: dict[tuple[str, str], Tensor] = {}
        self._own: OwnContexts | None = None

    def run(self, network: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a network on arrays, by way of pinned memory; see `posert.backends.Runner`."""
        plan, device = self._program.plan(network), self._device
        with device.working(f"network {network!r}"), self._finished(), device.using(self._stream):
            given = empty_like(plan.spec.inputs, len(next(iter(inputs.values()))), device)
            for name, array in inputs.items():
                host = self._host(network, name, given[name])
                host.numpy()[...] = array
                device.copy(given[name], host)
            outputs = self._run(plan, given)
            hosts = {name: self._host(network, name, tensor) for name, tensor in outputs.items()}
            for name, tensor in outputs.items():
                device.copy(hosts[name], tensor)
            device.synchronize(self._stream)
            return {name: host.numpy().copy() for name, host in hosts.items()}

    def run_tensors(self, network: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run a network on tensors where they lie; see `posert.backends.TensorRunner`."""
        plan, device = self._program.plan(network), self._device
        with device.working(f"network {network!r}"):
            if self._own is not None:
                return self._launch_own(plan, inputs, self._own)
            return self._captured_by_caller(plan, inputs) if device.capturing() else self._run(plan, inputs)

    def dedicated(self, work: Work) -> tuple[Work, Any]:
        """The work with contexts of its own, and those; see `posert.backends.TensorRunner`."""
        own = OwnContexts(self._program.vendor, self._device)

        def with_own(inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            own.restart()
            self._own = own
            try:
                return work(inputs)
            finally:
                self._own = None

        return with_own, own

    def _launch_own(self, plan: LoadedPlan, inputs: Mapping[str, Tensor], own: OwnContexts) -> dict[str, Tensor]:
        """Run kernel by kernel on the current stream, for the warm-ups of a pipeline's graph and for its capture."""
        device, program, batch = self._device, self._program, len(next(iter(inputs.values())))
        context = own.take(plan, batch)
        outputs, first = empty_like(plan.spec.outputs, batch, device), not context.batch
        context.launch(inputs, outputs, workspace(plan, context.profile, device))
        if first:
            program.vendor.keep(plan.state)
            if not context.can_be_captured():
                raise ExecutionError(f"{program.vendor.name} says that network {plan.spec.name!r} cannot be captured")
        return outputs

    def _run(self, plan: LoadedPlan, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run on the current stream: from a graph, if the batch has one."""
        batch = len(next(iter(inputs.values())))
        graph = self._graph(plan, batch)
        if graph is None:
            return self._launch(plan, batch, inputs)
        with self._given_back(self._program.captured, graph):
            return graph.run(inputs)

    def _graph(self, plan: LoadedPlan, batch: int) -> NetworkGraph | None:
        """A graph of the batch, captured now if there is none; None if there is to be none. To be given back."""
        program = self._program
        if not program.graphs or batch not in program.batch_sizes:
            return None
        idle = program.captured.take(plan, batch)
        if idle is not None:
            return idle
        try:
            with self._device.working(f"capturing network {plan.spec.name!r}"):
                graph = NetworkGraph(plan, batch, self._stream, program.vendor, self._device)
                program.vendor.keep(plan.state)
                return graph
        except BackendError as error:
            program.give_up_graphs(error)
            return None

    def _launch(self, plan: LoadedPlan, batch: int, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run kernel by kernel. TensorRT makes the default stream wait for the whole device, so the work goes around it."""
        device, current = self._device, self._device.current()
        around = device.handle(current) == 0
        stream = self._stream if around else current
        outputs = empty_like(plan.spec.outputs, batch, device)
        if around:
            device.wait(stream, current)
        with device.using(stream):
            context = self._program.contexts.take(plan, batch, stream)
            first = not context.batch
            with self._given_back(self._program.contexts, context):
                context.launch(inputs, outputs, workspace(plan, context.profile, device))
        if around:
            device.wait(current, stream)
        if first:
            self._program.vendor.keep(plan.state)
        return outputs

    def _captured_by_caller(self, plan: LoadedPlan, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Put a launch into the caller's own graph, with a context that nobody else will use again."""
        device, batch = self._device, len(next(iter(inputs.values())))
        graph = self._program.captured.take(plan, batch)
        if graph is not None:
            self._program.contexts.lend(graph)
        context = self._program.contexts.take_for_good(plan, batch) if graph is None else graph.context
        if context is None:
            raise ExecutionError(
                f"a CUDA graph is being captured, and network {plan.spec.name!r} has not run with a batch of {batch} yet, which "
                f"makes what it needs: run it once before the capture"
            )
        context.stream = device.current()
        outputs = empty_like(plan.spec.outputs, batch, device)
        context.launch(inputs, outputs, workspace(plan, context.profile, device))
        return outputs

    def _host(self, network: str, name: str, like: Tensor) -> Tensor:
        """Pinned memory for an input or output, kept for the next run."""
        key, shape = (network, name), tuple(like.shape)
        if key not in self._pinned or len(self._pinned[key]) < shape[0]:
            self._pinned[key] = self._device.pinned(shape, str(like.dtype).removeprefix("torch."))
        return self._pinned[key][: shape[0]]

    @contextlib.contextmanager
    def _finished(self) -> Iterator[None]:
        """Let nothing read or write the pinned memory any more when an error leaves."""
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                self._device.synchronize(self._stream)
            raise

    @contextlib.contextmanager
    def _given_back(self, pool: Any, thing: Any) -> Iterator[None]:
        """Give a context or graph back after its launch.

        After an error it is dropped, since nobody knows what state it is in, once nothing of it runs any more.
        """
        try:
            yield
        except BaseException:
            with contextlib.suppress(Exception):
                self._device.synchronize()
            raise
        pool.give(thing)
