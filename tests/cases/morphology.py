"""Morphology."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cases.case import Arguments, Case


def _mask(shape: tuple[int, ...], size: int, levels: int) -> Callable[[np.random.Generator], Arguments]:
    return lambda rng: (((rng.integers(0, levels, shape) * (255 // (levels - 1))).astype(np.uint8), size), {})


CASES: list[Case] = [
    *(
        Case(op, name, make)
        for op in ("dilate", "erode", "opening", "closing")
        for name, make in (
            ("many", _mask((20, 80, 130), 9, 256)),
            ("binary", _mask((3, 64, 128), 5, 2)),
            ("grey", _mask((2, 1, 37, 131), 7, 256)),
            ("size-1", _mask((2, 13, 17), 1, 256)),
            ("size-3", _mask((2, 13, 300), 3, 256)),
            ("size-21", _mask((2, 53, 47), 21, 256)),
            ("wider-than-image", _mask((2, 5, 3), 31, 256)),
            ("one-pixel", _mask((2, 1, 1), 5, 256)),
            ("one-row", _mask((2, 1, 70), 9, 256)),
            ("one-column", _mask((2, 70, 1), 9, 256)),
            ("nobody", _mask((0, 8, 8), 5, 256)),
            ("no-pixels", _mask((2, 0, 8), 5, 256)),
        )
    ),
]
