"""Bad input to the operations for several people is refused before any work, with a message that says what is needed."""

from typing import Any

import numpy as np
import pytest

from posert import _native, ops
from posert.errors import InputError

POINTS = np.ones((1, 2, 18, 3), np.float32)
MAPS = np.ones((1, 18, 6, 7), np.float32)
PEAKS = np.ones((1, 18, 2, 3), np.float32)
PAFS = np.ones((1, 38, 6, 7), np.float32)
SCORES = np.ones((1, 19, 2, 2), np.float32)
OFFSETS = np.zeros((18, 2))


def pafs(keypoints: Any = POINTS, size: Any = (6, 7), **named: Any):
    return lambda: ops.rasterize_pafs(keypoints, size, **named)


def limb(peaks: Any = PEAKS, fields: Any = PAFS, **named: Any):
    return lambda: ops.limb_scores(peaks, fields, **named)


def people(peaks: Any = PEAKS, scores: Any = SCORES, **named: Any):
    return lambda: ops.assemble_people(peaks, scores, **named)


def transform(scores: Any = MAPS, weights: Any = (1, 1), offsets: Any = OFFSETS, **named: Any):
    return lambda: ops.distance_transform(scores, weights, offsets, **named)


BAD = {
    "pafs-rank": (pafs(POINTS[0]), r"keypoints must have shape \(N, M, K, 3\)"),
    "pafs-two": (pafs(POINTS[..., :2]), r"keypoints must have shape \(N, M, K, 3\)"),
    "pafs-infinite": (pafs(POINTS * np.inf), "hold an infinite value"),
    "pafs-joints": (pafs(POINTS[:, :, :14]), "there are 14; the default limbs need the 18 joints"),
    "pafs-limbs": (pafs(limbs=[(0, 1, 2)]), "limbs must be pairs"),
    "pafs-size": (pafs(size=(6, 0)), "width of size must be an integer in 1"),
    "pafs-stride": (pafs(stride=0), "stride must be an integer in 1"),
    "pafs-width": (pafs(width=0), "width must be a finite positive number"),
    "pafs-overlap": (pafs(overlap="mean"), "unknown overlap 'mean'; use one of last, average"),
    "peaks-double": (lambda: ops.find_peaks(MAPS.astype(float)), "heatmaps must be float32 .* got float64"),
    "peaks-rank": (lambda: ops.find_peaks(MAPS[0]), r"shape \(N, K, h, w\)"),
    "peaks-list": (lambda: ops.find_peaks(MAPS.tolist()), "got list"),
    "peaks-threshold": (lambda: ops.find_peaks(MAPS, 0), "threshold must be a finite positive number"),
    "peaks-threshold-nan": (lambda: ops.find_peaks(MAPS, np.nan), "threshold must be a finite positive number"),
    "peaks-stride": (lambda: ops.find_peaks(MAPS, stride=1025), r"stride must be an integer in 1\.\.1024"),
    "peaks-none": (lambda: ops.find_peaks(MAPS, max_peaks=0), "max_peaks must be an integer in 1"),
    "peaks-offset": (lambda: ops.find_peaks(MAPS, offset=np.inf), "offset must be a finite number"),
    "peaks-side": (lambda: ops.find_peaks(np.zeros((1, 1, 1, 2000), np.float32), stride=1024), "exceed 1048576 pixels a side"),
    "limb-peaks": (limb(PEAKS[0]), r"peaks must have shape \(N, K, M, 3\)"),
    "limb-infinite": (limb(PEAKS * np.inf), "peaks hold an infinite value"),
    "limb-joints": (limb(PEAKS[:, :14]), "the default limbs need the 18 joints"),
    "limb-double": (limb(fields=PAFS.astype(float)), "pafs must be float32"),
    "limb-channels": (limb(fields=PAFS[:, :36]), r"pafs must have shape \(1, 38, h, w\), two channels for each of 19 limbs"),
    "limb-images": (limb(fields=np.ones((2, 38, 6, 7), np.float32)), r"pafs must have shape \(1, 38, h, w\)"),
    "limb-stride": (limb(stride=0), "stride must be an integer in 1"),
    "limb-samples": (limb(samples=1), r"samples must be an integer in 2\.\.64"),
    "limb-samples-many": (limb(samples=65), r"samples must be an integer in 2\.\.64"),
    "limb-threshold": (limb(sample_threshold=np.nan), "sample_threshold must be a finite number"),
    "limb-fraction": (limb(accepted_fraction=np.nan), "accepted_fraction must be a finite number"),
    "limb-near": (limb(near_score=np.inf), "near_score must be a finite number"),
    "limb-length": (limb(length_limit=0), "length_limit must be a finite positive number"),
    "people-peaks": (people(PEAKS[0]), r"peaks must have shape \(N, K, M, 3\)"),
    "people-scores": (people(scores=SCORES[:, :18]), r"scores must have shape \(1, 19, 2, 2\) for 19 limbs"),
    "people-text": (people(scores="high"), "scores must be real numbers"),
    "people-order": (people(order=[0, 19]), r"order must name limbs in 0\.\.18, each at most once"),
    "people-order-twice": (people(order=[3, 3]), "each at most once"),
    "people-order-float": (people(order=[0.0]), "order must be indices of limbs"),
    "people-redundant": (people(redundant=[-1]), r"redundant must name limbs in 0\.\.18"),
    "people-other-limbs": (
        lambda: ops.assemble_people(PEAKS, SCORES[:, :2], [(0, 1), (1, 2)]),
        "the default is for PAF_LIMBS, pass your own",
    ),
    "people-joints": (people(min_joints=0), "min_joints must be an integer in 1"),
    "people-score": (people(min_score=np.nan), "min_score must be a finite number"),
    "people-rows": (people(max_people=0), "max_people must be an integer in 1"),
    "transform-double": (transform(MAPS.astype(float)), "scores must be float32"),
    "transform-nan": (transform(MAPS * np.nan), r"scores hold NaN or \+inf; use -inf"),
    "transform-infinite": (transform(MAPS * np.inf), r"scores hold NaN or \+inf"),
    "transform-weights": (transform(weights=(1, 0)), "a weight must be a finite positive number"),
    "transform-weights-shape": (transform(weights=(1, 1, 1)), r"weights must be two numbers, \(wx, wy\)"),
    "transform-weight": (transform(weights=1.0), r"weights must be two numbers"),
    "transform-offsets": (transform(offsets=np.zeros((17, 2))), r"of shape \(18, 2\): x, y of each channel"),
    "transform-offsets-far": (transform(offsets=np.full((18, 2), 1e7)), r"within \+-1048576"),
    "transform-offsets-nan": (transform(offsets=np.full((18, 2), np.nan)), r"within \+-1048576"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str):
    function, message = BAD[name]
    with pytest.raises(InputError, match=message):
        function()


LIMBS, ORDER, FLAGS = np.array([(0, 1)], np.int32), np.zeros(1, np.int32), np.zeros(1, bool)
FIELD, OUT = np.ones((1, 2, 6, 7), np.float32), np.zeros((1, 1, 2, 2), np.float32)
ROWS, TOTALS = np.zeros((1, 5, 18, 3), np.float32), np.zeros((1, 5), np.float32)
PLACES = np.zeros((1, 2, 6, 7, 2), np.int32)
REFUSED_BY_NATIVE = {
    "pafs-limbs": (lambda: _native.rasterize_pafs(POINTS, LIMBS + 17, 8.0, 1.0, False, FIELD), "limbs: out of range"),
    "pafs-width": (lambda: _native.rasterize_pafs(POINTS, LIMBS, 8.0, np.nan, False, FIELD), "width: is not finite"),
    "peaks-stride": (lambda: _native.find_peaks(MAPS, 0.1, 0, 0.0, PEAKS.copy()), "stride: out of range"),
    "peaks-threshold": (lambda: _native.find_peaks(MAPS, 0.0, 1, 0.0, PEAKS.copy()), "threshold: is not finite"),
    "limb-samples": (
        lambda: _native.limb_scores(PEAKS, FIELD, LIMBS, 1, 65, 0.0, 0.5, 0.0, None, OUT),
        "samples: out of range",
    ),
    "limb-limbs": (
        lambda: _native.limb_scores(PEAKS, FIELD, LIMBS - 1, 1, None, 0.0, 0.5, 0.0, None, OUT),
        "limbs: out of range",
    ),
    "people-order": (
        lambda: _native.assemble_people(PEAKS, OUT, LIMBS, ORDER + 1, FLAGS, 1, 0.0, ROWS, TOTALS),
        "order: out of range",
    ),
    "people-totals": (
        lambda: _native.assemble_people(PEAKS, OUT, LIMBS, ORDER, FLAGS, 1, 0.0, ROWS, TOTALS[:, :4]),
        "totals: (wrong shape|is not packed)",
    ),
    "transform-weight": (
        lambda: _native.distance_transform(FIELD, 0.0, 1.0, np.zeros((2, 2), np.float32), FIELD.copy(), PLACES),
        "weight_x: is not finite",
    ),
}


@pytest.mark.parametrize("name", REFUSED_BY_NATIVE)
def test_native_module_by_itself_refuses(name: str):
    function, message = REFUSED_BY_NATIVE[name]
    with pytest.raises(ValueError, match=message):
        function()
