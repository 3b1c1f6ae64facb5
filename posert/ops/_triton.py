"""Running Triton kernels: on CUDA tensors, on NumPy arrays by way of the GPU, and in Triton's interpreter on a CPU.

Nothing here imports triton or torch before a kernel is wanted. Every implementation in a `triton.py` is called with torch tensors
on one device, its last argument (or the last ones, in a tuple) being what it writes.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LEAST_CAPABILITY = 80

Setting = TypeVar("Setting")


@functools.cache
def problem() -> str | None:
    """Why no Triton kernel can run here, with what to do about it; None if one can."""
    try:
        import torch

        importlib.import_module("triton")
    except ImportError as error:
        return f"it needs torch and triton ({error}); pip install posert[gpu]"
    if interpreting():
        return None
    if not torch.cuda.is_available():
        return "torch sees no CUDA device (for tests, TRITON_INTERPRET=1 runs the kernels on a CPU, slowly)"
    major, minor = torch.cuda.get_device_capability()
    if 10 * major + minor < LEAST_CAPABILITY:
        return f"the GPU has compute capability {major}.{minor}, and the kernels are written for 8.0 and later"
    return None


def interpreting() -> bool:
    """Whether Triton runs its kernels in NumPy on the CPU, as the environment variable TRITON_INTERPRET=1 asks."""
    import triton

    return bool(triton.knobs.runtime.interpret)


def place() -> str:
    """What runs the kernels, in words."""
    import torch

    return "Triton's interpreter on the CPU" if interpreting() else torch.cuda.get_device_name()


def capability(device: torch.device) -> int:
    """Compute capability of a device, 90 for 9.0; 0 where kernels are interpreted."""
    import torch

    if device.type != "cuda":
        return 0
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def tuned(table: Mapping[int, Setting], device: torch.device) -> Setting:
    """The entry of a static table for the newest architecture that is not newer than the device; 80 is always there.

    An entry 0 is for the interpreter, which takes longer by the program and not by the pixel; without one it takes that of 80.
    Tables are static because measuring at the first launch would make the host wait, and cannot be done in a graph capture.
    """
    here = capability(device)
    return table[max((known for known in table if known <= here), default=LEAST_CAPABILITY)]


def launch(kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], **options: Any) -> None:
    """Start one kernel on the current stream of its tensors' device; an empty grid starts none.

    Multiplications and additions are not fused, so that results equal those of the other implementations.
    """
    import torch

    if 0 in grid:
        return
    device = next(argument.device for argument in arguments if isinstance(argument, torch.Tensor))
    if device.type != "cuda":
        kernel[grid](*arguments, enable_fp_fusion=False, **options)
        return
    with torch.cuda.device(device):
        kernel[grid](*arguments, enable_fp_fusion=False, **options)


class Implementation:
    """A `triton.py` whose functions also take NumPy arrays, for all arguments or beside tensors."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable[..., None]:
        function = getattr(self._module, name)

        def run(*arguments: Any) -> None:
            device = common_device(arguments)
            if device is None:
                through_device(function, arguments)
            else:
                function(*(table(argument, device) if is_table(argument) else moved(argument, device) for argument in arguments))

        return run


def common_device(arguments: tuple[Any, ...]) -> torch.device | None:
    """The device of the tensors among some arguments, also those in lists; None if there is no tensor.

    Raises:
        InputError: they lie on several devices.
    """
    import torch

    flat = [item for argument in arguments for item in (argument if isinstance(argument, list | tuple) else [argument])]
    devices = {item.device for item in flat if isinstance(item, torch.Tensor)}
    if len(devices) > 1:
        raise InputError(f"tensors must lie on one device, got {' and '.join(sorted(map(str, devices)))}")
    return devices.pop() if devices else None


def moved(argument: Any, device: torch.device | str) -> Any:
    """NumPy arrays, also in lists and tuples, as tensors on a device; anything else as it is."""
    if isinstance(argument, list | tuple):
        return type(argument)(moved(item, device) for item in argument)
    return shared(argument).to(device) if isinstance(argument, np.ndarray) else argument


def is_table(argument: Any) -> bool:
    """Whether an argument is a table of indices, such as the limbs of a skeleton: the same few numbers at every call."""
    return isinstance(argument, np.ndarray) and argument.dtype == np.int32


def table(array: NDArray[np.int32], device: torch.device) -> Tensor:
    """A table on a device, copied there once: a call that a graph captures may not copy from ordinary memory."""
    return _table(array.tobytes(), array.shape, device)


@functools.cache  # without a limit: a captured graph goes on reading its table
def _table(content: bytes, shape: tuple[int, ...], device: torch.device) -> Tensor:
    return shared(np.frombuffer(content, np.int32).reshape(shape)).to(device)


def shared(array: NDArray[Any]) -> Tensor:
    """A tensor over the memory of an array where torch can have one, else over a copy."""
    import torch

    usable = array.flags.writeable and all(stride >= 0 and stride % array.itemsize == 0 for stride in array.strides)
    return torch.from_numpy(array if usable else array.copy())


def through_device(function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Run on NumPy arrays: they are copied to the GPU and the results back; in the interpreter they are used where they lie."""
    *inputs, target = arguments
    device = "cpu" if interpreting() else "cuda"
    outs = target if isinstance(target, tuple) else (target,)
    tensors = tuple(moved(out, device) for out in outs)
    function(*(moved(argument, device) for argument in inputs), tensors if isinstance(target, tuple) else tensors[0])
    for out, result in zip(outs, tensors, strict=True):
        if result.device.type != "cpu" or result.data_ptr() != out.__array_interface__["data"][0]:
            out[...] = result.cpu().numpy()
