"""CUDA tensors as arguments: what the checks need to know of them. torch is imported when the first one arrives.

The values of a tensor are never looked at, because that would make the host wait for the GPU: only dtypes, shapes and memory
are checked. What a kernel does with a value that NumPy callers are refused for is said by each operation.
"""

from __future__ import annotations

import math
import types
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from posert.errors import InputError
from posert.ops import _memory

if TYPE_CHECKING:
    from torch import Tensor

# DLPack's numbers for memory that a CUDA kernel can use in place: device memory and managed memory.
CUDA_DEVICES = (2, 13)


def is_tensor(value: Any) -> bool:
    """Whether a value lies in the memory of a CUDA device: a torch tensor, or anything else that speaks DLPack."""
    if isinstance(value, np.ndarray):
        return False
    device = getattr(value, "__dlpack_device__", None)
    return device is not None and device()[0] in CUDA_DEVICES


def tensor(value: Any) -> Tensor:
    """A value for which `is_tensor` holds as a torch tensor, which shares its memory."""
    import torch

    result: Tensor = value if isinstance(value, torch.Tensor) else torch.utils.dlpack.from_dlpack(value)
    return result.detach()


def dtype_name(value: Tensor) -> str:
    """A dtype as NumPy writes it, such as float32."""
    return str(value.dtype).removeprefix("torch.")


def of_dtype(value: Any, dtype: str) -> Tensor | None:
    """A tensor of a dtype (float16 passes for float32), or None if its dtype is another."""
    given = tensor(value)
    return given if dtype_name(given) in half_too(dtype) else None


def half_too(dtype: str) -> tuple[str, ...]:
    """The dtypes that the kernels read and write where `dtype` is asked for."""
    return (dtype, "float16") if dtype == "float32" else (dtype,)


def numbers(value: Any, name: str, shape_text: str) -> Tensor:
    """Real numbers of any dtype as a float32 tensor in C order."""
    import torch

    given = tensor(value)
    if given.dtype.is_complex or given.dtype == torch.bool:
        raise InputError(f"{name} must be real numbers of shape {shape_text}, got dtype {dtype_name(given)}")
    return given.to(torch.float32).contiguous()


def integers(value: Any) -> Tensor | None:
    """Integers of any dtype as an int64 tensor in C order, or None if they are no integers."""
    import torch

    given = tensor(value)
    if given.dtype.is_floating_point or given.dtype.is_complex or given.dtype == torch.bool:
        return None
    return given.to(torch.int64).contiguous()


def output(out: Any, shape: tuple[int, ...], dtype: DTypeLike, inputs: tuple[Any, ...]) -> Tensor:
    """`posert.ops._check.output` where an input is a tensor: `out` lies beside it, and float16 does for float32."""
    import torch

    device = next(given.device for given in inputs if isinstance(given, torch.Tensor))
    name = np.dtype(dtype).name
    if out is None:
        return torch.empty(shape, dtype=getattr(torch, name), device=device)
    names = half_too(name)
    wanted = f"a {' or '.join(names)} tensor of shape {shape} on {device}, where the inputs are"
    if not is_tensor(out):
        raise InputError(f"out must be {wanted}, got {type(out).__name__}")
    given = tensor(out)
    if dtype_name(given) not in names or given.shape != shape or given.device != device:
        raise InputError(f"out must be {wanted}, got {dtype_name(given)} of shape {tuple(given.shape)} on {given.device}")
    if not packed(given, len(shape) - 1) or (shape[0] > 1 and given.stride(0) < math.prod(shape[1:])):
        raise InputError(
            f"out must be packed in all dimensions but the first, as buffer[:, :3] of a contiguous buffer is; "
            f"got strides {given.stride()} for shape {shape}"
        )
    if any(_memory.overlap(addresses(given), addresses(other)) for other in inputs if isinstance(other, torch.Tensor)):
        raise InputError("out shares memory with an input that is read while out is written; pass another tensor")
    return given


def packed(array: Tensor, dims: int) -> bool:
    """Whether the last `dims` dimensions of a tensor lie in memory as C order without gaps."""
    return array.numel() == 0 or array[(0,) * (array.ndim - dims)].is_contiguous()


def addresses(array: Tensor) -> NDArray[np.uint8]:
    """An array that lies where a tensor lies: to compare addresses; its values must not be read."""
    size = array.element_size()
    place = types.SimpleNamespace(
        __array_interface__={
            "version": 3,
            "data": (array.data_ptr(), False),
            "shape": (*array.shape, size),
            "strides": (*(step * size for step in array.stride()), 1),
            "typestr": "|u1",
        }
    )
    return np.asarray(place)
