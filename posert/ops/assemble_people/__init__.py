"""Peaks and limbs to people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.ops import _check
from posert.ops._dispatch import implementation
from posert.ops.rasterize_pafs import COCO18_HINT, PAF_LIMBS

# Indices of PAF_LIMBS: the order in which limbs join people, and the limbs from shoulder to ear.
PAF_ORDER: tuple[int, ...] = (6, 10, 7, 8, 11, 12, 0, 1, 2, 3, 4, 5, 14, 15, 17, 16, 18, 9, 13)
PAF_REDUNDANT: tuple[int, ...] = (9, 13)

MAX_PEOPLE = 1 << 16


def assemble_people(
    peaks: ArrayLike,
    scores: ArrayLike,
    limbs: Sequence[tuple[int, int]] = PAF_LIMBS,
    *,
    order: Sequence[int] = PAF_ORDER,
    redundant: Sequence[int] = PAF_REDUNDANT,
    min_joints: int = 3,
    min_score: float = 0.4,
    max_people: int = 127,
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Join peaks to people, limb by limb, greedily, as OpenPose does.

    For every limb in `order`, its connections are taken from the highest score down, each with both peaks still free; of equal
    scores that with the larger index of the first peak goes first, then that with the larger index of the second. A connection
    from peak a to peak b gives b to the first person that has a (replacing what that person had), or else starts a person; a
    redundant limb only fills the empty one of its two joints in everybody who has the other. If one joint of a limb
    has no peak at all, every peak of the other that nobody has starts a person of one joint. A person's total is the sum of the
    scores of its peaks and connections as they were added, its count the number of peaks added (none by redundant limbs); who has
    fewer than `min_joints`, or less than `min_score` times the count, is dropped.

    Args:
        peaks: (N, K, M, 3): x, y, score, as `find_peaks` returns them.
        scores: (N, L, M, M), as `limb_scores` returns them; only finite numbers above 0 between present peaks are connections.
        limbs: L pairs of joint indices; the default is that of COCO-18.
        order: indices of `limbs`, each at most once: the order in which they are taken.
        redundant: indices of `limbs`.
        min_joints: smallest number of peaks of a person.
        min_score: smallest total of a person, for each peak.
        max_people: rows of the result. Of more people than that, those with the highest totals are kept (of equal ones those
            assembled first).
        out: float32 (N, max_people, K, 3) to write the people into, packed but for the first dimension.
        backend: "native", "reference" or None (the fastest).

    Returns:
        The people, float32 (N, max_people, K, 3): x, y of their peaks and the peaks' scores, in the order in which the people
        were started; joints that a person lacks, and unused rows, are missing: (NaN, NaN, 0). And the totals, float32
        (N, max_people), 0 in unused rows.

    Raises:
        InputError: wrong shapes, an infinite coordinate, a limb that names no joint, an order or redundant limb that names no
            limb or repeats one, a parameter out of range.

    Source: specs paf K14. Totals are summed in float64; every backend gives the same bytes.
    """
    points = _check.people(peaks, "(N, K, M, 3)", "peaks")
    pairs = _check.limbs(limbs, points.shape[1], COCO18_HINT)
    count, joints, most = points.shape[:3]
    connections = _check.numbers(scores, "scores", "(N, L, M, M)")
    if connections.shape != (count, len(pairs), most, most):
        raise InputError(
            f"scores must have shape {(count, len(pairs), most, most)} for {len(pairs)} limbs and peaks of shape {points.shape}, "
            f"got {connections.shape}"
        )
    sequence = _limb_indices(order, "order", len(pairs))
    fillers = np.zeros(len(pairs), np.bool_)
    fillers[_limb_indices(redundant, "redundant", len(pairs))] = True
    min_joints = _check.integer(min_joints, "min_joints", 1, _check.MAX_SIDE)
    min_score = _check.real(min_score, "min_score")
    rows = _check.integer(max_people, "max_people", 1, MAX_PEOPLE)
    out = _check.output(out, (count, rows, joints, 3), np.float32, points, connections, pairs, sequence)
    totals = np.empty((count, rows), np.float32)
    run = implementation("assemble_people", backend, points, connections).assemble_people
    run(points, connections, pairs, sequence, fillers, min_joints, min_score, out, totals)
    return out, totals


def _limb_indices(value: Sequence[int], name: str, limbs: int) -> NDArray[np.int32]:
    indices = _check.as_array(value, name, "indices of limbs")
    if indices.size == 0:
        return np.zeros(0, np.int32)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise InputError(f"{name} must be indices of limbs, got {indices.dtype} of shape {indices.shape}")
    if not (indices.min() >= 0 and indices.max() < limbs) or len(set(indices.tolist())) < indices.size:
        raise InputError(
            f"{name} must name limbs in 0..{limbs - 1}, each at most once, got {indices.tolist()}; the default is for PAF_LIMBS, "
            "pass your own with other limbs"
        )
    return _check.dense(indices, np.int32)
