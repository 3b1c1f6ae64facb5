from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("skimage", reason="metrics need scikit-image; pip install posert[train]")

from posert.errors import InputError
from training.metrics import mask_ssim, ssim


def golden_pair() -> tuple[np.ndarray, np.ndarray]:
    y, x, c = np.mgrid[:32, :32, :3]
    a = (3 * x + 5 * y + 7 * c) % 256
    b = (3 * x + 5 * y + 7 * c + (x * y % 11)) % 256
    return a.astype(np.uint8)[None], b.astype(np.uint8)[None]


def test_ssim_has_the_golden_value() -> None:
    assert ssim(*golden_pair()) == pytest.approx(0.96195454, abs=1e-6)  # specs R-11, K17


def ssim_by_definition(a: np.ndarray, b: np.ndarray) -> float:
    """Specs R-7 as a loop over windows, in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    values = []
    for y in range(a.shape[0] - 6):
        for x in range(a.shape[1] - 6):
            p, q = a[y : y + 7, x : x + 7].reshape(49, -1), b[y : y + 7, x : x + 7].reshape(49, -1)
            up, uq = p.mean(0), q.mean(0)
            vp, vq, vpq = p.var(0, ddof=1), q.var(0, ddof=1), ((p - up) * (q - uq)).sum(0) / 48
            values.append((2 * up * uq + 6.5025) * (2 * vpq + 58.5225) / ((up**2 + uq**2 + 6.5025) * (vp + vq + 58.5225)))
    return float(np.mean(values))


def test_ssim_follows_the_definition() -> None:
    rng = np.random.default_rng()
    a = rng.integers(0, 256, (1, 13, 21, 3), np.uint8)
    b = np.clip(a.astype(int) + rng.integers(-40, 40, a.shape), 0, 255).astype(np.uint8)
    assert ssim(a, b) == pytest.approx(ssim_by_definition(a[0], b[0]), abs=1e-6)
    assert ssim(a, a) == pytest.approx(1.0)


def test_mask_ssim_counts_the_background_as_equal() -> None:
    rng = np.random.default_rng()
    a, b = rng.integers(0, 256, (2, 2, 24, 24, 3), np.uint8)
    assert mask_ssim(a, b, np.zeros((2, 24, 24), np.uint8)) == pytest.approx(1.0)
    assert mask_ssim(a, b, np.ones((2, 24, 24), np.uint8)) == pytest.approx(ssim(a, b))


def test_ssim_refuses_other_arrays() -> None:
    with pytest.raises(InputError, match="one shape"):
        ssim(np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 9, 3), np.uint8))
