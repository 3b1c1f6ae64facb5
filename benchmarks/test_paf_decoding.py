"""20 people in one frame of 368 x 656, from the maps of 46 x 82 cells that a network gives: peaks, limbs, people.

The peers are what a user would write: the maps resized by OpenCV, SciPy's maximum filter, a loop over the pairs of peaks.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from scenes import HEIGHT, STRIDE, WIDTH, crowd, crowd_maps

from posert import ops

Peaks = list[np.ndarray]
Scored = list[list[tuple[float, int, int]]]


def enlarge(maps: np.ndarray) -> np.ndarray:
    return np.stack([cv2.resize(one, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC) for one in maps[0]])[None]


def scipy_peaks(heatmaps: np.ndarray) -> Peaks:
    """x, y, score of the pixels that are the greatest of their 3 x 3."""
    ndimage = pytest.importorskip("scipy.ndimage")
    found = []
    for heatmap in heatmaps[0]:
        rows, columns = np.nonzero((heatmap == ndimage.maximum_filter(heatmap, 3)) & (heatmap > 0.05))
        found.append(np.stack([columns, rows, heatmap[rows, columns]], -1))
    return found


def opencv_peaks(heatmaps: np.ndarray) -> Peaks:
    found, square = [], np.ones((3, 3), np.uint8)
    for heatmap in heatmaps[0]:
        rows, columns = np.nonzero((heatmap == cv2.dilate(heatmap, square)) & (heatmap > 0.05))
        found.append(np.stack([columns, rows, heatmap[rows, columns]], -1))
    return found


def looped_scores(peaks: Peaks, pafs: np.ndarray) -> Scored:
    """Ten samples a line, as ports of the paper's own code take them."""
    scored: Scored = []
    for limb, (first, second) in enumerate(ops.PAF_LIMBS):
        pairs = []
        for a, start in enumerate(peaks[first]):
            for b, end in enumerate(peaks[second]):
                vector = end[:2] - start[:2]
                length = np.sqrt(vector[0] ** 2 + vector[1] ** 2)
                if length == 0:
                    continue
                columns = np.round(np.linspace(start[0], end[0], 10)).astype(int)
                rows = np.round(np.linspace(start[1], end[1], 10)).astype(int)
                field_x, field_y = pafs[0, 2 * limb, rows, columns], pafs[0, 2 * limb + 1, rows, columns]
                along = (field_x * vector[0] + field_y * vector[1]) / length
                score = along.mean() + min(0.5 * HEIGHT / length - 1, 0)
                if np.count_nonzero(along > 0.05) > 8 and score > 0:
                    pairs.append((float(score), a, b))
        scored.append(sorted(pairs, reverse=True))
    return scored


def looped_people(peaks: Peaks, scored: Scored) -> np.ndarray:
    """Greedy, limb by limb; float32 (people, 18, 3)."""
    people: list[dict[int, int]] = []
    for limb in ops.PAF_ORDER:
        first, second = ops.PAF_LIMBS[limb]
        used_a: set[int] = set()
        used_b: set[int] = set()
        for _, a, b in scored[limb]:
            if a in used_a or b in used_b:
                continue
            used_a.add(a)
            used_b.add(b)
            owner = next((person for person in people if person.get(first) == a), None)
            if owner is None and limb not in ops.PAF_REDUNDANT:
                people.append({first: a, second: b})
            elif owner is not None:
                owner.setdefault(second, b)
    result = np.full((len(people), 18, 3), (np.nan, np.nan, 0), np.float32)
    for row, person in enumerate(people):
        for joint, peak in person.items():
            result[row, joint] = peaks[joint][peak]
    return result[(result[..., 2] > 0).sum(1) >= 3]


def as_lists(peaks: np.ndarray) -> Peaks:
    return [joint[joint[:, 2] > 0] for joint in peaks[0]]


class Scene:
    """Inputs of every step, and buffers for posert's results."""

    def __init__(self) -> None:
        self.people = crowd()
        self.heatmaps, self.pafs = crowd_maps(self.people)
        self.large_heatmaps, self.large_pafs = enlarge(self.heatmaps), enlarge(self.pafs)
        self.peaks = ops.find_peaks(self.heatmaps, stride=STRIDE)
        self.scores = ops.limb_scores(self.peaks, self.pafs, stride=STRIDE)
        self.rows = ops.assemble_people(self.peaks, self.scores)[0]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def posert_people(scene: Scene) -> np.ndarray:
    ops.find_peaks(scene.heatmaps, stride=STRIDE, out=scene.peaks)
    ops.limb_scores(scene.peaks, scene.pafs, stride=STRIDE, out=scene.scores)
    people, totals = ops.assemble_people(scene.peaks, scene.scores, out=scene.rows)
    return people[0][totals[0] > 0]


def usual_people(scene: Scene) -> np.ndarray:
    peaks = scipy_peaks(enlarge(scene.heatmaps))
    return looped_people(peaks, looped_scores(peaks, enlarge(scene.pafs)))


WHOLE: dict[str, Callable[[Scene], np.ndarray]] = {
    "posert": posert_people,
    "cv2.resize + maximum_filter + NumPy loop": usual_people,
}


@pytest.mark.parametrize("peer", WHOLE)
def test_people(peer: str, scene: Scene, timed):
    found = WHOLE[peer](scene)
    assert len(found) == len(scene.people)
    error = np.nanmax(np.abs(found[:, None, :, :2] - scene.people[:, :, :2]), (2, 3))
    assert sorted(error.argmin(1)) == list(range(len(scene.people)))
    assert error.min(1).max() < 2
    timed("people from maps", peer, lambda: WHOLE[peer](scene), scene.heatmaps.nbytes + scene.pafs.nbytes)


STEPS: dict[str, dict[str, Callable[[Scene], Any]]] = {
    "find_peaks, from cells": {
        "posert": lambda s: as_lists(ops.find_peaks(s.heatmaps, stride=STRIDE, out=s.peaks)),
        "cv2.resize + maximum_filter": lambda s: scipy_peaks(enlarge(s.heatmaps)),
        "cv2.resize + cv2.dilate": lambda s: opencv_peaks(enlarge(s.heatmaps)),
    },
    "find_peaks, from pixels": {
        "posert": lambda s: as_lists(ops.find_peaks(s.large_heatmaps, out=s.peaks)),
        "maximum_filter": lambda s: scipy_peaks(s.large_heatmaps),
        "cv2.dilate": lambda s: opencv_peaks(s.large_heatmaps),
    },
    "limb_scores, from cells": {
        "posert": lambda s: ops.limb_scores(s.peaks, s.pafs, stride=STRIDE, out=s.scores),
        "cv2.resize + NumPy loop": lambda s: looped_scores(as_lists(s.peaks), enlarge(s.pafs)),
    },
    "limb_scores, from pixels": {
        "posert": lambda s: ops.limb_scores(s.peaks, s.large_pafs, out=s.scores),
        "NumPy loop": lambda s: looped_scores(as_lists(s.peaks), s.large_pafs),
    },
    "assemble_people": {
        "posert": lambda s: ops.assemble_people(s.peaks, s.scores, out=s.rows),
        "Python loop": lambda s: looped_people(as_lists(s.peaks), as_scored(s.scores)),
    },
}


def as_scored(scores: np.ndarray) -> Scored:
    """The connections of `limb_scores`, sorted."""
    return [sorted(((float(limb[a, b]), a, b) for a, b in np.argwhere(limb > 0).tolist()), reverse=True) for limb in scores[0]]


def check_step(step: str, result: Any, scene: Scene) -> None:
    if step.startswith("find_peaks"):
        truth = scene.people[..., :2].swapaxes(0, 1)
        for joints, wanted in zip(result, truth, strict=True):
            distance = np.linalg.norm(joints[:, None, :2] - wanted, axis=-1)
            assert (distance.min(0) < 2).all()
            assert len(joints) <= len(wanted) + 2  # noise
    elif step.startswith("limb_scores"):
        limbs = as_scored(result) if isinstance(result, np.ndarray) else result
        counts = [len(limb) for limb in limbs]
        assert all(len(scene.people) <= count <= 2 * len(scene.people) for count in counts)
    else:
        people = result[0][0][result[1][0] > 0] if isinstance(result, tuple) else result
        assert people.shape == scene.people.shape


@pytest.mark.parametrize(("step", "peer"), [(step, peer) for step, peers in STEPS.items() for peer in peers])
def test_step(step: str, peer: str, scene: Scene, timed):
    work = STEPS[step][peer]
    ops.find_peaks(scene.heatmaps, stride=STRIDE, out=scene.peaks)
    ops.limb_scores(scene.peaks, scene.pafs, stride=STRIDE, out=scene.scores)
    check_step(step, work(scene), scene)
    read = {
        "find_peaks, from cells": scene.heatmaps,
        "find_peaks, from pixels": scene.large_heatmaps,
        "limb_scores, from cells": scene.pafs,
        "limb_scores, from pixels": scene.large_pafs,
        "assemble_people": scene.peaks,
    }[step]
    timed(step, peer, lambda: work(scene), read.nbytes)
