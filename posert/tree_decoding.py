"""Where the parts of a body are, so that they fit each other: max-sum over a tree (specs structured_features, 6)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.ops import crop_resize, distance_transform
from posert.trees import Tree, get_tree

DEFORMATION = 0.03
"""What a part's deviation from its expected place costs, times the square of its length in cells."""

STRIDE = 8
PROFILES = ("label", "official")


@dataclass(frozen=True)
class TreeMatch:
    """The best body in each item of a batch.

    Attributes:
        cells: int32 (N, P, 2): x, y of each part's cell.
        mixtures: int32 (N, P): each part's type.
        probabilities: float32 (N, P): of each part in its cell, of its own type.
        scores: float64 (N,): sum of the probabilities less what the deviations cost.
    """

    cells: NDArray[np.int32]
    mixtures: NDArray[np.int32]
    probabilities: NDArray[np.float32]
    scores: NDArray[np.float64]


def round_offsets(means: ArrayLike) -> NDArray[np.float64]:
    """Mean offsets in whole cells as the released model rounds them: halves of what is counted from 1 away from zero."""
    shifted = np.asarray(means, np.float64) + 1
    return np.copysign(np.floor(np.abs(shifted) + 0.5), shifted) - 1


def decode_tree(
    probabilities: NDArray[np.float32], tree: str | Tree, offsets: ArrayLike, *, weight: float = DEFORMATION
) -> TreeMatch:
    """Find the parts whose probabilities are largest together, less what it costs that they lie apart otherwise than usual.

    A part of type m that lies at q while its parent lies at p adds ``probability(q) - weight * |q - p - offset_m|^2``. Parts tell
    their parents the best they can do for each cell, from the leaves on; the root decides, and the others follow.

    Args:
        probabilities: float32 (N, P * M, h, w), or with the background as one more channel, which is left out: part by part its
            types, as `posert.models.structured` orders them. Not logits, and not logarithms.
        tree: the tree of parts or its name.
        offsets: (P, M, 2): x, y in cells from the parent to each type of a part; fractions are allowed, see `round_offsets`. The
            root's are not used.
        weight: cost of one cell's square, positive.

    Returns:
        The best body of each item. Of equal ones the first type and the first cell in row-major order of the root.

    Raises:
        InputError: wrong dtype or shapes, maps without cells, NaN or infinite probabilities.
    """
    tree = get_tree(tree)
    shifts = np.asarray(offsets, np.float64)
    if shifts.ndim != 3 or shifts.shape[0] != len(tree) or shifts.shape[1] < 1 or shifts.shape[2] != 2:
        raise InputError(f"offsets must have shape ({len(tree)}, M, 2) for the tree {tree.name!r}, got {shifts.shape}")
    parts, types = shifts.shape[:2]
    array = np.asarray(probabilities)
    if array.dtype != np.float32 or array.ndim != 4 or array.shape[1] not in (parts * types, parts * types + 1):
        raise InputError(
            f"probabilities must be float32 of shape (N, {parts * types} or one more, h, w), got {array.dtype} {array.shape}"
        )
    count, _, height, width = array.shape
    if not height * width:
        raise InputError(f"probabilities have no cells: {array.shape}")
    if not np.isfinite(array).all():
        raise InputError("probabilities hold NaN or infinite values")
    own = array[:, : parts * types].reshape(count, parts, types, height, width)
    received = np.zeros((count, parts, height, width))  # from all children, for any type
    chosen = np.zeros((count, parts, height, width), np.int32)
    places = np.zeros((count, parts, height, width, 2), np.int32)
    for level in reversed(tree.levels[1:]):
        index = list(level)
        sums = (own[:, index] + received[:, index, None]).astype(np.float32)
        flat = sums.reshape(count, len(index) * types, height, width)
        best, taken = distance_transform(flat, (weight, weight), shifts[index].reshape(-1, 2))
        best = best.reshape(sums.shape)
        which = best.argmax(2)
        chosen[:, index] = which
        picked = taken.reshape(*sums.shape, 2)
        places[:, index] = np.take_along_axis(picked, which[:, :, None, ..., None], 2)[:, :, 0]
        messages = np.take_along_axis(best, which[:, :, None], 2)[:, :, 0].astype(np.float64)
        for i, k in enumerate(index):
            received[:, tree.parents[k]] += messages[:, i]
    total = own[:, 0] + received[:, 0, None]
    return _follow(tree, own, total, chosen, places)


def _follow(
    tree: Tree,
    own: NDArray[np.float32],
    total: NDArray[np.float64],
    chosen: NDArray[np.int32],
    places: NDArray[np.int32],
) -> TreeMatch:
    """From the root's best cell to the cells that its descendants took for it."""
    count, types, height, width = total.shape
    items, parts = np.arange(count), len(tree)
    flat = total.reshape(count, types * height * width)
    root = flat.argmax(1)
    cells, mixtures = np.empty((count, parts, 2), np.int32), np.empty((count, parts), np.int32)
    mixtures[:, 0], cell = np.divmod(root, height * width)
    cells[:, 0, 1], cells[:, 0, 0] = np.divmod(cell, width)
    for k in range(1, parts):
        x, y = cells[:, tree.parents[k]].T
        mixtures[:, k] = chosen[items, k, y, x]
        cells[:, k] = places[items, k, y, x]
    found = own[items[:, None], np.arange(parts), mixtures, cells[..., 1], cells[..., 0]]
    return TreeMatch(cells, mixtures, found, flat[items, root])


def cells_to_pixels(cells: ArrayLike, scale: float = 1.0, profile: str = "label") -> NDArray[np.float64]:
    """Pixels of the image whose `scale`-fold the network saw.

    Args:
        cells: (..., 2): x, y.
        scale: network pixels an image pixel.
        profile: ``"label"``: where the labels put a cell, at network pixel 8g + 3. ``"official"``: where the released model puts
            it, 3.5 network pixels short of that.

    Raises:
        InputError: the profile is unknown, or the scale is not positive.
    """
    if profile not in PROFILES:
        raise InputError(f"profile must be one of {PROFILES}, got {profile!r}")
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"scale must be a positive number, got {scale}")
    pixels = np.asarray(cells, np.float64) * STRIDE
    return pixels / scale - 0.5 if profile == "official" else (pixels + 3) / scale


def pyramid_scales(height: int, width: int) -> list[float]:
    """Scales at which the released model looks at an image: from the whole down to about 224 pixels, ten an octave."""
    if min(height, width) < 1:
        raise InputError(f"an image has at least one pixel, got {height} x {width}")
    first = 0.8 if height > 600 else 368 / min(height, width) if height < 336 else 1.0
    side = max(min(height, width) * first, 1)
    # Half of a millionth keeps 448 = 224 * 2 from falling short of a whole octave.
    levels = max(math.floor(math.log2(side / 224) * 10 + 5e-7), 1)
    return [first * 2 ** (-level / 10) for level in range(levels)]


def find_in_pyramid(
    image: NDArray[np.uint8],
    network: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    tree: str | Tree,
    offsets: ArrayLike,
    *,
    profile: str = "label",
) -> NDArray[np.float32]:
    """Find the one person of an image of any size as the released model does: at many scales, of which the best counts.

    Args:
        image: uint8 (H, W, 3), RGB.
        network: takes float32 (1, 3, S, S), BGR less 128, S a multiple of 8, the image in the middle of black; gives
            probabilities as in `decode_tree`.
        tree: see `decode_tree`.
        offsets: see `decode_tree`; of the size that the network was trained at.
        profile: see `cells_to_pixels`.

    Returns:
        float32 (P, 3): x, y in image pixels and the probability of each part.

    Raises:
        InputError: see `decode_tree` and `cells_to_pixels`.
    """
    height, width = image.shape[:2]
    cells_to_pixels((0, 0), profile=profile)  # an unknown profile is refused before any work
    long = max(height, width)
    corner = np.array([(width - long) // 2, (height - long) // 2], np.float64)
    highest, result = -math.inf, np.empty((0, 3), np.float32)
    for scale in pyramid_scales(height, width):
        side = max(round(long * scale / STRIDE), 1) * STRIDE
        box = np.array([[*corner, *(corner + side / scale)]], np.float32)
        view = crop_resize([image], box, (side, side), 128.0, 1.0, fill=0, channels="bgr")[0]
        match = decode_tree(network(view), tree, offsets)
        if match.scores[0] > highest:
            highest = float(match.scores[0])
            pixels = cells_to_pixels(match.cells[0], scale, profile) + corner
            result = np.column_stack([pixels, match.probabilities[0]]).astype(np.float32)
    return result
