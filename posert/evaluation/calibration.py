"""What a score means: how many of the joints with a score around s are right."""

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
