"""Grey-level morphology with a flat square; windows are clipped at the image border."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.ops import _check
from posert.ops._dispatch import implementation

Mask = NDArray[np.uint8]


def dilate(mask: Mask, size: int, *, out: Mask | None = None, backend: str | None = None) -> Mask:
    """Replace each pixel by the largest value in the size x size square around it.

    Args:
        mask: uint8 (N, H, W) or (N, 1, H, W), any values 0..255.
        size: odd side of the square in pixels. The square is clipped at the border: what lies outside the image does not count.
        out: uint8 of the shape of `mask` to write into, packed but for the first dimension; it may be `mask` itself.
        backend: "native", "triton", "reference" or None (the fastest).

    Returns:
        uint8 of the shape of `mask`.

    Raises:
        InputError: wrong dtype or rank, an even size, an `out` that does not fit or overlaps `mask` in part.

    On a GPU a square of more than 33 pixels takes two launches and a scratch image, a smaller one a single launch.

    Source: specs pg2, K2 step 3. Every backend gives the same bytes.
    """
    return _run("dilate", mask, size, out, backend)


def erode(mask: Mask, size: int, *, out: Mask | None = None, backend: str | None = None) -> Mask:
    """Replace each pixel by the smallest value in the size x size square around it.

    Args:
        mask: uint8 (N, H, W) or (N, 1, H, W), any values 0..255.
        size: odd side of the square in pixels. The square is clipped at the border: what lies outside the image does not count.
        out: uint8 of the shape of `mask` to write into, packed but for the first dimension; it may be `mask` itself.
        backend: "native", "triton", "reference" or None (the fastest).

    Returns:
        uint8 of the shape of `mask`.

    Raises:
        InputError: wrong dtype or rank, an even size, an `out` that does not fit or overlaps `mask` in part.

    On a GPU a square of more than 33 pixels takes two launches and a scratch image, a smaller one a single launch.

    Source: specs pg2, K2 step 3. Every backend gives the same bytes.
    """
    return _run("erode", mask, size, out, backend)


def opening(mask: Mask, size: int, *, out: Mask | None = None, backend: str | None = None) -> Mask:
    """Erode, then dilate: removes bright specks smaller than the square. Arguments, result and errors as for `dilate`.

    On a GPU a square of more than 17 pixels takes four launches and a scratch image, a smaller one a single launch.
    """
    return _run("opening", mask, size, out, backend)


def closing(mask: Mask, size: int, *, out: Mask | None = None, backend: str | None = None) -> Mask:
    """Dilate, then erode: fills dark gaps smaller than the square. Arguments, result and errors as for `dilate`.

    On a GPU a square of more than 17 pixels takes four launches and a scratch image, a smaller one a single launch.
    """
    return _run("closing", mask, size, out, backend)


def _run(name: str, mask: Mask, size: int, out: Mask | None, backend: str | None) -> Mask:
    shape = (None, 1, None, None) if getattr(mask, "ndim", 3) == 4 else (None, None, None)
    mask = _check.array(mask, "mask", np.uint8, shape, "(N, H, W) or (N, 1, H, W)", packed_dims=len(shape) - 1)
    size = _check.odd(size, "size")
    same = out is not None and type(out) is type(mask) and _same_memory(out, mask)
    result = _check.output(out, mask.shape, np.uint8, mask[:0] if same else mask)
    count, height, width = len(mask), *mask.shape[-2:]
    run = getattr(implementation(name, backend, mask), name)
    run(mask.reshape(count, height, width), size, result.reshape(count, height, width))
    return result


def _same_memory(first: Any, second: Any) -> bool:
    if not isinstance(first, np.ndarray):
        return bool(first.data_ptr() == second.data_ptr() and first.stride() == second.stride())
    places = [array.__array_interface__["data"][0] for array in (first, second)]
    return bool(places[0] == places[1] and first.strides == second.strides)
