"""`CudaDevice`: what running networks on a GPU asks of CUDA, all of it through torch: memory, streams, graphs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from posert.errors import ExecutionError, GpuMemoryError, MissingDependency

if TYPE_CHECKING:
    from torch import Tensor

_ONE_CAPTURE = threading.Lock()
"""Captures take turns, with each other and with whoever waits for the whole device: CUDA refuses that while a stream is captured,
and each capture begins with it."""


class Replay(Protocol):
    """A captured graph."""

    def replay(self) -> None:
        """Launch all of it on the current stream."""
        ...


class CudaDevice:
    """A GPU. torch's caching allocator gives the memory, so that networks and the caller share one pool.

    Streams are torch's objects, which are equal if they are the same stream.

    Attributes:
        index: as torch and the driver count.
        name: as in ``device=``, such as ``"cuda:0"``.
        capability: compute capability, such as ``"8.9"``.
        product: the GPU's name, such as ``"NVIDIA L4"``.
    """

    def __init__(self, index: int) -> None:
        """Use a GPU that is there, see `device_index`."""
        import torch

        self.index, self.name = index, f"cuda:{index}"
        self.capability = ".".join(map(str, torch.cuda.get_device_capability(index)))
        self.product = torch.cuda.get_device_name(index)
        self._device = torch.device("cuda", index)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        """Memory on the device, taken and given back in the order of the current stream."""
        import torch

        return torch.empty(shape, dtype=getattr(torch, dtype), device=self._device)

    def pinned(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        """Memory of the host that the device can copy from and to by itself."""
        import torch

        return torch.empty(shape, dtype=getattr(torch, dtype), pin_memory=True)

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Copy on the current stream; the host does not wait."""
        target.copy_(source, non_blocking=True)

    def stack(self, target: Tensor, sources: list[Tensor]) -> None:
        """Copy tensors of one shape, one behind the other, on the current stream; the host does not wait."""
        import torch

        torch.stack(sources, out=target)

    def current(self) -> Any:
        """The current stream."""
        import torch

        return torch.cuda.current_stream(self._device)

    def new_stream(self) -> Any:
        """Another stream than the default one."""
        import torch

        return torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def handle(self, stream: Any) -> int:
        """A stream's address, as vendors take it; 0 is the default stream."""
        return int(stream.cuda_stream)

    def using(self, stream: Any) -> AbstractContextManager[Any]:
        """A context in which a stream is the current one."""
        import torch

        context: AbstractContextManager[Any] = torch.cuda.stream(stream)
        return context

    def wait(self, stream: Any, other: Any) -> None:
        """Let a stream wait for what has been put on another one so far."""
        stream.wait_stream(other)

    def event(self, stream: Any) -> Any:
        """A mark behind what has been put on a stream so far."""
        return stream.record_event()

    def wait_for(self, stream: Any, event: Any) -> None:
        """Let a stream wait for a mark."""
        stream.wait_event(event)

    def finish(self, event: Any) -> None:
        """Let the host wait for a mark."""
        event.synchronize()

    def synchronize(self, stream: Any | None = None) -> None:
        """Let the host wait for a stream, or for all of the device's work, which cannot be while a stream is captured."""
        import torch

        if stream is not None:
            stream.synchronize()
            return
        with _ONE_CAPTURE:
            torch.cuda.synchronize(self._device)

    def selected(self) -> AbstractContextManager[Any]:
        """A context in which this is torch's current device."""
        import torch

        return torch.cuda.device(self._device)

    def capturing(self) -> bool:
        """Whether the current stream is being captured in a graph."""
        import torch

        with self.selected():
            return bool(torch.cuda.is_current_stream_capturing())

    def capture(self, stream: Any, work: Callable[[], None]) -> Replay:
        """A graph of what `work` puts on a stream."""
        import torch

        graph = torch.cuda.CUDAGraph()
        capture = torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local")
        with _ONE_CAPTURE, self.selected(), capture:
            work()
        return graph

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """Make this the current device.

        Args:
            what: is done in the context, for the error.

        Raises:
            GpuMemoryError: torch found too little memory.
            ExecutionError: torch or CUDA failed.
        """
        import torch

        try:
            with self.selected():
                yield
        except torch.OutOfMemoryError as error:
            raise GpuMemoryError(out_of_memory(self.name, what, str(error))) from error
        except RuntimeError as error:  # torch's, and what CUDA reports only now
            raise ExecutionError(f"{self.name} failed in {what}: {error}") from error


def out_of_memory(device: str, what: str, said: str) -> str:
    """What to say when a GPU has too little memory.

    Args:
        device: such as ``"cuda:0"``.
        what: it was needed for.
        said: the words of torch or of the vendor.
    """
    return f"{device} has too little memory left for {what}: free some, or run smaller batches; {said}"


def no_cuda() -> str:
    """Why torch sees no CUDA device, and what to do about it."""
    import torch

    from posert.nvidia import ask_driver

    gpu = ask_driver()
    if gpu["missing"] is not None:
        return f"{gpu['missing']}; use device='cpu' where there is none"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA; install the one for CUDA: see https://pytorch.org/get-started"
    return (
        f"torch {torch.__version__} for CUDA {torch.version.cuda} sees no device, and the driver runs CUDA {gpu['cuda']}: "
        f"update the driver, or install a torch for its CUDA version"
    )


def device_index(device: str) -> int:
    """The index of a CUDA device that torch sees: ``"cuda"`` is the first.

    Raises:
        MissingDependency: there are fewer.
    """
    import torch

    index, count = int(device.partition(":")[2] or 0), torch.cuda.device_count()
    if index >= count:
        raise MissingDependency(f"there is no device {device}: torch sees {count}, cuda:0 to cuda:{count - 1}")
    return index
