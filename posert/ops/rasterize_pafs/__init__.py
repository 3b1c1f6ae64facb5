"""Part affinity fields: the direction of every limb, drawn where the limb is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.ops import _check
from posert.ops._dispatch import implementation

# COCO-18 joints, in the order of the network's channels. The two from shoulder to ear are redundant (specs K14).
PAF_LIMBS: tuple[tuple[int, int], ...] = (
    *((1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13)),
    *((1, 2), (2, 3), (3, 4), (2, 16), (1, 5), (5, 6), (6, 7), (5, 17)),
    *((1, 0), (0, 14), (0, 15), (14, 16), (15, 17)),
)
COCO18_HINT = "the default limbs need the 18 joints of COCO-18"
OVERLAPS = ("last", "average")


def rasterize_pafs(
    keypoints: ArrayLike,
    size: tuple[int, int],
    limbs: Sequence[tuple[int, int]] = PAF_LIMBS,
    *,
    stride: int = 8,
    width: float = 1.0,
    overlap: str = "last",
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]:
    """Draw each limb as a band of unit vectors that point from its first joint to its second.

    Cell g lies at image pixel ``stride * g``: unlike heatmaps, without half a cell's offset, as the published networks were
    trained. With a and b the joints in cells and v the unit vector from a to b, a cell is set to v if its distance to the line
    through a and b is at most `width` and it lies in the box of a and b, rounded (half away from zero) after it was widened by
    `width` on every side; the last column and row of that box are left out. A limb without length, or with a missing joint,
    draws nothing.

    Args:
        keypoints: (N, M, K, 3): x, y in image pixels and score, of up to M people in each of N images. A person who is not there
            is one whose joints are all missing.
        size: (height, width) of the MAP in cells.
        limbs: L pairs of joint indices.
        stride: image pixels a cell.
        width: reach of a limb to either side, in cells.
        overlap: where limbs of one kind of several people meet, "last" keeps the last person's vector, as the published code
            does, and "average" the mean of all, as the paper says.
        out: float32 (N, 2 L, height, width) to write into; its last three dimensions must be packed.
        backend: "native", "triton", "reference" or None (the fastest).

    Returns:
        float32 (N, 2 L, height, width) in [-1, 1]: channel 2 l is x and channel 2 l + 1 is y of limb l; 0 where no limb is.

    Raises:
        InputError: wrong shapes, an infinite coordinate, a limb that names no joint, a stride or width that is not positive,
            an unknown overlap.

    Source: specs paf K11.
    """
    points = _check.people(keypoints, "(N, M, K, 3)", "keypoints")
    cells = _check.size(size)
    pairs = _check.limbs(limbs, points.shape[2], COCO18_HINT)
    stride = _check.integer(stride, "stride", 1, _check.MAX_SIDE)
    reach = _check.real(width, "width", positive=True)
    overlap = _check.text(overlap, "overlap", OVERLAPS)
    out = _check.output(out, (len(points), 2 * len(pairs), *cells), np.float32, points, pairs)
    run = implementation("rasterize_pafs", backend, points).rasterize_pafs
    run(points, pairs, stride, reach, overlap == "average", out)
    return out
