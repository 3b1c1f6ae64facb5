"""The loops learn: a small network overfits a few pictures; rates, averages and targets are what they should be."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")
pytest.importorskip("scipy", reason="training needs SciPy; pip install posert[train]")

from posert.models.cpm import CPM, CPMConfig  # noqa: E402
from training import cpm, loop  # noqa: E402
from training.pixels import normalise  # noqa: E402


def test_cpm_overfits() -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    model = CPM(CPMConfig("movenet-lightning", joints=14, stages=3, width=16, depth=2, center_map=False))
    images = rng.integers(0, 256, (4, 96, 64, 3), np.uint8)
    keypoints = np.concatenate([rng.uniform(8, 56, (4, 14, 2)), np.ones((4, 14, 1))], -1).astype(np.float32)
    labelled = torch.ones(4, 14)
    labelled[0, 3] = 0
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = cpm.belief_loss(model(normalise(images)), cpm.targets(keypoints, (96, 64)), labelled)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_unlabelled_joints_do_not_count() -> None:
    target = torch.zeros(1, 3, 4, 4)
    belief = torch.zeros(1, 3, 4, 4)
    belief[0, 1] = 5
    assert cpm.belief_loss([belief], target, torch.tensor([[1.0, 0.0]])) == 0
    assert cpm.belief_loss([belief], target, torch.ones(1, 2)) > 0
    belief[0, 1], belief[0, 2] = 0, 5  # a background cannot be right where a joint is unknown
    assert cpm.belief_loss([belief], target, torch.tensor([[1.0, 0.0]])) == 0


def test_average_and_rate() -> None:
    module = torch.nn.Linear(1, 1)
    average = loop.Average(module, decay=0.9)
    with torch.no_grad():
        module.weight.fill_(1.0)
    for _ in range(300):
        average.update(module)
    assert average.state["weight"].item() == pytest.approx(1.0, abs=1e-4)
    rates = [loop.cosine_rate(step, 1000, warmup=100) for step in range(1000)]
    assert max(rates) == pytest.approx(1.0)
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.02, abs=1e-3)


def test_targets_peak_at_the_joint_and_add_a_background() -> None:
    keypoints = np.full((1, 14, 3), np.nan, np.float32)
    keypoints[..., 2] = 0
    keypoints[0, 4] = (100.2, 57.9, 1)
    maps = cpm.targets(keypoints, (368, 368)).numpy()
    assert maps.shape == (1, 15, 46, 46)
    assert maps[0, 4].max() == pytest.approx(0.969357, abs=1e-6)  # specs R-11, K9
    assert np.unravel_index(maps[0, 4].argmax(), (46, 46)) == (7, 12)
    np.testing.assert_allclose(maps[0, 14], 1 - maps[0, 4], atol=1e-6)
