"""torch's operations and posert's kernels on the played GPU of fake_gpu: CPU tensors whose values come when their stream runs.

Between `installed` and the end of the test, a CPU tensor is a CUDA tensor. Every operation of torch on tensors is put on the
device's current stream: its result is NaN until then, and a capture records it with the memory that it reads and writes. In the
place of a Triton kernel the native one is put there. What a capture may not hold, or what would make the host wait in it, raises.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from fake_gpu import FakeDevice
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes, _get_current_dispatch_mode
from torch.utils._pytree import tree_leaves, tree_map

from posert.ops import _dispatch, _tensors, _triton

_KDL_CPU = 1  # DLPack's number for the CPU
_MEMORY = ("aten::empty", "aten::new_empty")  # give memory, and no values
_REFUSED = "CUDA error: operation not permitted when stream is capturing"


@contextlib.contextmanager
def installed(device: FakeDevice, monkeypatch: Any) -> Iterator[None]:
    """Let CPU tensors be those of the played GPU."""
    monkeypatch.setattr(_tensors, "CUDA_DEVICES", (_KDL_CPU,))
    monkeypatch.setattr(_triton, "problem", lambda: None)
    real = _dispatch.find_implementation
    monkeypatch.setattr(
        _dispatch,
        "find_implementation",
        lambda name, backend: _kernels(name, device) if backend == "triton" else real(name, backend),
    )
    monkeypatch.setattr("posert.warmup.placed", lambda array, place: torch.from_numpy(array))
    from_numpy = torch.from_numpy

    def copied(array: np.ndarray) -> Tensor:
        if _get_current_dispatch_mode() is None:
            return from_numpy(array)
        if device.capturing():
            raise RuntimeError(f"{_REFUSED}: a copy from the host")
        return device.own(from_numpy(array.copy()))

    monkeypatch.setattr(torch, "from_numpy", copied)
    with playing(device):
        yield


def playing(device: FakeDevice) -> contextlib.ExitStack:
    """A context in which the calling thread's operations are the device's; the thread of `installed` is in one."""
    stack = contextlib.ExitStack()
    stack.enter_context(_Late(device))
    stack.enter_context(_Waiting(device))
    return stack


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """A context in which tensors are those of the CPU, as they are to everybody else."""
    with _disable_current_modes(), torch._C.DisableTorchFunction():
        yield


class _Waiting(TorchFunctionMode):
    """What brings values to the host waits for the stream."""

    def __init__(self, device: FakeDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (Tensor.cpu, Tensor.tolist, Tensor.item) and self.device.owns(args[0]):
            self.device.synchronize(self.device.current())
        return func(*args, **(kwargs or {}))


class _Late(TorchDispatchMode):
    """Operations happen when their stream does; where results lie and how large they are is known at once."""

    def __init__(self, device: FakeDevice) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func._schema.name
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        if not any(map(self.device.owns, given)) and not name.startswith(_MEMORY):
            return func(*args, **kwargs)  # of the host: shapes, and what follows from them
        if func.is_view or name.startswith(_MEMORY) or name in ("aten::detach", "aten::alias"):
            return tree_map(self._own, func(*args, **kwargs))
        if name == "aten::_local_scalar_dense":
            self.device.synchronize(self.device.current())
            return func(*args, **kwargs)
        if func._schema.is_mutable:
            self._put(partial(func, *args, **kwargs))
            return kwargs.get("out", args[0])
        expected = func(*tree_map(_without_values, args), **tree_map(_without_values, {**kwargs, **_on("meta", kwargs)}))
        if isinstance(expected, (bool, int)):  # what is known without values
            return expected
        found = tree_map(lambda one: self._own(_nothing_like(one)) if isinstance(one, Tensor) else one, expected)
        self._put(lambda: _store(found, func(*args, **kwargs)))
        return found

    def _put(self, work: Callable[[], Any]) -> None:
        self.device.current().add(work)

    def _own(self, value: Any) -> Any:
        return self.device.own(value) if isinstance(value, Tensor) else value


def _on(place: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The device of a new tensor, where an operation makes one."""
    return {"device": torch.device(place)} if "device" in kwargs else {}


def _without_values(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")


def _nothing_like(value: Tensor) -> Tensor:
    result = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
    return result.fill_(float("nan") if value.dtype.is_floating_point else 77 if value.dtype != torch.bool else 1)


def _store(found: Any, values: Any) -> None:
    pairs = zip(found, values, strict=True) if isinstance(found, (tuple, list)) else [(found, values)]
    for one, value in pairs:
        one.copy_(value)


def _kernels(name: str, device: FakeDevice) -> Any:
    """What holds an operation's kernel, which is launched on the current stream."""
    native = importlib.import_module(f"posert.ops.{_dispatch.OPERATIONS[name]}.native")

    def launch(function: Callable[..., None], *arguments: Any) -> None:
        def given(value: Any) -> Any:
            if isinstance(value, (tuple, list)):
                return type(value)(map(given, value))
            if isinstance(value, np.ndarray) and value.dtype != np.int32 and device.capturing():  # tables lie on the device
                raise RuntimeError(f"{_REFUSED}: {name} is given an array of the host")
            return value.numpy() if isinstance(value, Tensor) else value

        with _disable_current_modes():
            ready = [given(value) for value in arguments]
        device.current().add(lambda: function(*ready))

    return SimpleNamespace(**{name: partial(launch, getattr(native, name))})
