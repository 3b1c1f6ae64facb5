"""All numbers that a data set's protocol asks for, as one document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.evaluation import metrics
from posert.evaluation.calibration import Calibration, Logistic, cross_validated
from posert.evaluation.dataset import PoseDataset
from posert.evaluation.oks import assign, average_precision
from posert.evaluation.predict import Predictions, available_joints
from posert.skeleton import Skeleton

PCK_THRESHOLD = 0.2
PCKH_THRESHOLD = 0.5
_NOT_IN_TOTAL = ("pelvis", "thorax")
"""Joints that MPII's total leaves out (specs R-7)."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Attributes:
        results: the numbers, ready for `json.dump`; docs/evaluation.md says what each means.
        labelled: float32 (P, K, 3): the labels that were compared with.
        found: float32 (P, K, 3): what was found of each labelled person, in the data set's skeleton.
        distances: float64 (P, K): how far off, in the protocol's unit; NaN where nothing was measured.
        curve: shares of right joints over thresholds.
        calibration: what scores mean.
    """

    results: dict[str, Any]
    labelled: NDArray[np.float32]
    found: NDArray[np.float32]
    distances: NDArray[np.float64]
    curve: metrics.Curve
    calibration: Calibration


def evaluate(predictions: Predictions, dataset: PoseDataset, skeleton: Skeleton, *, observer_centric: bool = False) -> Evaluation:
    """Measure what a model found.

    Where the data set has sizes of heads, PCKh is measured, otherwise PCK in torsos. LSP and LSPET get strict PCP besides, COCO
    average precision.

    Args:
        predictions: of a model on this data set.
        dataset: the labels.
        skeleton: the model's own joints: those of the data set that do not follow from them are left out.
        observer_centric: rename left and right in labels and predictions as an observer sees them, for comparison with papers
            that do so (`posert.evaluation.metrics.observer_centric`).

    Raises:
        MissingDependency: average precision is wanted, and its package is not installed.
    """
    given, derived = available_joints(skeleton, dataset.skeleton)
    truth, found = dataset.keypoints, assign(predictions, dataset)
    if observer_centric:
        truth, found = (metrics.observer_centric(points, dataset.skeleton) for points in (truth, found))
    heads = dataset.head_sizes
    lengths = _torsos(truth, dataset.skeleton, observer_centric) if heads is None else heads
    distances = metrics.relative_distances(found, truth, lengths)
    distances[:, ~given] = np.nan
    name, threshold = ("PCK", PCK_THRESHOLD) if heads is None else ("PCKh", PCKH_THRESHOLD)
    counted = np.array([heads is None or joint not in _NOT_IN_TOTAL for joint in dataset.skeleton.joints])
    curve = metrics.Curve.of(distances[:, counted])
    joints = dataset.skeleton.joints
    results: dict[str, Any] = {
        "images": predictions.images,
        "people": int(dataset.labelled.sum()),
        "people_measured": int((~np.isnan(distances)).any(1).sum()),
        "joints_measured": int((~np.isnan(distances[:, counted])).sum()),
        "metric": f"{name}@{threshold:g}",
        "total": _json(metrics.fraction_right(distances[:, counted].reshape(-1, 1), threshold)[0]),
        "joints": _joint_table(found, distances, threshold, joints),
        "joints_not_given": [joint for joint, has in zip(joints, given, strict=True) if not has],
        "joints_derived": [joint for joint, has in zip(joints, derived, strict=True) if has],
        "joints_not_in_total": [joint for joint, has in zip(joints, counted, strict=True) if not has],
        "observer_centric": observer_centric,
        "curve": {
            "name": "PDJ" if heads is None else "PCKh",
            "unit": "torso" if heads is None else "head",
            "thresholds": [round(float(t), 4) for t in curve.thresholds],
            "total": [_json(value) for value in curve.total],
            "area": _json(curve.area),
            "joints": _joint_curves(distances, joints),
        },
        "images_per_second": _json(predictions.images / predictions.seconds if predictions.seconds else np.nan),
        "notes": list(dataset.notes) + _notes(distances, dataset),
    }
    measured = ~np.isnan(distances)
    table = Calibration.of(found[..., 2][measured], distances[measured] <= threshold)
    results["calibration"] = _calibration(table, found[..., 2], distances, threshold)
    if dataset.name in ("lsp", "lspet"):
        results["pcp"] = _pcp(found, truth, dataset.skeleton, given)
    if dataset.areas is not None:
        results["average_precision"] = average_precision(predictions, dataset, given)
    return Evaluation(results, truth, found, distances, curve, table)


def _torsos(truth: NDArray[np.float32], skeleton: Skeleton, observer_centric: bool) -> NDArray[np.float64]:
    """From left shoulder to right hip; from right to left as an observer sees it, the same of a person seen from the front."""
    sides = ("right", "left") if observer_centric else ("left", "right")
    start, end = skeleton.joints.index(f"{sides[0]}_shoulder"), skeleton.joints.index(f"{sides[1]}_hip")
    return metrics.segment_lengths(truth, start, end)


def _joint_table(
    found: NDArray[np.float32], distances: NDArray[np.float64], threshold: float, joints: tuple[str, ...]
) -> dict[str, dict[str, Any]]:
    """Of each joint that was measured: how many there are, the share that is right, and the mean score."""
    right = metrics.fraction_right(distances, threshold)
    return {
        joint: {"measured": int(measured.sum()), "right": _json(right[k]), "score": _json(found[measured, k, 2].mean())}
        for k, (joint, measured) in enumerate(zip(joints, (~np.isnan(distances)).T, strict=True))
        if measured.any()
    }


def _joint_curves(distances: NDArray[np.float64], joints: tuple[str, ...]) -> dict[str, list[float | None]]:
    """The share of right joints at each threshold, for each joint that was measured."""
    shares = metrics.Curve.of(distances).joints
    return {
        joint: [_json(value) for value in column]
        for joint, column in zip(joints, shares.T, strict=True)
        if not np.isnan(column).any()
    }


def _calibration(
    table: Calibration, scores: NDArray[np.float32], distances: NDArray[np.float64], threshold: float
) -> dict[str, Any]:
    """The table over all measured joints (one that was not found has the score 0 and is wrong), and what would mend it."""
    measured = ~np.isnan(distances)
    right, people = distances[measured] <= threshold, np.nonzero(measured)[0]
    mended = cross_validated(scores[measured], right, people)
    fitted = Logistic.fit(scores[measured], right) if len(right) else None
    error = np.nan if np.isnan(mended).any() else Calibration.of(mended, right).expected_error
    count = len(table.counts)
    return {
        "expected_error": _json(table.expected_error),
        "bins": [
            {"from": round(b / count, 4), "to": round((b + 1) / count, 4)}
            | {"joints": int(n), "score": _json(score), "right": _json(share)}
            for b, (n, score, share) in enumerate(zip(table.counts, table.scores, table.right, strict=True))
        ],
        "logistic": None
        if fitted is None
        else {"slope": _json(fitted.slope), "intercept": _json(fitted.intercept), "expected_error": _json(error)},
    }


def _pcp(found: NDArray[np.float32], truth: NDArray[np.float32], skeleton: Skeleton, given: NDArray[np.bool_]) -> dict[str, Any]:
    """Strict PCP of each stick whose joints the model gives, the means of left and right, and the mean over the sticks."""
    labelled = truth.copy()
    labelled[:, ~given] = np.nan
    sticks = metrics.strict_pcp(found, labelled, skeleton)
    groups: dict[str, list[float]] = {}
    for stick, value in sticks.items():
        groups.setdefault(stick.removeprefix("left_").removeprefix("right_"), []).append(value)
    return {
        "threshold": 0.5,
        "mean": _json(np.mean(list(sticks.values())) if sticks else np.nan),
        "parts": {part: _json(np.mean(values)) for part, values in groups.items()},
        "sticks": {stick: _json(value) for stick, value in sticks.items()},
    }


def _notes(distances: NDArray[np.float64], dataset: PoseDataset) -> list[str]:
    unmeasured = int((dataset.labelled & np.isnan(distances).all(1)).sum())
    if not unmeasured:
        return []
    unit = "a head rectangle" if dataset.head_sizes is not None else "both ends of the torso"
    return [f"{unmeasured} of {int(dataset.labelled.sum())} people are not measured: their labels lack {unit}"]


def _json(value: float | np.floating[Any]) -> float | None:
    """A number for JSON, which has no NaN."""
    return round(float(value), 6) if np.isfinite(value) else None
