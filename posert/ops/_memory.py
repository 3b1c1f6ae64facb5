"""How arrays lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed(array: NDArray[Any], dims: int) -> bool:
    """Whether an array is aligned and its last `dims` dimensions lie in memory as C order without gaps."""
    if not array.flags.aligned:
        return False
    if array.size == 0:
        return True
    step = array.itemsize
    for length, stride in zip(reversed(array.shape[-dims:]), reversed(array.strides[-dims:]), strict=True):
        if length > 1 and stride != step:
            return False
        step *= length
    return True


def overlap(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Whether two arrays share an element; a question too hard to answer quickly counts as yes."""
    if not np.may_share_memory(first, second):
        return False
    try:
        return np.shares_memory(first, second, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
