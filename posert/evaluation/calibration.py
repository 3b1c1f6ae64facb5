"""What a score means: how many of the joints with a score around s are right, and how to make it mean just that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Calibration:
    """A reliability table: joints sorted into bins of equal width by their scores.

    Attributes:
        counts: int64 (B,): joints in each bin; bin b holds scores from b / B to (b + 1) / B, the last one also 1.
        scores: float64 (B,): their mean score; NaN in an empty bin.
        right: float64 (B,): the share of them that is right; NaN in an empty bin.
    """

    counts: NDArray[np.int64]
    scores: NDArray[np.float64]
    right: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.floating[Any]], right: NDArray[np.bool_], bins: int = 10) -> Calibration:
        """Sort joints into bins.

        Args:
            scores: (n,), in [0, 1].
            right: (n,).
            bins: how many.
        """
        number = np.minimum((np.asarray(scores, np.float64) * bins).astype(np.int64), bins - 1)
        counts = np.bincount(number, minlength=bins)
        sums = [np.bincount(number, weights=np.asarray(values, np.float64), minlength=bins) for values in (scores, right)]
        means = [np.divide(total, counts, out=np.full(bins, np.nan), where=counts > 0) for total in sums]
        return cls(counts, means[0], means[1])

    @property
    def expected_error(self) -> float:
        """Expected calibration error (Guo et al., ICML 2017): the mean distance between score and share, weighted by counts."""
        filled = self.counts > 0
        if not filled.any():
            return float("nan")
        return float(np.average(np.abs(self.scores - self.right)[filled], weights=self.counts[filled]))


_CLIP = 1e-3
"""Scores are kept that far from 0 and 1, whose logits are infinite."""

_NEWTON_STEPS = 50


@dataclass(frozen=True)
class Logistic:
    """A map from scores to probabilities: 1 / (1 + exp(-(slope logit(score) + intercept))).

    Attributes:
        slope: 1 leaves the spread of the scores' logits as it is.
        intercept: what is added to them.
    """

    slope: float
    intercept: float

    def __call__(self, scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """The probability of each score to be right, of the same shape, in [0, 1]."""
        return _sigmoid(self.slope * _logit(scores) + self.intercept)

    @classmethod
    def fit(cls, scores: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> Logistic:
        """The most likely map for joints of known scores, by Newton's method.

        Targets are drawn a little from 0 and 1, as many joints of a kind as there are allow (Platt, 1999): so there is a solution
        where all joints are right, or where scores tell right from wrong without fail.

        Args:
            scores: (n,), in [0, 1].
            right: (n,).
        """
        rights = int(np.sum(right))
        target = np.where(right, (rights + 1) / (rights + 2), 1 / (len(right) - rights + 2))
        design = np.stack([_logit(scores), np.ones(len(right))], 1)
        weights = np.array([1.0, 0.0])
        loss = _loss(design @ weights, target)
        for _ in range(_NEWTON_STEPS):
            probability = _sigmoid(design @ weights)
            slopes = design.T @ (probability - target)
            curvature = design.T @ (design * (probability * (1 - probability))[:, None]) + 1e-9 * np.eye(2)
            step = np.linalg.solve(curvature, slopes)
            while np.abs(step).max() > 1e-9 and _loss(design @ (weights - step), target) > loss:
                step = step / 2
            weights = weights - step
            loss = _loss(design @ weights, target)
            if np.abs(step).max() <= 1e-9:
                break
        return cls(float(weights[0]), float(weights[1]))


def cross_validated(
    scores: NDArray[np.floating[Any]], right: NDArray[np.bool_], people: NDArray[np.int64], parts: int = 5
) -> NDArray[np.float64]:
    """Probabilities from maps that were fitted to other people's joints.

    Args:
        scores: (n,), in [0, 1].
        right: (n,).
        people: (n,): whose joint each is; the joints of one person stay together.
        parts: how many parts the people are dealt into; every part gets the map that fits the others.

    Returns:
        float64 (n,); NaN where there are no others.
    """
    part = np.unique(people, return_inverse=True)[1] % parts
    result = np.full(len(scores), np.nan)
    for number in range(parts):
        here = part == number
        if here.any() and not here.all():
            result[here] = Logistic.fit(scores[~here], right[~here])(scores[here])
    return result


def _logit(scores: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    clipped = np.clip(np.asarray(scores, np.float64), _CLIP, 1 - _CLIP)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1 + np.tanh(values / 2)))  # does not overflow


def _loss(values: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    """Cross-entropy of logits."""
    return float(np.sum(np.logaddexp(0, values) - target * values))
