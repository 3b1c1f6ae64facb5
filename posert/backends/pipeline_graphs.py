"""CUDA graphs of whole pipelines: kernels and networks for inputs of fixed shapes, captured once, replayed with other inputs."""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from posert.backends.device import CudaDevice, Replay
from posert.backends.plan_contexts import Idle
from posert.errors import PosertError

if TYPE_CHECKING:
    from torch import Tensor

    from posert.backends import TensorRunner

GRAPHS = "POSERT_CUDA_GRAPHS"
"""Environment variable: 0 launches networks and pipelines one kernel after the other, without CUDA graphs."""

KEPT = 8
"""Graphs of pipelines that an engine keeps, and shapes that it remembers to have seen once. Each graph has memory of its own for
its inputs and all that lies between them and its outputs."""

_WARM_UPS = 2  # the first launches allocate, compile and measure, which a capture may not

Work = Callable[[Mapping[str, "Tensor"]], Mapping[str, "Tensor"]]
"""What is captured: from tensors by name, which lie still, to results by name. It puts its work on the current stream, does the
same work at every call, copies nothing from the host, and does not make the host wait."""


def graphs_wanted() -> bool:
    """Whether the environment leaves CUDA graphs on."""
    return os.environ.get(GRAPHS, "1") != "0"


def warn_without_graphs(instead: str, missing: str, reason: PosertError) -> None:
    """Say that something is slower from now on, because CUDA graphs of it cannot be captured, and why."""
    warnings.warn(
        f"{instead}, which is slower, because {missing} can be captured: {reason}; {GRAPHS}=0 asks for that without a warning",
        RuntimeWarning,
        stacklevel=3,
    )


class PipelineGraph:
    """Captured work, and the memory that it reads and writes. Whoever has taken it may use it, nobody else.

    Attributes:
        key: what it does, with what shapes.
    """

    def __init__(self, key: Hashable, work: Work, held: Any, inputs: Mapping[str, Any], stream: Any, device: CudaDevice) -> None:
        """Capture.

        Args:
            key: what it does, with what shapes.
            work: what is captured.
            held: what it runs with, kept as long as the graph.
            inputs: as of `run`, for the warm-ups: kernels may go wrong with numbers that are none.
            stream: for warm-ups and capture; not the default one, and nothing else may be put on it meanwhile.
            device: the GPU.

        Raises:
            PosertError: it cannot be captured.
        """
        self.key = key
        self._device, self._held = device, held
        device.wait(stream, device.current())  # the inputs are ready there
        with device.using(stream):
            self._inputs = {name: device.empty(shape, dtype) for name, shape, dtype in described(inputs)}
            self._fill(inputs)
            try:
                for _ in range(_WARM_UPS):
                    work(self._inputs)
                self._graph, self._outputs = self._capture(stream, work)
            except BaseException:
                with contextlib.suppress(Exception):
                    device.synchronize(stream)  # what it used is dropped now, and must not be in use then
                raise
            # A mark, and not the stream, is what later runs wait for: the stream may be in another capture by then.
            self._done = device.event(stream)

    def _capture(self, stream: Any, work: Work) -> tuple[Replay, dict[str, Tensor]]:
        outputs: dict[str, Tensor] = {}
        graph = self._device.capture(stream, lambda: outputs.update(work(self._inputs)))
        return graph, outputs

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
        """Replay on the current stream; see `PipelineGraphs.run`."""
        device, stream = self._device, self._device.current()
        device.wait_for(stream, self._done)
        self._fill(inputs)
        self._graph.replay()
        found = {}
        for name, tensor in self._outputs.items():
            given = None if outputs is None else outputs[name]
            found[name] = device.empty(tuple(tensor.shape), _dtype(tensor)) if given is None else given
            device.copy(found[name], tensor)
        self._done = device.event(stream)
        return found

    def finish(self) -> None:
        """Let the host wait for the latest run, so that the graph can be dropped."""
        self._device.finish(self._done)

    def _fill(self, inputs: Mapping[str, Any]) -> None:
        """Copy inputs, from wherever they lie, to where the captured work reads them; the host does not wait."""
        device = self._device
        for name, value in inputs.items():
            target = self._inputs[name]
            if isinstance(value, np.ndarray):
                host = device.pinned(value.shape, value.dtype.name)
                host.numpy()[...] = value
                device.copy(target, host)
            elif isinstance(value, list):
                device.stack(target, value)
            else:
                device.copy(target, value)


class PipelineGraphs(Idle[PipelineGraph]):
    """An engine's graphs of pipelines by what they do and their shapes, at most `KEPT` of which nobody is using.

    There are as many of one key as were used at one moment. Each waits for its own last run. Threads may share it.

    Attributes:
        enabled: whether graphs are used: not once a capture has failed.
    """

    def __init__(self, device: CudaDevice, allowed: Callable[[], bool] = lambda: True) -> None:
        """Make room for graphs.

        Args:
            device: the GPU.
            allowed: whether graphs may be captured now: where single networks failed to be, pipelines are not tried.
        """
        super().__init__(device)
        self.enabled = graphs_wanted()
        self._allowed = allowed
        self._seen: deque[Hashable] = deque(maxlen=KEPT)
        self._local = threading.local()

    def run(
        self,
        name: Hashable,
        inputs: Mapping[str, Any],
        runner: TensorRunner,
        work: Work,
        outputs: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor] | None:
        """Replay a pipeline on the current stream. Its graph is captured when shapes come for the second time.

        So images of ever other sizes are not captured at all: a capture takes longer than a run without it.

        Args:
            name: all but the shapes of the inputs that makes a difference to the work.
            inputs: by name: small arrays, which are copied to the device; tensors; or lists of tensors of one shape, which
                become one, (N, ...). The host does not wait for any.
            runner: runs the networks of the work.
            work: what the graph does, called where it is captured.
            outputs: where results go, by name; None = into fresh memory.

        Returns:
            The results by name, ready on the current stream; or None if nothing was run, and the caller is to do the work
            otherwise.

        Raises:
            GpuMemoryError, ExecutionError: torch or CUDA failed.
        """
        if self._closed or not self.enabled or not self._allowed() or self._device.capturing():
            return None
        with self._device.working("a pipeline's CUDA graph"):
            graph = self._graph((name, described(inputs)), inputs, runner, work)
            if graph is None:
                return None
            try:
                found = graph.run(inputs, outputs)
            except BaseException:
                with contextlib.suppress(Exception):
                    self._device.synchronize()  # nobody knows what state it is in: it is dropped now
                raise
            self.give(graph)
            return found

    def close(self) -> None:
        """Drop everything, once the device is done with it.

        Raises:
            ExecutionError: CUDA failed.
        """
        with self._device.working("closing an engine"):
            super().close()

    def _graph(self, key: Hashable, inputs: Mapping[str, Any], runner: TensorRunner, work: Work) -> PipelineGraph | None:
        """A graph, captured now if there is none; None if there is to be none. To be given back."""
        idle = self.find(lambda graph: graph.key == key)
        if idle is not None:
            return idle
        with self._lock:
            if key not in self._seen:
                self._seen.append(key)
                return None
        self._make_room()
        if not hasattr(self._local, "stream"):
            self._local.stream = self._device.new_stream()
        try:
            with self._device.working("capturing a pipeline"):
                return PipelineGraph(key, *runner.dedicated(work), inputs, self._local.stream, self._device)
        except PosertError as error:
            self._give_up(error)
            return None

    def _make_room(self) -> None:
        """Drop the graphs that were used longest ago, once the device is done with them, so that one more may come."""
        with self._lock:
            dropped, self._idle[:] = self._idle[: 1 - KEPT], self._idle[1 - KEPT :]
            for graph in dropped:
                if graph.key in self._seen:
                    self._seen.remove(graph.key)
        for graph in dropped:
            graph.finish()

    def _give_up(self, reason: PosertError) -> None:
        """Run pipelines step by step from now on, and say so once."""
        with self._lock:
            first, self.enabled = self.enabled, False
        if first:
            warn_without_graphs("pipelines are launched step by step", "no CUDA graph of a whole one", reason)


def described(inputs: Mapping[str, Any]) -> tuple[tuple[str, tuple[int, ...], str], ...]:
    """Name, shape and dtype of inputs; see `PipelineGraphs.run`."""
    result = []
    for name, value in inputs.items():
        one = value[0] if isinstance(value, list) else value
        shape = (len(value), *one.shape) if isinstance(value, list) else tuple(one.shape)
        result.append((name, shape, _dtype(one)))
    return tuple(result)


def _dtype(value: Any) -> str:
    """The dtype of an array or tensor as NumPy writes it."""
    return str(value.dtype).removeprefix("torch.")
