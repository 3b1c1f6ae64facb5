"""All peaks of heatmaps: the joints of everybody in the image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.ops import _check
from posert.ops._dispatch import implementation

MAX_PEAKS = 4096


def find_peaks(
    heatmaps: NDArray[np.float32],
    threshold: float = 0.05,
    *,
    stride: int = 1,
    max_peaks: int = 127,
    offset: float = 0.0,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]:
    """Find the local maxima of each heatmap, as OpenPose does.

    The map is read as if it were enlarged `stride` times (bicubic, a = -0.75, half-pixel, edges repeated); the enlarged map is
    never built. A pixel of the enlarged map is a peak if it is greater than `threshold` and than its eight neighbours; on the
    lines x = 1, x = width - 2, y = 1 and y = height - 2 it need only be as great as they, and neighbours outside the frame do
    not count; the rest of the outermost pixels, and of the lines next to them, hold no peak. Its position is then
    the centroid of the positive values in the 7 x 7 pixels around it, as far as they lie in the frame.

    Args:
        heatmaps: float32 (N, K, h, w). The last two dimensions should be packed, so that ``maps[:, :18]``, which leaves the
            background out, needs no copy.
        threshold: smallest value of a peak, exclusive, in float32; OpenPose's is 0.05 for COCO and 0.6 for MPI.
        stride: pixels a cell, 1..1024.
        max_peaks: rows of the result, 1..4096. Of more peaks than that, the first in row-major order are kept.
        offset: added to x and y; OpenPose's output has 0.5, 0 keeps pixel centres at integers.
        out: float32 (N, K, max_peaks, 3) to write into, packed but for the first dimension.
        backend: "native", "reference" or None (the fastest).

    Returns:
        float32 (N, K, max_peaks, 3): x, y in pixels of the enlarged map and the score, which is the value at the peak, in
        row-major order of the peaks before their refinement. Rows without a peak are (NaN, NaN, 0): missing. A map with a value
        that is not finite has no peaks.

    Raises:
        InputError: wrong dtype or shape, a threshold that is not positive, a stride, offset or number of peaks out of range.

    Source: specs paf K12. Every backend finds the same peaks.
    """
    heatmaps = _check.array(heatmaps, "heatmaps", np.float32, (None,) * 4, "(N, K, h, w)", 2)
    threshold = _check.real(threshold, "threshold", positive=True)
    stride = _check.integer(stride, "stride", 1, 1024)
    max_peaks = _check.integer(max_peaks, "max_peaks", 1, MAX_PEAKS)
    offset = _check.real(offset, "offset")
    count, joints, height, width = heatmaps.shape
    if max(height, width) * stride > _check.MAX_SIDE:
        raise InputError(f"heatmaps of {height} x {width} cells with stride {stride} exceed {_check.MAX_SIDE} pixels a side")
    out = _check.output(out, (count, joints, max_peaks, 3), np.float32, heatmaps)
    implementation("find_peaks", backend, heatmaps).find_peaks(heatmaps, threshold, stride, offset, out)
    return out
