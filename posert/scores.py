"""From the height of a heatmap's peak to the chance that the joint is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def calibrated(scores: NDArray[np.float32], slope: float, intercept: float) -> NDArray[np.float32]:
    """Map scores by ``1 / (1 + exp(-(slope logit(score) + intercept)))``; 0 stays 0 and 1 stays 1.

    Args:
        scores: float32 (...), in [0, 1].
        slope: above 0, so that the order of scores stays; 1 with an intercept of 0 changes nothing.
        intercept: in -100..100.

    Returns:
        float32 (...), in [0, 1].
    """
    values = scores.astype(np.float64)
    right, wrong = values**slope * np.exp(intercept), (1 - values) ** slope
    result: NDArray[np.float32] = (right / (right + wrong)).astype(np.float32)
    return result
