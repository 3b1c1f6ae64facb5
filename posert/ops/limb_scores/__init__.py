"""How well a part affinity field supports each possible limb."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.ops import _check
from posert.ops._dispatch import implementation
from posert.ops.rasterize_pafs import COCO18_HINT, PAF_LIMBS

MAX_SAMPLES = 64


def limb_scores(
    peaks: ArrayLike,
    pafs: NDArray[np.float32],
    limbs: Sequence[tuple[int, int]] = PAF_LIMBS,
    *,
    stride: int = 1,
    samples: int | None = None,
    sample_threshold: float = 0.05,
    accepted_fraction: float = 0.95,
    near_score: float = 0.05 + 1e-6,
    length_limit: float | None = None,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> NDArray[np.float32]:
    """Score every pair of peaks of every limb by the field along the line between them.

    The field is read as if it were enlarged `stride` times (bicubic, a = -0.75, half-pixel, edges repeated), at the pixels
    nearest to points on the line. A sample is the field's component along the line; it is accepted if it is greater than
    `sample_threshold`. If more than `accepted_fraction` of the samples are, the score is the mean of those accepted; else, if the
    peaks are closer than ``sqrt(width * height) / 150`` pixels, it is `near_score`; else 0. Scores of 1e-6 or less become 0.

    The defaults are OpenPose's decoder. That of the paper's own code is ``samples=10, accepted_fraction=0.8, near_score=0,
    length_limit=0.5 * image_height``.

    Args:
        peaks: (N, K, M, 3): x, y in pixels of the enlarged map and score, as `find_peaks` returns them.
        pafs: float32 (N, 2 L, h, w): channel 2 l is x and channel 2 l + 1 is y of limb l. The last two dimensions should be
            packed.
        limbs: L pairs of joint indices.
        stride: pixels a cell, 1..1024.
        samples: None takes OpenPose's number, the square root of five times the longer of the line's extents in x and y, rounded,
            in 5..25, without the second peak; a number in 2..64 is that many, both peaks included.
        sample_threshold: smallest component of an accepted sample, exclusive.
        accepted_fraction: share of accepted samples that a limb needs, exclusive.
        near_score: score of peaks that lie almost on each other; 0 for none.
        length_limit: pixels beyond which a limb loses score: ``min(length_limit / length - 1, 0)`` is added. None for no such
            loss.
        out: float32 (N, L, M, M) to write into, packed but for the first dimension.
        backend: "native", "triton", "reference" or None (the fastest).

    Returns:
        float32 (N, L, M, M): entry [a, b] is the score of peak a of the limb's first joint with peak b of its second; 0 is no
        connection. A missing peak has none, nor have peaks at most 1e-6 pixels apart; samples and scores that are not finite do
        not count.

    Raises:
        InputError: wrong dtype or shapes, an infinite coordinate, a limb that names no joint, a parameter out of range.

    Source: specs paf K13 and its section 4. All arithmetic is float32 in a fixed order, so every backend gives the same bytes.
    """
    points = _check.people(peaks, "(N, K, M, 3)", "peaks")
    fields = _check.array(pafs, "pafs", np.float32, (None,) * 4, "(N, 2 L, h, w)", 2)
    pairs = _check.limbs(limbs, points.shape[1], COCO18_HINT)
    count, channels, height, width = fields.shape
    if len(points) != count or channels != 2 * len(pairs):
        raise InputError(
            f"pafs must have shape ({len(points)}, {2 * len(pairs)}, h, w), two channels for each of {len(pairs)} limbs, "
            f"got {fields.shape}"
        )
    stride = _check.integer(stride, "stride", 1, 1024)
    if max(height, width) * stride > _check.MAX_SIDE:
        raise InputError(f"pafs of {height} x {width} cells with stride {stride} exceed {_check.MAX_SIDE} pixels a side")
    wanted = None if samples is None else _check.integer(samples, "samples", 2, MAX_SAMPLES)
    component = _check.real(sample_threshold, "sample_threshold")
    fraction = _check.real(accepted_fraction, "accepted_fraction")
    near = _check.real(near_score, "near_score")
    limit = None if length_limit is None else _check.real(length_limit, "length_limit", positive=True)
    shape = (count, len(pairs), points.shape[2], points.shape[2])
    out = _check.output(out, shape, np.float32, points, fields, pairs)
    run = implementation("limb_scores", backend, points, fields).limb_scores
    run(points, fields, pairs, stride, wanted, component, fraction, near, limit, out)
    return out
