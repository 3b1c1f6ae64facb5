"""Morphology."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cases.case import Arguments, Case


def _mask(shape: tuple[int, ...], size: int, levels: int) -> Callable[[np.random.Generator], Arguments]:
    return lambda rng: (((rng.integers(0, levels, shape) * (255 // (levels - 1))).astype(np.uint8), size), {})


def _two_levels(shape: tuple[int, ...], size: int, level: int) -> Callable[[np.random.Generator], Arguments]:
    """Blots of one level, sparse in the first image and dense in the last."""

    def make(rng: np.random.Generator) -> Arguments:
        coarse = rng.random((shape[0], shape[1] // 3 + 1, shape[2] // 3 + 1))
        blots = coarse.repeat(3, 1).repeat(3, 2)[:, : shape[1], : shape[2]]
        share = np.linspace(0.05, 0.95, shape[0])[:, None, None]
        specks = rng.random(shape) < 0.02
        return ((((blots < share) ^ specks) * level).astype(np.uint8), size), {}

    return make


def _mixed(rng: np.random.Generator) -> Arguments:
    """Images of one, two and more levels, of which one shows its third in its very last pixel."""
    masks = np.zeros((6, 40, 71), np.uint8)
    masks[1] = 9
    masks[2] = rng.integers(0, 2, masks.shape[1:]) * 200
    masks[3] = rng.integers(0, 256, masks.shape[1:])
    masks[4] = rng.choice([3, 12], masks.shape[1:])  # two levels, neither of them 0
    masks[5, 20:, 30:] = 128
    masks[5, -1, -1] = 129
    return (masks, 5), {}


def _full(level: int) -> Callable[[np.random.Generator], Arguments]:
    return lambda rng: ((np.full((2, 37, 70), level, np.uint8), 9), {})


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
            *((f"level-{level}", _two_levels((3, 50, 77), 5, level)) for level in (1, 7, 128, 255)),
            *((f"width-{width}", _two_levels((3, 20, width), 7, 1)) for width in (7, 8, 63, 64, 65, 128, 129)),
            ("binary-size-1", _two_levels((3, 13, 70), 1, 255)),
            ("binary-size-129", _two_levels((3, 90, 300), 129, 1)),
            ("binary-tall", _two_levels((3, 200, 3), 21, 1)),
            ("binary-one-row", _two_levels((3, 1, 200), 21, 1)),
            ("binary-wider-than-image", _two_levels((4, 5, 3), 31, 1)),
            ("binary-many", _two_levels((20, 80, 130), 21, 1)),
            ("levels-mixed", _mixed),
            ("all-zero", _full(0)),
            ("all-alike", _full(200)),
        )
    ),
]
