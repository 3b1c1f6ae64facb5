"""Checks of arguments that several operations share: each returns the value as implementations take it, or raises InputError."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from posert.errors import InputError
from posert.ops import _memory, _tensors

MAX_SIDE = 1 << 20
MAX_RADIUS = 4096
MAX_PIXELS = 1 << 31


def numbers(value: ArrayLike, name: str, shape_text: str) -> NDArray[np.float32]:
    """Real numbers of any dtype as float32; a finite value that float32 cannot hold becomes infinite. A tensor stays one."""
    if _tensors.is_tensor(value):
        return _tensors.numbers(value, name, shape_text)  # type: ignore[return-value]
    array = as_array(value, name, f"numbers of shape {shape_text}")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{name} must be real numbers of shape {shape_text}, got dtype {array.dtype}")
    with np.errstate(over="ignore"):
        return dense(array, np.float32)


def as_array(value: ArrayLike, name: str, wanted: str) -> NDArray[Any]:
    """What NumPy makes of a value; it makes nothing of lists of several lengths."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be {wanted}: {error}") from error


def dense(array: NDArray[Any], dtype: DTypeLike | None = None) -> NDArray[Any]:
    """The array in C order, without gaps and aligned, as the native kernels read it: itself where it is so, else a copy."""
    return np.require(array, dtype, ["C", "A", "E"])


def array(
    value: Any, name: str, dtype: DTypeLike, shape: tuple[int | None, ...], shape_text: str, packed_dims: int
) -> NDArray[Any]:
    """An array that is taken as it is, because its values are many: of this dtype and shape, where None stands for any length.

    Its last `packed_dims` dimensions are packed in the result, which is a copy only where they were not. A tensor stays one,
    and may hold float16 where float32 is asked for.
    """
    result: Any = None
    if isinstance(value, np.ndarray):
        result = value if value.dtype == dtype else None
    elif _tensors.is_tensor(value):
        result = _tensors.of_dtype(value, np.dtype(dtype).name)
    fits = result is not None and result.ndim == len(shape)
    if not fits or any(want is not None and have != want for have, want in zip(result.shape, shape, strict=True)):
        given = f"{value.dtype} of shape {tuple(value.shape)}" if hasattr(value, "dtype") else type(value).__name__
        raise InputError(f"{name} must be {np.dtype(dtype)} of shape {shape_text}, got {given}")
    if isinstance(result, np.ndarray):
        return result if _memory.packed(result, packed_dims) else dense(result)
    tensor: Any = result if _tensors.packed(result, packed_dims) else result.contiguous()
    return tensor  # type: ignore[no-any-return]


def text(value: Any, name: str, choices: Sequence[str]) -> str:
    """One of several words."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"unknown {name} {value!r}; use one of {', '.join(choices)}")
    return value


def keypoints(value: ArrayLike, joints: int | None = None, name: str = "keypoints") -> NDArray[np.float32]:
    """Keypoints as C-contiguous float32 (N, K, 3); NaN or a score <= 0 means missing, an infinite value is refused."""
    wanted = f"(N, {'K' if joints is None else joints}, 3)"
    array = numbers(value, name, wanted)
    if array.ndim != 3 or array.shape[2] != 3 or (joints is not None and array.shape[1] != joints):
        raise InputError(f"{name} must have shape {wanted}: x, y, score of each joint of each person; got {array.shape}")
    if isinstance(array, np.ndarray) and np.isinf(array).any():
        raise InputError(f"{name} hold an infinite value (or one beyond float32); a missing joint is (NaN, NaN, 0)")
    return array


def people(value: ArrayLike, wanted: str, name: str) -> NDArray[np.float32]:
    """x, y, score in four dimensions as C-contiguous float32; NaN or a score <= 0 means missing, an infinite value is refused."""
    array = numbers(value, name, wanted)
    if array.ndim != 4 or array.shape[3] != 3:
        raise InputError(f"{name} must have shape {wanted}, the last dimension x, y, score; got {tuple(array.shape)}")
    if isinstance(array, np.ndarray) and np.isinf(array).any():
        raise InputError(f"{name} hold an infinite value (or one beyond float32); a missing one is (NaN, NaN, 0)")
    return array


def limbs(value: Any, joints: int, hint: str) -> NDArray[np.int32]:
    """Pairs of joint indices as C-contiguous int32 (L, 2); `hint` says what the default pairs need."""
    pairs = as_array(value, "limbs", "pairs of joint indices")
    if pairs.size == 0:
        pairs = np.zeros((0, 2), np.int32)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise InputError(f"limbs must be pairs of joint indices, got {pairs.dtype} of shape {pairs.shape}")
    if pairs.size and not (pairs.min() >= 0 and pairs.max() < joints):
        raise InputError(f"limbs name the joints {pairs.min()}..{pairs.max()}, but there are {joints}; {hint}")
    return dense(pairs, np.int32)


def present(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which keypoints of (..., 3) are there: finite and of positive score."""
    result: NDArray[np.bool_] = (points[..., 2] > 0) & ~np.isnan(points[..., :2]).any(-1)
    return result


def integer(value: Any, name: str, low: int, high: int) -> int:
    """An integer in [low, high]; bool and float are refused."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        result = operator.index(value)
    except TypeError:
        raise InputError(f"{name} must be an integer in {low}..{high}, got {value!r}") from None
    if not low <= result <= high:
        raise InputError(f"{name} must be an integer in {low}..{high}, got {result}")
    return result


def odd(value: Any, name: str) -> int:
    """A positive odd integer."""
    result = integer(value, name, 1, 2 * MAX_SIDE - 1)
    if result % 2 == 0:
        raise InputError(f"{name} must be odd so that the window has a centre, got {result}; use {result - 1} or {result + 1}")
    return result


def real(value: Any, name: str, *, positive: bool = False) -> float:
    """A finite number, positive where asked."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a number, got {value!r}") from None
    limits = np.finfo(np.float32)
    if not abs(result) <= limits.max or (positive and result < limits.tiny):
        raise InputError(f"{name} must be a finite {'positive ' if positive else ''}number that float32 can hold, got {result}")
    return result


def size(value: Any, name: str = "size") -> tuple[int, int]:
    """(height, width), both at least 1."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray | memoryview) or len(value) != 2:
        raise InputError(f"{name} must be (height, width), got {value!r}")
    height, width = (
        integer(side, f"{part} of {name}", 1, MAX_SIDE) for side, part in zip(value, ("height", "width"), strict=True)
    )
    if height * width > MAX_PIXELS:
        raise InputError(f"{name} must hold at most {MAX_PIXELS} pixels, got {height} x {width}")
    return height, width


def output(out: Any, shape: tuple[int, ...], dtype: DTypeLike, *inputs: NDArray[Any]) -> NDArray[Any]:
    """The array to write: a new one where `out` is None, else `out` if the result fits into it.

    Where an input is a tensor, so is the result, and `out` has to be one: float16 does there for float32.

    Args:
        out: None, or an array whose dimensions after the first are packed, such as ``buffer[:, :3]`` of a contiguous buffer.
        shape: what is needed.
        dtype: what is needed.
        *inputs: arrays that are read while `out` is written, so `out` must not share memory with them.

    Raises:
        InputError: `out` is not such an array.
    """
    if any(not isinstance(array, np.ndarray) for array in inputs):
        return _tensors.output(out, shape, dtype, inputs)  # type: ignore[return-value]
    if out is None:
        return np.empty(shape, dtype)
    wanted = f"a writable {np.dtype(dtype)} array of shape {shape}"
    if not isinstance(out, np.ndarray):
        raise InputError(f"out must be {wanted}, got {type(out).__name__}")
    if out.shape != shape or out.dtype != np.dtype(dtype) or not out.flags.writeable:
        kind = "" if out.flags.writeable else "read-only "
        raise InputError(f"out must be {wanted}, got a {kind}{out.dtype} array of shape {out.shape}")
    item_bytes = math.prod(shape[1:]) * out.itemsize
    if not _memory.packed(out, len(shape) - 1) or (shape[0] > 1 and abs(out.strides[0]) < item_bytes):
        raise InputError(
            f"out must be aligned and packed in all dimensions but the first, as buffer[:, :3] of a contiguous buffer is; "
            f"got strides {out.strides} for shape {out.shape}"
        )
    if any(_memory.overlap(out, array) for array in inputs):
        raise InputError("out shares memory with an input that is read while out is written; pass another array")
    return out
