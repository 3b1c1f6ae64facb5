"""Steady joints in a video: short gaps are filled, and the rest is smoothed by the one-euro filter.

Both work on streams of poses, one person's joints a frame, and hold no more than the frames of a fraction of a second.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError

TimedPose = tuple[float, NDArray[np.float32]]
"""A time in seconds, and keypoints (K, 3) with missing joints as (NaN, NaN, 0)."""

LONGEST_GAP = 0.4
"""Seconds: a joint that is missing for longer is missing, and starts anew when it returns."""

_MOST_AHEAD = 64  # frames that are looked ahead, whatever the rate
_SLOWEST = 1.5  # Hz: cutoff for a joint at rest, at strength 1
_SPEED = 4.0  # Hz for each size of the body that a joint moves in a second
_DERIVATIVE = 1.0  # Hz: cutoff for the speed itself, the authors' value
_STRONGEST = 100.0


def fill_gaps(poses: Iterable[TimedPose], longest: float = LONGEST_GAP) -> Iterator[TimedPose]:
    """Fill short gaps of each joint with points on the straight line between its neighbours in time.

    Args:
        poses: of one person, times ascending.
        longest: seconds from the last sight of a joint to the next that are bridged; the result is so much behind its input.

    Returns:
        As many poses. A filled joint has the lower score of its two neighbours.
    """
    ahead: deque[TimedPose] = deque()
    last: NDArray[np.float64] | None = None  # x, y, score, time of each joint when it was last seen
    for pose in poses:
        ahead.append(pose)
        while pose[0] - ahead[0][0] >= longest or len(ahead) > _MOST_AHEAD:
            filled, last = _filled(ahead, last, longest)
            yield filled
            ahead.popleft()
    while ahead:
        filled, last = _filled(ahead, last, longest)
        yield filled
        ahead.popleft()


def _filled(ahead: deque[TimedPose], last: NDArray[np.float64] | None, longest: float) -> tuple[TimedPose, NDArray[np.float64]]:
    """The first pose with its gaps filled from what was last seen and from what follows, and what was last seen by then."""
    time, keypoints = ahead[0]
    last = np.full((len(keypoints), 4), np.nan) if last is None else last.copy()
    seen = keypoints[:, 2] > 0
    result = keypoints.copy()
    for joint in np.flatnonzero(~seen & np.isfinite(last[:, 3])):
        x, y, score, before = last[joint]
        after = next(((t, k[joint]) for t, k in ahead if k[joint, 2] > 0), None)
        if after is not None and after[0] - before <= longest:
            share = (time - before) / (after[0] - before)
            result[joint, :2] = np.array([x, y]) + share * (after[1][:2].astype(np.float64) - (x, y))
            result[joint, 2] = min(score, float(after[1][2]))
    last[seen, :3], last[seen, 3] = keypoints[seen], time
    return (time, result), last


def smooth(poses: Iterable[TimedPose], strength: float = 1.0, longest: float = LONGEST_GAP) -> Iterator[TimedPose]:
    """Smooth each joint's way with the one-euro filter: strongly while it rests, hardly while it moves fast.

    The cutoff frequency is 1.5 Hz / strength + 4 Hz for each size of the body that the joint moves in a second; the size is the
    longer side of the box around the joints. A joint that was missing for longer than `longest` starts anew.

    Args:
        poses: of one person, times ascending.
        strength: 0 (none) to 100; larger is steadier and slower.
        longest: seconds.

    Returns:
        As many poses, with the same joints missing and the same scores.

    Raises:
        InputError: the strength is out of range.

    Source: Casiez, Roussel and Vogel, "1 euro filter", CHI 2012; their beta has a unit here that does not depend on how large the
    person is in the picture.
    """
    check_strength(strength)
    return _smoothed(poses, strength, longest) if strength > 0 else iter(poses)


def check_strength(strength: float) -> None:
    """Refuse a strength that `smooth` does not take.

    Raises:
        InputError: it is out of range.
    """
    if not 0 <= strength <= _STRONGEST:
        raise InputError(f"smoothing must lie between 0 (none) and {_STRONGEST:g}, got {strength}")


def _smoothed(poses: Iterable[TimedPose], strength: float, longest: float) -> Iterator[TimedPose]:
    place = speed = seen_at = np.zeros(0)
    size = 0.0
    for time, keypoints in poses:
        points = keypoints[:, :2].astype(np.float64)
        seen = keypoints[:, 2] > 0
        if not len(seen_at):
            place, speed, seen_at = points.copy(), np.zeros_like(points), np.full(len(points), -math.inf)
        if seen.any():
            now = max(float(np.ptp(points[seen], axis=0).max()), 1.0)
            size = now if size == 0 else size + 0.1 * (now - size)
        fresh = seen & (time - seen_at > longest)
        known = seen & ~fresh
        step = np.maximum(time - seen_at[known], 1e-6)[:, None]
        velocity = (points[known] - place[known]) / step
        speed[known] += _share(_DERIVATIVE, step) * (velocity - speed[known])
        cutoff = _SLOWEST / strength + _SPEED * np.hypot(*speed[known].T)[:, None] / size if known.any() else 1.0
        place[known] += _share(cutoff, step) * (points[known] - place[known])
        place[fresh], speed[fresh] = points[fresh], 0
        seen_at[seen] = time
        result = keypoints.copy()
        result[seen, :2] = place[seen]
        yield time, result


def _share(cutoff: float | NDArray[np.float64], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a new value counts, in a low-pass filter of first order."""
    turn = 2 * math.pi * cutoff * step
    return np.asarray(turn / (1 + turn))
