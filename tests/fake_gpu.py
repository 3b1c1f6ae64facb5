"""A GPU of CPU tensors whose streams run late: nothing that is put on one happens before somebody waits for it.

So a result that is read without waiting for it, or a buffer that is written while a copy still has to read it, shows: new
memory is full of NaN, and what is put on a stream runs when the host synchronizes, or when another stream has to wait for it.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import _disable_current_modes

from posert.backends.device import _ONE_CAPTURE, CudaDevice

_LOCK = threading.RLock()


class FakeStream:
    """Work in order; `done` counts what has happened, `put` what was asked for."""

    def __init__(self, handle: int) -> None:
        self.handle, self.queue, self.done = handle, [], 0
        self.captured: list[Callable[[], Any]] | None = None

    @property
    def put(self) -> int:
        return self.done + len(self.queue)

    def add(self, work: Callable[[], Any]) -> None:
        with _LOCK:
            (self.queue if self.captured is None else self.captured).append(work)

    def drain(self, until: int | None = None) -> None:
        with _LOCK:
            if until is not None and self.done >= until:
                return
            if self.captured is not None:
                raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
            while self.queue and (until is None or self.done < until):
                work = self.queue.pop(0)
                self.done += 1
                with torch.no_grad(), _disable_current_modes():  # of fake_operations, which would put it on a stream again
                    work()


class _Graph:
    def __init__(self, device: FakeDevice, work: list[Callable[[], Any]]) -> None:
        self.device, self.work, self.replays = device, work, 0

    def replay(self) -> None:
        self.replays += 1
        stream = self.device.current()
        for one in self.work:
            stream.add(one)


class FakeDevice(CudaDevice):
    """Stands in for `CudaDevice`. Attributes say how it is to fail, and what it was asked."""

    def __init__(self, name: str = "cuda:0", capability: str = "8.9") -> None:
        self.index = int(name.partition(":")[2])
        self.name, self.capability, self.product = name, capability, "Pretended GPU"
        self.default = FakeStream(0)
        self.streams: list[FakeStream] = []
        self.memory: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()
        self.storages: dict[int, StorageWeakRef] = {}
        self.graphs: list[_Graph] = []
        self.fail: dict[str, Exception] = {}
        self.allocated_in_capture = 0
        self._local = threading.local()

    def _may(self, call: str) -> None:
        if call in self.fail:
            raise self.fail[call]

    def empty(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        self._may("empty")
        self.allocated_in_capture += self.current().captured is not None
        return self.own(_nothing(shape, dtype))

    def own(self, tensor: Tensor) -> Tensor:
        """Count a tensor of the caller's as memory of the device."""
        storage = tensor.untyped_storage()
        with _LOCK:
            self.memory[tensor.data_ptr()] = tensor
            self.storages[storage.data_ptr()] = StorageWeakRef(storage)
        return tensor

    def owns(self, tensor: Tensor) -> bool:
        """Whether a tensor, or what it is a view of, is memory of the device."""
        known = self.storages.get(tensor.untyped_storage().data_ptr())
        return known is not None and not known.expired()

    def at(self, address: int) -> Tensor:
        """The device's memory at an address."""
        with _LOCK:
            found = self.memory.get(address)
        assert found is not None, f"{address:#x} is no memory of the device"
        return found

    def pinned(self, shape: tuple[int, ...], dtype: str) -> Tensor:
        self._may("pinned")
        return _nothing(shape, dtype)

    def copy(self, target: Tensor, source: Tensor) -> None:
        self._may("copy")
        assert target.shape == source.shape
        assert target.dtype == source.dtype
        self.current().add(partial(target.copy_, source))

    def stack(self, target: Tensor, sources: list[Tensor]) -> None:
        for place, source in zip(target, sources, strict=True):
            self.copy(place, source)

    def finish(self, event: Callable[[], Any]) -> None:
        event()

    def current(self) -> FakeStream:
        return getattr(self._local, "stream", self.default)

    def new_stream(self) -> FakeStream:
        with _LOCK:
            self.streams.append(FakeStream(0x100 + len(self.streams)))
            return self.streams[-1]

    def stream_of(self, handle: int) -> FakeStream:
        return self.default if handle == 0 else self.streams[handle - 0x100]

    def handle(self, stream: FakeStream) -> int:
        return stream.handle

    @contextlib.contextmanager
    def using(self, stream: FakeStream) -> Iterator[None]:
        before = self.current()
        self._local.stream = stream
        try:
            yield
        finally:
            self._local.stream = before

    def wait(self, stream: FakeStream, other: FakeStream) -> None:
        self._may("wait")
        self.wait_for(stream, self.event(other))

    def event(self, stream: FakeStream) -> Callable[[], Any]:
        assert stream.captured is None, "a capture cannot be waited for"
        return partial(stream.drain, stream.put)

    def wait_for(self, stream: FakeStream, event: Callable[[], Any]) -> None:
        stream.add(event)

    def synchronize(self, stream: FakeStream | None = None) -> None:
        self._may("synchronize")
        if stream is not None:
            stream.drain()
            return
        with _ONE_CAPTURE, _LOCK:
            streams = [self.default, *self.streams]
            while any(one.queue for one in streams):  # in turn, so that what is not ordered gets mixed up
                for one in reversed(streams):
                    one.drain(one.done + 1)

    def capturing(self) -> bool:
        return self.current().captured is not None

    def capture(self, stream: FakeStream, work: Callable[[], Any]) -> _Graph:
        self._may("capture")
        with _ONE_CAPTURE:
            stream.drain()
            stream.captured = recorded = []
            try:
                with self.using(stream):
                    work()
            finally:
                stream.captured = None
        self.graphs.append(_Graph(self, recorded))
        return self.graphs[-1]

    def selected(self) -> Any:
        return contextlib.nullcontext()


def _nothing(shape: tuple[int, ...], dtype: str) -> Tensor:
    kind = getattr(torch, dtype)
    with _disable_current_modes():
        return torch.full(shape, float("nan") if kind.is_floating_point else 77, dtype=kind)
