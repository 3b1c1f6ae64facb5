"""Similarity by hand, and average precision against a plain definition of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from posert.evaluation.dataset import PoseDataset
from posert.evaluation.oks import assign, average_precision, sigmas, similarity
from posert.evaluation.predict import Predictions
from posert.skeleton import get_skeleton

COCO = get_skeleton("coco17")
ALL = np.ones(17, bool)


def dataset_of(keypoints: np.ndarray, index: list[int], areas: np.ndarray | None, crowd: list[bool] | None = None) -> PoseDataset:
    files = tuple(Path(f"{i}.jpg") for i in range(max(index) + 1))
    return PoseDataset(
        "coco",
        COCO,
        files,
        keypoints.astype(np.float32),
        np.array(index),
        tuple(range(len(files))),
        areas=areas,
        crowd=None if crowd is None else np.array(crowd),
    )


def found_people(keypoints: np.ndarray, index: list[int], scores: list[float]) -> Predictions:
    return Predictions(keypoints.astype(np.float32), np.array(index), np.array(scores), None, max(index) + 1, 1.0)


def people(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 100, (count, 17, 3)) + np.arange(count)[:, None, None] * 150
    points[..., 2] = 1
    return points


def test_sigmas_are_cocos() -> None:
    expected = [
        0.026,
        0.025,
        0.025,
        0.035,
        0.035,
        0.079,
        0.079,
        0.072,
        0.072,
        0.062,
        0.062,
        0.107,
        0.107,
        0.087,
        0.087,
        0.089,
        0.089,
    ]
    assert sigmas(COCO).tolist() == expected
    assert (sigmas(get_skeleton("mpii16")) > 0).all()


def test_similarity_by_hand() -> None:
    truth = people(1)
    truth[0, 2:] = (np.nan, np.nan, 0)  # a nose and an eye
    found = truth.copy()
    area = 2500.0
    found[0, 0, 0] += 2 * 0.026 * 50  # one standard deviation off
    alike = similarity(found, truth, np.array([area]), sigmas(COCO))
    assert alike.item() == pytest.approx((np.exp(-0.5) + 1) / 2, rel=1e-6)
    found[0, 1] = (np.nan, np.nan, 0)
    assert similarity(found, truth, np.array([area]), sigmas(COCO)).item() == pytest.approx(np.exp(-0.5) / 2, rel=1e-6)


def test_people_are_assigned_by_similarity_and_each_but_once() -> None:
    truth = people(3)
    found = np.concatenate([truth[1:2] + (3, 0, 0), truth[1:2] + (1, 0, 0), truth[0:1] + (2, 0, 0)])
    found[..., 2] = 1
    data = dataset_of(truth, [0, 0, 0], None)
    result = assign(found_people(found, [0, 0, 0], [0.9, 0.5, 0.7]), data)
    np.testing.assert_allclose(result[1, :, 0], truth[1, :, 0] + 1, rtol=1e-6)
    np.testing.assert_allclose(result[0, :, 0], truth[0, :, 0] + 2, rtol=1e-6)
    assert np.isnan(result[2, :, :2]).all()
    elsewhere = assign(found_people(found, [1, 1, 1], [1, 1, 1]), dataset_of(truth, [0, 0, 1], None))
    assert np.isnan(elsewhere[:2, :, 0]).all()


def precision_by_definition(found: Predictions, data: PoseDataset) -> float:
    """COCO's AP as a loop: matched from the highest score down, precision made monotone, read at 101 recalls."""
    assert data.areas is not None
    order = np.argsort(-found.scores, kind="stable")
    results = []
    for threshold in np.linspace(0.5, 0.95, 10):
        taken: set[int] = set()
        right = []
        for d in order:
            here = [p for p in np.flatnonzero(data.image_index == found.image_index[d]) if p not in taken]
            alike = similarity(found.keypoints[d : d + 1], data.keypoints[here], data.areas[here], sigmas(COCO))[0]
            best = int(np.argmax(alike)) if len(here) else -1
            right.append(best >= 0 and alike[best] >= threshold)
            if right[-1]:
                taken.add(int(here[best]))
        hits = np.cumsum(right)
        recall, precision = hits / len(data), hits / np.arange(1, len(right) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        at = np.searchsorted(recall, np.linspace(0, 1, 101), side="left")
        results.append(np.mean([precision[i] if i < len(precision) else 0 for i in at]))
    return float(np.mean(results))


def test_average_precision_follows_the_definition() -> None:
    pytest.importorskip("faster_coco_eval", reason="average precision: pip install posert[eval]")
    rng = np.random.default_rng(5)
    truth = people(12)
    index = sorted(rng.integers(0, 4, 12).tolist())
    data = dataset_of(truth, index, rng.uniform(2000, 12000, 12))
    found = np.repeat(truth, 2, axis=0) + rng.normal(0, 1, (24, 17, 3)) * rng.uniform(0, 12, (24, 1, 1)) * (1, 1, 0)
    found = found[:21]
    predictions = found_people(found, np.repeat(index, 2)[:21].tolist(), rng.random(21).tolist())
    result = average_precision(predictions, data, ALL)
    assert result["AP"] == pytest.approx(precision_by_definition(predictions, data), abs=1e-6)
    assert 0.1 < result["AP"] < 0.95


def test_average_precision_of_perfect_and_of_absent_people() -> None:
    pytest.importorskip("faster_coco_eval", reason="average precision: pip install posert[eval]")
    truth = people(3)
    data = dataset_of(truth, [0, 0, 1], np.full(3, 5000.0))
    perfect = average_precision(found_people(truth, [0, 0, 1], [0.5, 0.9, 0.7]), data, ALL)
    assert perfect["AP"] == pytest.approx(1)
    assert perfect["APl"] is None  # nobody is that large
    absent = np.full((1, 17, 3), (np.nan, np.nan, 0))
    assert average_precision(found_people(absent, [0], [0.0]), data, ALL)["AP"] == 0


def test_average_precision_leaves_out_joints_and_crowds() -> None:
    pytest.importorskip("faster_coco_eval", reason="average precision: pip install posert[eval]")
    truth = people(3)
    found = truth.copy()
    found[:, :5] = (np.nan, np.nan, 0)  # no face
    data = dataset_of(truth, [0, 0, 0], np.full(3, 5000.0))
    predictions = found_people(found, [0, 0, 0], [0.5, 0.9, 0.7])
    assert average_precision(predictions, data, ALL)["AP"] < 0.9
    assert average_precision(predictions, data, ~np.isin(np.arange(17), range(5)))["AP"] == pytest.approx(1)
    crowd = dataset_of(truth, [0, 0, 0], np.full(3, 5000.0), [False, False, True])
    two = found_people(truth[:2], [0, 0], [0.5, 0.9])
    assert average_precision(two, crowd, ALL)["AP"] == pytest.approx(1)
    assert average_precision(two, data, ALL)["AP"] < 0.8
