"""What a pipeline is warmed up with: grey images, so that its first real run is as fast as the next ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from posert.engine import Engine
from posert.errors import InputError
from posert.tensors import placed

GREY = 128


def grey_images(engine: Engine, count: int, image_size: tuple[int, int] | None) -> Iterator[Any]:
    """Images for one run each: arrays of the network's size, and on a GPU then tensors, until their CUDA graph is captured.

    Args:
        engine: that will run them.
        count: of images.
        image_size: height and width of the tensors; None = the network's.

    Yields:
        uint8 (count, H, W, 3).
    """
    size = engine.manifest.preprocess.size
    yield np.full((count, *size, 3), GREY, np.uint8)
    if engine.cuda_device is None:
        return
    from posert.ops import _triton

    if _triton.problem() is None:
        tensor = placed(np.full((count, *(image_size or size), 3), GREY, np.uint8), engine.cuda_device)
        for _ in range(2):  # shapes that come for the second time are captured
            yield tensor


def check_batch_sizes(sizes: Iterable[int]) -> list[int]:
    """Return batch sizes as a list.

    Raises:
        InputError: one is not a positive integer.
    """
    try:
        result = list(sizes)
    except TypeError:
        result = [sizes]  # type: ignore[list-item]
    if not all(isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size > 0 for size in result):
        raise InputError(f"batch sizes must be positive integers, got {result}")
    return result


def check_image_size(size: Any) -> tuple[int, int] | None:
    """Return height and width, or None.

    Raises:
        InputError: they are not two positive integers.
    """
    if size is None:
        return None
    sides = list(size) if isinstance(size, (tuple, list)) else []
    if len(sides) != 2 or not all(isinstance(s, (int, np.integer)) and not isinstance(s, bool) and s > 0 for s in sides):
        raise InputError(f"image_size must be height and width in pixels, got {size!r}")
    return int(sides[0]), int(sides[1])
