"""The loss on structure: equal to the measure."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="trainings need torch")
pytest.importorskip("torchmetrics", reason="the loss on structure needs torchmetrics")

from training.metrics import ssim  # noqa: E402
from training.structural import structural_loss  # noqa: E402


def test_the_structural_loss_is_one_less_the_measured_similarity() -> None:
    rng = np.random.default_rng(4)
    real = cv2.GaussianBlur(rng.integers(0, 256, (64, 40, 3), np.uint8), (0, 0), 1.5)[None]
    for noise in (0, 5, 30):
        made = np.clip(real + rng.normal(0, noise, real.shape), 0, 255).astype(np.uint8)
        maps = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1 for images in (made, real))
        assert 1 - structural_loss(*maps).item() == pytest.approx(ssim(made, real), abs=0.02)
