"""Definition of `assemble_people` in NumPy and plain Python (specs K14)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posert.ops._check import present

Connection = tuple[float, int, int]


@dataclass
class Person:
    """Index of the peak of each joint, -1 for none; sum of scores; number of peaks that were added."""

    peaks: list[int]
    total: float = 0.0
    count: int = 0

    def add(self, joint: int, peak: int, score: float) -> None:
        """Take a peak, and add a score."""
        self.peaks[joint] = peak
        self.total += score
        self.count += 1


def assemble_people(
    peaks: NDArray[np.float32],
    scores: NDArray[np.float32],
    limbs: NDArray[np.int32],
    order: NDArray[np.int32],
    redundant: NDArray[np.bool_],
    min_joints: int,
    min_score: float,
    people: NDArray[np.float32],
    totals: NDArray[np.float32],
) -> None:
    """Write `posert.ops.assemble_people` into `people`, float32 (N, max_people, K, 3), and `totals`, float32 (N, max_people)."""
    people[..., :2], people[..., 2], totals[...] = np.nan, 0, 0
    for item in range(len(peaks)):
        there = present(peaks[item])
        found: list[Person] = []
        for limb in order.tolist():
            a, b = limbs[limb].tolist()
            if not there[a].any() or not there[b].any():
                for joint in (a, b):
                    start_alone(found, joint, peaks[item, :, :, 2], there[joint])
                continue
            for score, first, second in connections(scores[item, limb], there[a], there[b]):
                if redundant[limb]:
                    fill(found, (a, first), (b, second))
                else:
                    join(found, (a, first), (b, second), score, peaks[item, :, :, 2])
        kept = [person for person in found if person.count >= min_joints and person.total >= min_score * person.count]
        best = sorted(range(len(kept)), key=lambda index: -kept[index].total)[: len(totals[item])]
        for row, index in enumerate(sorted(best)):
            totals[item, row] = kept[index].total
            for joint, peak in enumerate(kept[index].peaks):
                if peak >= 0:
                    people[item, row, joint] = peaks[item, joint, peak]


def connections(scores: NDArray[np.float32], first: NDArray[np.bool_], second: NDArray[np.bool_]) -> list[Connection]:
    """The connections of one limb that are taken: score, index of the first peak and of the second."""
    usable = (scores > 0) & (scores < np.inf) & first[:, None] & second
    pairs = sorted(((float(scores[a, b]), int(a), int(b)) for a, b in np.argwhere(usable)), reverse=True)
    taken: list[Connection] = []
    for pair in pairs:
        if all(pair[1] != a and pair[2] != b for _, a, b in taken):
            taken.append(pair)
    return taken


def join(found: list[Person], a: tuple[int, int], b: tuple[int, int], score: float, values: NDArray[np.float32]) -> None:
    """Give the peak `b` (joint, index) to the first person that has `a`, or to a new one."""
    for person in found:
        if person.peaks[a[0]] == a[1]:
            person.add(*b, float(values[b]) + score)
            return
    person = Person([-1] * len(values))
    person.add(*a, float(values[a]))
    person.add(*b, float(values[b]) + score)
    found.append(person)


def fill(found: list[Person], a: tuple[int, int], b: tuple[int, int]) -> None:
    """Give the peak `b` to everybody who has `a` and nothing there, and `a` to everybody who has `b` and nothing there."""
    for person in found:
        if person.peaks[a[0]] == a[1] and person.peaks[b[0]] < 0:
            person.peaks[b[0]] = b[1]
        elif person.peaks[b[0]] == b[1] and person.peaks[a[0]] < 0:
            person.peaks[a[0]] = a[1]


def start_alone(found: list[Person], joint: int, values: NDArray[np.float32], there: NDArray[np.bool_]) -> None:
    """Start a person of one joint for every peak of it that nobody has."""
    for peak in np.flatnonzero(there).tolist():
        if all(person.peaks[joint] != peak for person in found):
            person = Person([-1] * len(values))
            person.add(joint, peak, float(values[joint, peak]))
            found.append(person)
