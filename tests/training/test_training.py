"""The loops learn, stop and go on: small networks overfit a few pictures, and a resumed run ends where an unbroken one does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")
pytest.importorskip("scipy", reason="training needs SciPy; pip install posert[train]")
pytest.importorskip("skimage", reason="training needs scikit-image; pip install posert[train]")

from posert.errors import InputError  # noqa: E402
from posert.models.cpm import CPM, CPMConfig  # noqa: E402
from posert.models.pg2 import PG2Config  # noqa: E402
from training import cpm, loop, pg2  # noqa: E402
from training.data.market1501 import Market1501  # noqa: E402
from training.metrics import ssim  # noqa: E402
from training.pixels import normalise  # noqa: E402

TINY = PG2Config(channels=8, refinement_channels=8, discriminator_channels=8)


@pytest.fixture
def people() -> Market1501:
    rng = np.random.default_rng(0)
    keypoints = np.concatenate([rng.uniform(8, 56, (4, 18, 2)) * (1, 2), np.ones((4, 18, 1))], -1).astype(np.float32)
    images = rng.integers(0, 256, (4, 8, 4, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    return Market1501([f"{i}" for i in range(4)], images, keypoints, np.array([1, 1, 2, 2], np.int32))


class Interrupted(pg2.CoarseStage):
    """Stage I whose process is stopped in its fifth step."""

    steps = 0

    def step(self, *inputs: torch.Tensor) -> dict[str, float]:
        self.steps += 1
        if self.steps == 5:
            raise KeyboardInterrupt
        return super().step(*inputs)


def run_coarse(people: Market1501, out: Path, stage_class: type[pg2.CoarseStage] = pg2.CoarseStage) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    out.mkdir(exist_ok=True)
    stage, sampler = stage_class(TINY, rate=2e-3), pg2.PairSampler(people, 0)
    return pg2.train_stage(stage, {"steps": 6, "batch": 2}, sampler, out, lambda *_: {}, checkpoint_every=2)


def test_pg2_overfits_and_adversarial_stage_runs(people: Market1501, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sampler = pg2.PairSampler(people, 0)
    coarse = pg2.CoarseStage(TINY, rate=2e-3)

    def inputs(step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        source, pose, target = sampler.batch(step % 2, 4)
        return pg2.network_input(source, pose), normalise(target), torch.zeros(4, 1, 128, 64)

    first = coarse.step(*inputs(0))["L1"]
    for step in range(60):
        last = coarse.step(*inputs(step))["L1"]
    assert last < 0.75 * first
    refine = pg2.RefineStage(TINY, rate=1e-3, reconstruction=100.0, coarse=coarse.model.state_dict())
    before = {k: v.clone() for k, v in refine.coarse.state_dict().items()}
    history = [refine.step(*inputs(step)) for step in range(30)]
    assert np.isfinite([list(h.values()) for h in history]).all()
    assert np.mean([h["L1"] for h in history[-5:]]) < np.mean([h["L1"] for h in history[:5]])
    assert all(torch.equal(before[k], v) for k, v in refine.coarse.state_dict().items()), "stage II must leave G1 alone"


def test_masked_l1_counts_the_body_twice() -> None:
    output, target = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert pg2.masked_l1(output, target, torch.zeros(1, 1, 2, 2)).item() == 1
    assert pg2.masked_l1(output, target, mask).item() == 1.25


def test_evaluation_scores_a_perfect_and_an_unchanged_picture(people: Market1501) -> None:
    """A generator that returns its source scores 1 where source and target are alike, and less where they are not."""
    generator = pg2.Generator(TINY)
    weights = {name: torch.zeros_like(value) for name, value in generator.coarse.state_dict().items()}
    same = pg2.evaluate(TINY, weights, None, people, np.array([[0, 0], [1, 1]]), None)
    assert set(same) == {"coarse_ssim", "coarse_mask_ssim"}
    grey = np.full_like(people.images[:2], 127)  # all weights are zero, so the picture is 0, which is grey level 127
    assert same["coarse_ssim"] == pytest.approx(ssim(grey, people.images[:2]))
    both = pg2.evaluate(TINY, weights, generator.refine.state_dict(), people, np.array([[0, 1]]), None)
    assert {"final_ssim", "final_mask_ssim"} <= set(both)


def test_scaled_difference() -> None:
    generator, x = pg2.Generator(TINY), torch.randn(1, 21, 128, 64)
    coarse, image = generator(x)
    generator.refine.load_state_dict(pg2.scale_difference(generator.refine.state_dict(), 0.25))
    torch.testing.assert_close(generator(x)[1], coarse + 0.25 * (image - coarse), rtol=1e-4, atol=1e-5)


def test_pair_discriminator_is_not_trained_yet() -> None:
    with pytest.raises(InputError, match="triplet"):
        pg2.RefineStage(PG2Config(channels=8, pair_mode="pair6"), rate=1e-3, reconstruction=1.0, coarse={})


def test_samples_depend_on_the_step_alone(people: Market1501) -> None:
    for a, b in zip(pg2.PairSampler(people, 5).batch(3, 4), pg2.PairSampler(people, 5).batch(3, 4), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(pg2.PairSampler(people, 5).batch(3, 4)[0], pg2.PairSampler(people, 5).batch(4, 4)[0])


def test_mirrored_poses_follow_mirrored_pictures(people: Market1501) -> None:
    """Wherever a target is mirrored, its pose is mirrored and left and right change places."""
    sampler = pg2.PairSampler(people, 1)
    mirrored = plain = 0
    for step in range(20):
        _, pose, target = sampler.batch(step, 4)
        for points, picture in zip(pose, target, strict=True):
            for image, truth in zip(people.images, people.keypoints, strict=True):
                visible = points[:, 2] > 0
                if np.array_equal(picture, image):
                    plain += 1
                    np.testing.assert_array_equal(points[visible], truth[visible])
                elif np.array_equal(picture, image[:, ::-1]):
                    mirrored += 1
                    expected = truth[pg2.FLIP] * (-1, 1, 1) + (63, 0, 0)
                    np.testing.assert_allclose(points[visible], expected[visible], rtol=1e-6)
    assert mirrored > 10
    assert plain > 10


def test_a_resumed_run_ends_where_an_unbroken_one_does(people: Market1501, tmp_path: Path) -> None:
    whole = run_coarse(people, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_coarse(people, tmp_path / "broken", Interrupted)
    state = loop.load_checkpoint(tmp_path / "broken" / "coarse.pt")
    assert state is not None
    assert state["step"] == 4
    resumed = run_coarse(people, tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    finished = run_coarse(people, tmp_path / "broken")  # nothing is left to do
    assert all(torch.equal(whole[name], finished[name]) for name in whole)


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
