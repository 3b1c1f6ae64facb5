"""Finding people: fields, peaks, limbs and their assembly, and the distance transform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cases.case import Arguments, Case
from cases.inputs import heatmaps, keypoints

Make = Callable[[np.random.Generator], Arguments]


def _fields(images: int, people: int, joints: int, size: tuple[int, int], *rest: Any, **named: Any) -> Make:
    def make(rng: np.random.Generator) -> Arguments:
        stride = named.get("stride", 8)
        points = keypoints(rng, images * people, joints, size[0] * stride, size[1] * stride)
        return (points.reshape(images, people, joints, 3), size, *rest), named

    return make


def _peaks(images: int, joints: int, size: tuple[int, int], quantum: float = 0.0, **named: Any) -> Make:
    """Several blobs a map, and the maps of `heatmaps`; rounded to multiples of `quantum`, which makes plateaus."""

    def make(rng: np.random.Generator) -> Arguments:
        maps = heatmaps(rng, images, joints, *size)
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(4):
                maps = np.maximum(maps, rng.uniform(0.2, 1) * heatmaps(rng, images, joints, *size))
            maps = np.round(maps / quantum) * quantum if quantum else maps
        return (maps.astype(np.float32),), named

    return make


def found_peaks(rng: np.random.Generator, images: int, joints: int, most: int, height: int, width: int) -> np.ndarray:
    """Peaks as `find_peaks` gives them, and among them missing, coinciding and far ones; every fifth joint has none."""
    peaks = keypoints(rng, images * joints, most, height, width).reshape(images, joints, most, 3)
    peaks[:, :, ::2, :2] = rng.uniform(0, (max(width - 1, 0), max(height - 1, 0)), peaks[:, :, ::2, :2].shape)
    peaks[:, 1:, :1, :2] = peaks[:, :-1, :1, :2] + np.float32(0.125)
    peaks[:, 4::5] = (np.nan, np.nan, 0)
    return peaks


def _scores(
    images: int, joints: int, most: int, size: tuple[int, int], limbs: list[tuple[int, int]] | None, **named: Any
) -> Make:
    """Fields that point one way with noise, so that many lines are accepted; some of their values are not finite."""

    def make(rng: np.random.Generator) -> Arguments:
        stride, count = named.get("stride", 1), 19 if limbs is None else len(limbs)
        peaks = found_peaks(rng, images, joints, most, size[0] * stride, size[1] * stride)
        pafs = rng.normal(0, 0.3, (images, count, 2, *size)) + rng.normal(0, 1, (images, count, 2, 1, 1))
        pafs[rng.random(pafs.shape) < 0.002] = np.nan
        pafs[rng.random(pafs.shape) < 0.002] = -np.inf
        pafs[rng.random(pafs.shape) < 0.002] = 3e38
        fields = pafs.reshape(images, 2 * count, *size).astype(np.float32)
        return (peaks, fields) if limbs is None else (peaks, fields, np.array(limbs, np.int32).reshape(-1, 2)), named

    return make


_MPI = [(0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 14), (14, 8), (8, 9), (9, 10), (14, 11), (11, 12), (12, 13)]


def _people(
    images: int, joints: int, most: int, limbs: list[tuple[int, int]] | None = None, quantum: float = 0.0, **named: Any
) -> Make:
    """Few connections, some of them equal; some scores are no connections."""

    def make(rng: np.random.Generator) -> Arguments:
        count = 19 if limbs is None else len(limbs)
        peaks = found_peaks(rng, images, joints, most, 64, 64)
        scores = rng.uniform(0, 1, (images, count, most, most)) * (rng.random((images, count, most, most)) < 2 / max(most, 1))
        scores = np.round(scores / quantum) * quantum if quantum else scores
        wild = rng.random(scores.shape) < 0.02
        scores[wild] = rng.choice([np.nan, np.inf, -np.inf, -1, 1e-40], int(wild.sum()))
        given = (peaks, scores.astype(np.float32))
        return given if limbs is None else (*given, np.array(limbs, np.int32).reshape(-1, 2)), named

    return make


def _messages(
    images: int, channels: int, size: tuple[int, int], weights: tuple[float, float], kind: str = "plain", reach: float = 4
) -> Make:
    def make(rng: np.random.Generator) -> Arguments:
        scores = rng.uniform(0, 1, (images, channels, *size))
        offsets = np.round(rng.uniform(-reach, reach, (channels, 2)))
        if kind == "ties":  # sums of quarters, which are exact
            scores = np.round(4 * scores) / 4
        elif kind == "holes":
            scores[rng.random(scores.shape) < 0.6] = -np.inf
            scores[:, ::3] = -np.inf
            scores[:, 1::3, :, 0] = 0.5
        elif kind == "wild":
            scores = rng.normal(0, 1, scores.shape) * 10.0 ** rng.integers(-3, 4, (images, channels, 1, 1))
            offsets = rng.uniform(-reach, reach, (channels, 2))
        return (scores.astype(np.float32), weights, offsets.astype(np.float32)), {}

    return make


_FOUR = [(0, 1), (2, 3), (3, 3), (1, 2)]
_OWN = {"order": [3, 1, 0], "redundant": [1]}
_IN_ORDER = {"order": range(14), "redundant": []}

CASES: list[Case] = [
    Case("rasterize_pafs", "official", _fields(1, 5, 18, (46, 46)), 1e-6),
    Case("rasterize_pafs", "many", _fields(3, 4, 18, (46, 45)), 1e-6),
    Case("rasterize_pafs", "average", _fields(2, 9, 18, (30, 41), overlap="average"), 1e-6),
    Case("rasterize_pafs", "image-pixels", _fields(2, 3, 18, (37, 71), stride=1, width=4.5), 1e-6),
    Case("rasterize_pafs", "own-limbs", _fields(2, 6, 4, (20, 33), np.array(_FOUR, np.int32), stride=2, overlap="average"), 1e-6),
    Case("rasterize_pafs", "wider-than-map", _fields(1, 3, 18, (9, 5), width=100.0), 1e-6),
    Case("rasterize_pafs", "no-limbs", _fields(1, 3, 4, (9, 5), []), 1e-6),
    Case("rasterize_pafs", "one-cell", _fields(2, 8, 18, (1, 1)), 1e-6),
    Case("rasterize_pafs", "nobody", _fields(2, 0, 18, (8, 9)), 1e-6),
    Case("rasterize_pafs", "no-images", _fields(0, 3, 18, (8, 9)), 1e-6),
    Case("find_peaks", "official", _peaks(1, 5, (46, 82), stride=8)),
    Case("find_peaks", "many", _peaks(6, 18, (20, 23), stride=4)),
    Case("find_peaks", "image-pixels", _peaks(3, 5, (71, 133))),
    Case("find_peaks", "stride-2", _peaks(3, 6, (23, 17), stride=2)),
    Case("find_peaks", "odd-stride", _peaks(3, 6, (9, 14), stride=5, offset=0.5)),
    Case("find_peaks", "large-stride", _peaks(1, 6, (5, 4), stride=33)),
    Case("find_peaks", "plateaus", _peaks(3, 6, (23, 31), 0.25)),
    Case("find_peaks", "plateaus-stride-4", _peaks(3, 6, (11, 13), 0.25, stride=4)),
    Case("find_peaks", "few-rows", _peaks(3, 6, (33, 47), max_peaks=3)),
    Case("find_peaks", "few-rows-stride-3", _peaks(3, 6, (13, 17), stride=3, max_peaks=2)),
    Case("find_peaks", "high-threshold", _peaks(3, 6, (13, 17), 0, threshold=0.6, stride=3)),
    Case("find_peaks", "narrow", _peaks(6, 6, (1, 5))),
    Case("find_peaks", "narrow-stride-3", _peaks(6, 6, (5, 1), stride=3)),
    Case("find_peaks", "four-pixels", _peaks(6, 6, (4, 4))),
    Case("find_peaks", "one-pixel", _peaks(6, 6, (1, 1))),
    Case("find_peaks", "one-cell", _peaks(6, 6, (1, 1), stride=8)),
    Case("find_peaks", "nobody", _peaks(0, 6, (8, 8), stride=2)),
    Case("find_peaks", "no-joints", _peaks(3, 0, (8, 8), stride=2)),
    Case("limb_scores", "official", _scores(1, 18, 12, (46, 82), None, stride=8)),
    Case("limb_scores", "many", _scores(4, 18, 17, (20, 23), None, stride=4)),
    Case("limb_scores", "image-pixels", _scores(2, 18, 9, (71, 133), None)),
    Case("limb_scores", "stride-2", _scores(2, 4, 30, (31, 17), _FOUR, stride=2)),
    Case("limb_scores", "odd-stride", _scores(2, 4, 30, (11, 17), _FOUR, stride=5)),
    Case("limb_scores", "paper", _scores(2, 4, 30, (31, 47), _FOUR, stride=8, samples=10, accepted_fraction=0.8, near_score=0.0)),
    Case("limb_scores", "length-limit", _scores(2, 4, 30, (31, 47), _FOUR, samples=3, accepted_fraction=0.3, length_limit=9.5)),
    Case("limb_scores", "all-accepted", _scores(2, 4, 12, (9, 7), _FOUR, accepted_fraction=-1.0, sample_threshold=-0.5)),
    Case("limb_scores", "none-accepted", _scores(2, 4, 12, (9, 7), _FOUR, accepted_fraction=1.0, near_score=2.0)),
    Case("limb_scores", "one-cell", _scores(3, 4, 9, (1, 1), _FOUR, stride=8)),
    Case("limb_scores", "one-pixel", _scores(3, 4, 9, (1, 1), _FOUR)),
    Case("limb_scores", "no-pixels", _scores(3, 4, 9, (0, 5), _FOUR)),
    Case("limb_scores", "no-limbs", _scores(3, 4, 9, (5, 5), [])),
    Case("limb_scores", "no-peaks", _scores(2, 18, 0, (8, 9), None)),
    Case("limb_scores", "nobody", _scores(0, 18, 5, (8, 9), None)),
    Case("assemble_people", "official", _people(1, 18, 20)),
    Case("assemble_people", "many", _people(12, 18, 24)),
    Case("assemble_people", "ties", _people(3, 18, 12, quantum=0.25)),
    Case("assemble_people", "everybody", _people(3, 18, 9, quantum=0.25, min_joints=1, min_score=-5.0, max_people=300)),
    Case("assemble_people", "few-rows", _people(3, 18, 16, quantum=0.25, min_joints=1, min_score=0.1, max_people=4)),
    Case("assemble_people", "one-row", _people(3, 18, 9, min_joints=2, max_people=1)),
    Case("assemble_people", "mpi", _people(3, 15, 11, _MPI, min_score=0.1, **_IN_ORDER)),
    Case("assemble_people", "own-limbs", _people(3, 4, 8, _FOUR, min_joints=1, **_OWN)),
    Case("assemble_people", "no-limbs", _people(3, 4, 8, [], order=[], redundant=[])),
    Case("assemble_people", "one-peak", _people(4, 18, 1)),
    Case("assemble_people", "no-peaks", _people(2, 18, 0)),
    Case("assemble_people", "nobody", _people(0, 18, 5)),
    Case("distance_transform", "official", _messages(1, 4, (42, 42), (0.03, 0.03))),
    Case("distance_transform", "many", _messages(3, 20, (23, 31), (0.03, 0.03))),
    Case("distance_transform", "odd", _messages(2, 3, (17, 53), (0.5, 0.01))),
    Case("distance_transform", "ties", _messages(2, 5, (13, 17), (0.25, 0.125), "ties")),
    Case("distance_transform", "holes", _messages(2, 6, (13, 17), (0.03, 0.05), "holes")),
    Case("distance_transform", "wild", _messages(2, 6, (19, 14), (0.07, 1.3), "wild")),
    Case("distance_transform", "far", _messages(2, 3, (11, 9), (0.03, 0.05), "wild", 200)),
    Case("distance_transform", "one-row", _messages(2, 3, (1, 40), (0.03, 0.03))),
    Case("distance_transform", "one-column", _messages(2, 3, (40, 1), (0.03, 0.03))),
    Case("distance_transform", "one-cell", _messages(3, 4, (1, 1), (0.03, 0.03))),
    Case("distance_transform", "no-cells", _messages(3, 4, (0, 7), (0.03, 0.03))),
    Case("distance_transform", "no-channels", _messages(3, 0, (5, 7), (0.03, 0.03))),
    Case("distance_transform", "nobody", _messages(0, 4, (5, 7), (0.03, 0.03))),
]
