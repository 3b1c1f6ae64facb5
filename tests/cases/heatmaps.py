"""Reading heatmaps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cases.case import Arguments, Case
from cases.inputs import heatmaps


def _maps(
    people: int, joints: int, size: tuple[int, int], transformed: bool, **named: Any
) -> Callable[[np.random.Generator], Arguments]:
    def make(rng: np.random.Generator) -> Arguments:
        transforms = {"transforms": rng.uniform(-0.5, 0.5, (people, 2, 3)).astype(np.float32)} if transformed else {}
        return (heatmaps(rng, people, joints, *size),), {**named, **transforms}

    return make


CASES: list[Case] = [
    *(
        Case("decode_heatmaps", f"{method}-{name}", make(method), 1e-5)
        for method in ("argmax", "quarter", "softargmax", "upsampled")
        for name, make in (
            ("cpm", lambda m: _maps(4, 14, (16, 12), False, method=m)),
            ("many", lambda m: _maps(20, 14, (24, 20), True, method=m)),
            ("image-pixels", lambda m: _maps(4, 6, (12, 16), True, method=m, stride=4)),
            ("odd-stride", lambda m: _maps(8, 6, (9, 7), False, method=m, stride=3)),
            ("stride-1", lambda m: _maps(8, 6, (33, 47), False, method=m, stride=1)),
            ("narrow", lambda m: _maps(12, 6, (1, 5), False, method=m)),
            ("one-cell", lambda m: _maps(12, 6, (1, 1), False, method=m)),
            ("nobody", lambda m: _maps(0, 6, (8, 8), False, method=m)),
            ("no-joints", lambda m: _maps(3, 0, (8, 8), False, method=m)),
        )
    ),
    Case("decode_heatmaps", "softargmax-wide", _maps(8, 6, (14, 15), False, method="softargmax", beta=3.0, window=31), 1e-5),
]
