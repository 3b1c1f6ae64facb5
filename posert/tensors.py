"""CUDA tensors in the pipelines: the few things that are written differently for them than for NumPy's arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def is_tensor(value: Any) -> bool:
    """Whether a value lies in the memory of a CUDA device: a torch tensor, or anything else that speaks DLPack."""
    if isinstance(value, np.ndarray):
        return False
    from posert.ops._tensors import is_tensor as lies_on_a_device

    return lies_on_a_device(value)


def on_host(value: Any) -> Any:
    """An array as it is, a tensor as an array: the host waits for it."""
    return value if isinstance(value, np.ndarray) else value.cpu().numpy()


def packed(value: Any) -> Any:
    """An array or tensor in C order and without gaps; a copy only where it is not so."""
    return np.ascontiguousarray(value) if isinstance(value, np.ndarray) else value.contiguous()


def beside(array: Any, like: Any) -> Any:
    """An array as a tensor where `like` is one, on its device; else, or if it is a tensor, as it is. The host does not wait."""
    if isinstance(like, np.ndarray) or not isinstance(array, np.ndarray):
        return array
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if like.device.type == "cuda":  # from ordinary memory CUDA copies only while the host waits
        tensor = tensor.pin_memory()
    return tensor.to(like.device, non_blocking=True)


def placed(array: NDArray[Any], device: str) -> Any:
    """An array as a tensor on a CUDA device, such as ``"cuda:0"``; the host waits for the copy."""
    import torch

    return torch.from_numpy(array).to(device)


def empty(shape: tuple[int, ...], dtype: str, like: Any) -> Any:
    """Memory for an array, or for a tensor where `like` is one, on its device."""
    if isinstance(like, np.ndarray):
        return np.empty(shape, dtype)
    import torch

    return torch.empty(shape, dtype=getattr(torch, dtype), device=like.device)


def alike(images: Sequence[Any]) -> bool:
    """Whether images are tensors, all of one shape."""
    return len(images) > 0 and not isinstance(images[0], np.ndarray) and len({tuple(image.shape) for image in images}) == 1


def highest(maps: Any) -> Any:
    """The largest value of each map (N, K, H, W), between 0 and 1: (N, K)."""
    return maps.max((2, 3)).clip(0, 1) if isinstance(maps, np.ndarray) else maps.amax((2, 3)).clamp(0, 1)


def turned(value: Any, turns: int) -> Any:
    """Pictures (N, C, H, W) after quarter turns counter-clockwise."""
    if isinstance(value, np.ndarray):
        return np.rot90(value, turns, (2, 3))
    import torch

    return torch.rot90(value, turns, (2, 3))


def joined(parts: Sequence[Any]) -> Any:
    """Pictures (N, C, H, W) with the channels of all."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, 1)
    import torch

    return torch.cat(list(parts), 1)


def taken(value: Any, index: NDArray[np.int64]) -> Any:
    """``value[index]``; a view without copies where all indices are one, as in a video of one person, or follow each other."""
    if len(index) and (index == index[0]).all():
        first, shape = value[int(index[0])], (len(index), *value.shape[1:])
        return np.broadcast_to(first, shape) if isinstance(value, np.ndarray) else first.expand(shape)
    if len(index) and (np.diff(index) == 1).all():
        return value[int(index[0]) : int(index[-1]) + 1]
    return value[index] if isinstance(value, np.ndarray) else value[beside(index, value)]


def reversed_channels(value: Any) -> Any:
    """Pictures (N, H, W, 3) with their channels in the other order, in memory of their own."""
    return np.ascontiguousarray(value[..., ::-1]) if isinstance(value, np.ndarray) else value.flip(-1)
