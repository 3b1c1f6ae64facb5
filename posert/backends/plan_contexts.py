"""Execution contexts of a plan: one a stream and profile, taken for a launch and given back; and the launch itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from posert.backends.device import CudaDevice
from posert.backends.plans import LoadedPlan, Vendor, refused

if TYPE_CHECKING:
    from torch import Tensor

_Thing = TypeVar("_Thing")


class Context:
    """A vendor's execution context with its profile set. Whoever has taken it may use it, nobody else.

    Attributes:
        plan: whose it is.
        profile: index of its profile.
        stream: on which it runs; work on another stream must be ordered after it.
        batch: of its latest launch; 0 before the first.
    """

    def __init__(self, plan: LoadedPlan, profile: int, stream: Any, vendor: Vendor, device: CudaDevice, *, fixed: bool) -> None:
        """Create one.

        Args:
            plan: of the network.
            profile: which of its profiles.
            stream: on which it will run; the current one.
            vendor: the package.
            device: the GPU.
            fixed: whether it will only ever see one batch size.

        Raises:
            GpuMemoryError: the GPU has too little memory.
            BackendError: the vendor failed.
        """
        self.plan, self.profile, self.stream, self.batch = plan, profile, stream, 0
        self._vendor, self._device = vendor, device
        self.handle: Any = vendor.create_context(plan.engine, plan.state, fixed=fixed)
        if self.handle is None:
            raise refused(vendor, device, f"make an execution context for network {plan.spec.name!r}")
        self._check(self.handle.set_optimization_profile_async(profile, device.handle(stream)), f"set profile {profile}")

    def launch(self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], workspace: Tensor | None) -> None:
        """Put a run on the context's stream; the host does not wait.

        Args:
            inputs: every input, packed, with the same batch, which the profile takes.
            outputs: written; every output, packed.
            workspace: of as many bytes as the profile needs, or None where it needs none. Nothing else may use it before the
                run is done.

        Raises:
            BackendError: the vendor refused something; the message says what.
        """
        context = self.handle
        for name, tensor in inputs.items():
            shape = tuple(tensor.shape)
            self._check(context.set_input_shape(name, shape), f"set input {name!r} to shape {shape}")
        missing = context.infer_shapes()
        self._check(not missing, f"infer shapes without {missing}")
        for name, tensor in (*inputs.items(), *outputs.items()):
            found = tuple(context.get_tensor_shape(name))
            self._check(found == tuple(tensor.shape), f"give {name!r} the shape {tuple(tensor.shape)}, it has {found}")
            self._check(context.set_tensor_address(name, tensor.data_ptr()), f"set the address of {name!r}")
        if workspace is not None:
            context.set_device_memory(workspace.data_ptr(), workspace.numel())
        self._check(context.execute_async_v3(self._device.handle(self.stream)), "execute")
        self.batch = len(next(iter(inputs.values())))

    def can_be_captured(self) -> bool:
        """Whether the vendor says that launches on the stream can be captured in a graph; where it cannot say, they can."""
        ask = getattr(self.handle, "is_stream_capturable", None)
        return ask is None or bool(ask(self._device.handle(self.stream)))

    def _check(self, done: bool, what: str) -> None:
        if not done:
            raise refused(self._vendor, self._device, f"{what} in network {self.plan.spec.name!r}")


class OwnContexts:
    """Contexts that one graph of a pipeline launches its networks with, in the order of the launches, and nobody else."""

    def __init__(self, vendor: Vendor, device: CudaDevice) -> None:
        self._vendor, self._device = vendor, device
        self._contexts: list[Context] = []
        self._next = 0

    def restart(self) -> None:
        """The work, which makes the same launches each time, begins anew."""
        self._next = 0

    def take(self, plan: LoadedPlan, batch: int) -> Context:
        """The context of the next launch, on the current stream; made if the work is done for the first time.

        Raises:
            BackendError: see `Context`.
        """
        if self._next == len(self._contexts):
            stream = self._device.current()
            self._contexts.append(Context(plan, plan.profile(batch), stream, self._vendor, self._device, fixed=True))
        self._next += 1
        return self._contexts[self._next - 1]


class Idle(Generic[_Thing]):
    """What runs on a device and nobody is using at the moment. Threads may share it."""

    def __init__(self, device: CudaDevice) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._idle: list[_Thing] = []
        self._closed = False

    def find(self, fits: Callable[[_Thing], bool]) -> _Thing | None:
        """Take the first that fits, if there is one; give it back after the launch."""
        with self._lock:
            for index, thing in enumerate(self._idle):
                if fits(thing):
                    return self._idle.pop(index)
        return None

    def give(self, thing: _Thing) -> None:
        """Give something back, which may still be running: whoever takes it next comes after that on the device."""
        with self._lock:
            if not self._closed:
                self._idle.append(thing)
                return
        self._device.synchronize()  # it is dropped now, and must not be running then

    def close(self) -> None:
        """Drop everything, once the device is done with it."""
        with self._lock:
            self._closed = True
        self._device.synchronize()
        self._idle.clear()


class ContextPool(Idle[Context]):
    """Contexts by plan, profile and stream: a launch that follows on the same stream comes after the one before."""

    def __init__(self, vendor: Vendor, device: CudaDevice) -> None:
        super().__init__(device)
        self._vendor = vendor
        self._lent: list[Any] = []

    def take(self, plan: LoadedPlan, batch: int, stream: Any) -> Context:
        """A context for a batch on a stream, which is the current one; give it back after the launch.

        Raises:
            BackendError: see `Context`.
        """
        wanted = (plan, plan.profile(batch), stream)
        idle = self.find(lambda context: (context.plan, context.profile, context.stream) == wanted)
        return idle or Context(*wanted, self._vendor, self._device, fixed=False)

    def take_for_good(self, plan: LoadedPlan, batch: int) -> Context | None:
        """A context whose latest launch was of this batch, for a graph of the caller's, which goes on using it."""
        context = self.find(lambda context: context.plan is plan and context.batch == batch)
        if context is not None:
            self.lend(context)
        return context

    def lend(self, thing: Any) -> None:
        """Keep something that a graph of the caller's uses, until the pool is closed."""
        with self._lock:
            self._lent.append(thing)

    def close(self) -> None:
        """Drop all contexts, once the device is done with them."""
        super().close()
        self._lent.clear()
