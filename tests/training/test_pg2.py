"""PG2 learns in every variant, stops and goes on, and its configurations say what they should."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")
pytest.importorskip("skimage", reason="training needs scikit-image; pip install posert[train]")

from safetensors.torch import load_file  # noqa: E402

from posert.errors import InputError  # noqa: E402
from posert.media.images import read_image  # noqa: E402
from posert.models.pg2 import PG2Config  # noqa: E402
from training import ablation_pg2, loop, pg2, pg2_validation  # noqa: E402
from training.command import change_setting  # noqa: E402
from training.data.market1501 import Market1501  # noqa: E402
from training.identity_pairs import FLIP, PairSampler  # noqa: E402
from training.metrics import ssim  # noqa: E402
from training.pg2_settings import StageSettings, apply_profile  # noqa: E402

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
TINY = PG2Config(channels=8, refinement_channels=8, discriminator_channels=8)
HALF = replace(TINY, height=64, width=32)
SMALL = {"channels": 4, "refinement_channels": 4, "discriminator_channels": 4}
CPU = torch.device("cpu")
STAGE = StageSettings(steps=6, batch=2, rate=2e-3)


@pytest.fixture
def people() -> Market1501:
    rng = np.random.default_rng(0)
    keypoints = np.concatenate([rng.uniform(8, 56, (4, 18, 2)) * (1, 2), np.ones((4, 18, 1))], -1).astype(np.float32)
    images = rng.integers(0, 256, (4, 8, 4, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    return Market1501([f"{i}" for i in range(4)], images, keypoints, np.array([1, 1, 2, 2], np.int32))


def batches(people: Market1501) -> Callable[[int], pg2.Batch]:
    """Batches by number, of half the size, which takes a quarter of the time."""
    sampler, smaller = PairSampler(people, 0), torch.nn.functional.max_pool2d

    def batch(number: int) -> pg2.Batch:
        whole = pg2.Batch.of(sampler.batch(number % 2, 4), CPU)
        return pg2.Batch(smaller(whole.x, 2), smaller(whole.target, 2), smaller(whole.mask, 2))

    return batch


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        ({"embedding": "coordinates"}, {"loss": "l1"}),
        ({"embedding": "heatmap_encoder"}, {"loss": "l1"}),
        ({}, {"loss": "l1"}),
        ({"pose_range": "unit"}, {"loss": "pose_mask_l1"}),
        ({}, {"adversarial": True, "reconstruction": 50.0}),
        ({"pair_mode": "pair6"}, {"adversarial": True, "reconstruction": 50.0}),
    ],
    ids=["G1-CE-L1", "G1-HME-L1", "G1-L1", "G1-poseMaskLoss", "G1+D", "G1+D of pairs"],
)
def test_the_coarse_stage_overfits(people: Market1501, change: dict[str, Any], settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    batch, stage = batches(people), pg2.Stage(replace(HALF, **change), replace(STAGE, **settings), CPU)
    first = stage.step(batch(0))["L1"]
    for number in range(60):
        losses = stage.step(batch(number))
    assert losses["L1"] < 0.8 * first
    assert np.isfinite(list(losses.values())).all()
    assert losses.keys() == ({"L1", "D", "adversarial"} if settings.get("adversarial") else {"L1"})


@pytest.mark.parametrize(
    ("pair_mode", "official"), [("triplet", False), ("triplet", True), ("pair6", False)], ids=["triplet", "official", "pair6"]
)
def test_the_second_stage_learns_and_leaves_the_first_alone(people: Market1501, pair_mode: str, official: bool) -> None:
    torch.manual_seed(0)
    config, batch = replace(HALF, pair_mode=pair_mode), batches(people)
    weights = pg2.Stage(config, STAGE, CPU).model.state_dict()
    kept = {name: value.clone() for name, value in weights.items()}
    settings = replace(STAGE, rate=1e-3, reconstruction=100.0, adversarial=True, coarse_in_batch=official)
    stage = pg2.Stage(config, settings, CPU, weights)
    before = {name: value.clone() for name, value in stage.discriminator.state_dict().items()}
    history = [stage.step(batch(number), batch(number + 1) if official else None) for number in range(30)]
    assert np.isfinite([list(losses.values()) for losses in history]).all()
    assert np.mean([losses["L1"] for losses in history[-5:]]) < np.mean([losses["L1"] for losses in history[:5]])
    assert all(torch.equal(kept[name], value) for name, value in stage.coarse.state_dict().items())
    assert not any(
        torch.equal(before[name], value) for name, value in stage.discriminator.state_dict().items() if value.dim() > 1
    )


def test_what_the_discriminator_sees(people: Market1501) -> None:
    """The real picture first, then the source, the picture of the generator last; of pairs, each beside its source."""
    batch = batches(people)(0)
    picture, coarse = torch.full_like(batch.target, 0.25), torch.full_like(batch.target, 0.75)
    seen: list[torch.Tensor] = []

    def judge(images: torch.Tensor) -> torch.Tensor:
        seen.append(images)
        return images.mean((1, 2, 3))

    for pair_mode, count in (("triplet", 3), ("pair6", 2)):
        stage = pg2.Stage(replace(HALF, pair_mode=pair_mode), replace(STAGE, adversarial=True, coarse_in_batch=True), CPU)
        stage.discriminator = judge
        assert len(stage._judge(batch, picture, coarse)) == count
    singles, pairs = seen
    source = batch.x[:, :3]
    assert all(torch.equal(a, b) for a, b in zip(singles.split(4), (batch.target, source, picture, coarse), strict=True))
    assert torch.equal(pairs[:4], torch.cat([source, batch.target], 1))
    assert torch.equal(pairs[4:], torch.cat([source, picture], 1))


def test_losses_are_weighted_as_the_released_scripts_do(people: Market1501) -> None:
    """D: half for the real picture, a quarter each for source and result; G: the adversarial part and lambda times L1."""
    batch = batches(people)(0)
    settings = replace(STAGE, adversarial=True, reconstruction=10.0, adversarial_weight=0.5)
    stage = pg2.Stage(HALF, settings, CPU, autocast=False)
    logits = [torch.tensor([value] * 4, requires_grad=True) for value in (1.0, -2.0, 3.0)]
    asked = {}
    stage._judge = lambda *_: logits
    stage._update = lambda name, loss: asked.setdefault(name, loss.item())
    losses = stage.step(batch)
    bce = [float(np.log1p(np.exp(value))) for value in (-1.0, -2.0, 3.0)]
    assert losses["D"] == pytest.approx(0.5 * bce[0] + 0.25 * bce[1] + 0.25 * bce[2], rel=1e-5)
    assert asked["optimizer"] == pytest.approx(10 * losses["L1"] + 0.5 * float(np.log1p(np.exp(-3.0))), rel=1e-5)


class BlurredDifference(torch.nn.Module):
    """In the place of VGG's features: means of squares of eight pixels."""

    def forward(self, made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        return (torch.nn.functional.avg_pool2d(made.float(), 8) - torch.nn.functional.avg_pool2d(real, 8)).abs().mean()


@pytest.mark.parametrize("name", ["perceptual", "structural"])
def test_a_loss_on_pictures_is_added_by_its_weight(people: Market1501, name: str) -> None:
    if name == "structural":
        pytest.importorskip("torchmetrics", reason="the loss on structure needs torchmetrics")
    batch, asked = batches(people)(0), {}
    for weight in (0.0, 3.0):
        torch.manual_seed(0)
        stage = pg2.Stage(HALF, replace(STAGE, **{name: weight}), CPU, perceptual=BlurredDifference())
        stage._update = lambda name, loss, weight=weight: asked.setdefault(weight, loss.item())
        losses = stage.step(batch)
    assert asked[3.0] == pytest.approx(asked[0.0] + 3 * losses[name], rel=1e-5)
    assert losses[name] > 0
    assert stage.perceptual not in stage.modules.values()  # it is not trained, nor kept in checkpoints


def test_a_perceptual_loss_needs_weights(people: Market1501, tmp_path: Path) -> None:
    job = pg2.Job({}, None, people, tmp_path, None, 1, CPU)
    assert job.perceptual(STAGE) is None
    with pytest.raises(InputError, match="--vgg"):
        job.perceptual(replace(STAGE, perceptual=1.0))
    with pytest.raises(InputError, match="is missing"):
        replace(job, vgg=tmp_path).perceptual(replace(STAGE, perceptual=1.0))


def test_masked_l1_counts_the_body_twice() -> None:
    output, target = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert pg2.masked_l1(output, target, torch.zeros(1, 1, 2, 2)).item() == 1
    assert pg2.masked_l1(output, target, mask).item() == 1.25


def test_evaluation_scores_a_perfect_and_an_unchanged_picture(people: Market1501, tmp_path: Path) -> None:
    """All weights of G1 are zero, so that its picture is 0, which is grey level 127."""
    generator = pg2_validation.Generator(TINY)
    weights = {name: torch.zeros_like(value) for name, value in generator.coarse.state_dict().items()}
    same = pg2_validation.evaluate(TINY, [weights], people, np.array([[0, 0], [1, 1]]), None, tmp_path / "grid.png")
    assert set(same) == {"pairs", "coarse_ssim", "coarse_mask_ssim"}
    assert (tmp_path / "grid.png").stat().st_size > 500
    assert same["coarse_ssim"] == pytest.approx(ssim(np.full_like(people.images[:2], 127), people.images[:2]))
    both = pg2_validation.evaluate(TINY, [weights, generator.refine.state_dict()], people, np.array([[0, 1]]), None)
    assert {"final_ssim", "final_mask_ssim"} <= set(both)


def test_scaled_difference() -> None:
    generator, x = pg2_validation.Generator(TINY), torch.randn(1, 21, 128, 64)
    coarse, image = generator(x)
    generator.refine.load_state_dict(pg2.scale_difference(generator.refine.state_dict(), 0.25))
    torch.testing.assert_close(generator(x)[1], coarse + 0.25 * (image - coarse), rtol=1e-4, atol=1e-5)


def test_samples_depend_on_the_step_alone(people: Market1501) -> None:
    for a, b in zip(PairSampler(people, 5).batch(3, 4), PairSampler(people, 5).batch(3, 4), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(PairSampler(people, 5).batch(3, 4)[0], PairSampler(people, 5).batch(4, 4)[0])


def test_only_given_pairs_are_drawn(people: Market1501) -> None:
    source, _, target = PairSampler(people, 0, np.array([[3, 2]]), hidden_faces=0.0).batch(0, 16)
    for pictures, number in ((source, 3), (target, 2)):
        image = people.images[number]
        assert all(np.array_equal(p, image) or np.array_equal(p, image[:, ::-1]) for p in pictures)


def test_mirrored_poses_follow_mirrored_pictures(people: Market1501) -> None:
    """Wherever a target is mirrored, its pose is mirrored and left and right change places."""
    sampler = PairSampler(people, 1)
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
                    expected = truth[FLIP] * (-1, 1, 1) + (63, 0, 0)
                    np.testing.assert_allclose(points[visible], expected[visible], rtol=1e-6)
    assert mirrored > 10
    assert plain > 10


def job(people: Market1501, out: Path, sampler: Any = None) -> pg2.Job:
    settings = {"seed": 1, "model": SMALL, "validation_pairs": [2, 3], "coarse": {"steps": 6, "batch": 2, "rate": 2e-3}}
    settings["refine"] = {"steps": 3, "batch": 2, "rate": 1e-3, "adversarial": True, "fresh_batches": True, "strength": 0.5}
    return pg2.Job(settings, sampler or PairSampler(people, 0), people, out, None, 2, CPU)


class Interrupted(PairSampler):
    """Pairs for a training whose process is stopped before its second stage ends."""

    def batch(self, number: int, count: int) -> Any:
        if number == self.last:
            raise KeyboardInterrupt
        return super().batch(number, count)


@pytest.mark.parametrize("last", [5, 4], ids=["in stage I", "in stage II"])
def test_a_resumed_run_ends_where_an_unbroken_one_does(people: Market1501, tmp_path: Path, last: int) -> None:
    scores = pg2.train(job(people, tmp_path / "whole"))
    sampler = Interrupted(people, 0)
    sampler.last = last
    if last == 4:  # stage I sees batches 0 to 5, stage II those from 0 to 5 as well: let the first one pass
        sampler.last = -1
        first = job(people, tmp_path / "broken", sampler)
        first.settings["model"] = {**SMALL, "stages": 1}
        pg2.train(first)
        sampler.last = last
    with pytest.raises(KeyboardInterrupt):
        pg2.train(job(people, tmp_path / "broken", sampler))
    state = loop.load_checkpoint(tmp_path / "broken" / ("coarse" if last == 5 else "refine") / "checkpoint.pt")
    assert state is not None
    assert state["step"] == (4 if last == 5 else 2)
    assert pg2.train(job(people, tmp_path / "broken")) == scores
    whole, broken = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(whole[name], broken[name]) for name in whole)
    assert scores == json.loads((tmp_path / "whole" / "scores.json").read_text())
    assert scores["pairs"] == 3
    assert (tmp_path / "whole" / "validation.png").is_file()


def test_a_run_starts_from_weights(people: Market1501, tmp_path: Path) -> None:
    pg2.train(job(people, tmp_path / "first"))
    given = tmp_path / "first" / "weights.safetensors"
    second = job(people, tmp_path / "second")
    for stage in ("coarse", "refine"):
        second.settings[stage] = {**second.settings[stage], "steps": 0, "strength": 1.0}
    pg2.train(second, given)
    first, again = load_file(given), load_file(tmp_path / "second" / "weights.safetensors")
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    wide = job(people, tmp_path / "wide")
    wide.settings["model"] = {**SMALL, "channels": 6, "bottleneck": 32}
    with pytest.raises(InputError, match="another width"):
        pg2.train(wide, given)
    with pytest.raises(InputError, match="cannot be read"):
        pg2.train(job(people, tmp_path / "third"), tmp_path / "none.safetensors")


def test_configurations_hold_what_the_specification_says() -> None:
    """Specs pg2, section 4: the released scripts and, with the other profile, the paper."""
    wanted = {
        ("market", "official"): ((16, 22000), (16, 38000), 10.0, 1.0, "triplet", "signed"),
        ("market", "paper"): ((16, 22000), (16, 14000), 10.0, 1.0, "pair6", "unit"),
        ("deepfashion", "official"): ((1, 22000), (1, 58000), 50.0, 0.5, "triplet", "signed"),
        ("deepfashion", "paper"): ((8, 30000), (8, 20000), 50.0, 1.0, "pair6", "unit"),
    }
    for (data, profile), (coarse, refine, weight, adversarial, pair_mode, pose_range) in wanted.items():
        settings = tomllib.loads((CONFIGS / f"pg2-{data}.toml").read_text())
        settings["profile"] = profile
        apply_profile(settings, ["coarse.rate=1e-5"])
        config = PG2Config(**settings["model"])
        stages = [StageSettings.of(settings, name) for name in ("coarse", "refine")]
        assert (config.height, config.blocks, config.channels) == ((128, 5, 128) if data == "market" else (256, 6, 128))
        assert [(stage.batch, stage.steps) for stage in stages] == [coarse, refine]
        assert (stages[1].reconstruction, stages[1].adversarial_weight) == (weight, adversarial)
        assert (config.pair_mode, config.pose_range) == (pair_mode, pose_range)
        assert [stage.rate for stage in stages] == [1e-5, 2e-5]
        assert all(stage.schedule == "constant" and stage.average == 0 for stage in stages)
        assert stages[1].coarse_in_batch == ((data, profile) == ("market", "official"))
    small = tomllib.loads((CONFIGS / "pg2-s.toml").read_text())
    assert StageSettings.of(small, "refine").adversarial


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(InputError, match="official"):
        apply_profile({"profile": "papers", "profiles": {"paper": {}}}, [])
    with pytest.raises(InputError, match="l1"):
        StageSettings(1, 1, 1e-3, loss="l2")
    for settings in ({}, {"coarse": {"steps": 1}}, {"coarse": {"steps": 1, "batch": 1, "rate": 1e-3, "speed": 2}}):
        with pytest.raises(InputError, match=r"\[coarse\]"):
            StageSettings.of(settings, "coarse")


def test_every_variant_of_the_paper_is_a_change_of_one_configuration() -> None:
    """The ablation's variants differ in what they are named after, and get the same number of updates."""
    found = {}
    for name, (changes, *_) in ablation_pg2.VARIANTS.items():
        settings = tomllib.loads(ablation_pg2.CONFIG.read_text())
        for change in [*changes, *ablation_pg2.steps(changes, 900)]:
            change_setting(settings, change)
        config, coarse = PG2Config(**settings["model"]), StageSettings.of(settings, "coarse")
        refine = StageSettings.of(settings, "refine")
        assert coarse.steps + refine.steps == 900
        assert (refine.steps == 350) == (config.stages == 2)
        found[name] = (config.embedding, config.stages, coarse.loss, coarse.adversarial)
    assert found == {
        "G1-CE-L1": ("coordinates", 1, "l1", False),
        "G1-HME-L1": ("heatmap_encoder", 1, "l1", False),
        "G1-L1": ("heatmaps", 1, "l1", False),
        "G1-poseMaskLoss": ("heatmaps", 1, "pose_mask_l1", False),
        "G1+D": ("heatmaps", 1, "pose_mask_l1", True),
        "G1+G2+D": ("heatmaps", 2, "pose_mask_l1", False),
    }


def test_the_ablation_runs_and_tells_which_order_came_out(people: Market1501, tmp_path: Path) -> None:
    """Two variants of three updates, by the command itself, on pictures in Market-1501's layout."""
    folder = tmp_path / "market" / "bounding_box_train"
    folder.mkdir(parents=True)
    lines = ["name:keypoints_y:keypoints_x"]
    for identity in range(1, 53):
        for number in range(2):
            name = f"{identity:04}_c1s1_00000{number}_00.jpg"
            cv2.imwrite(str(folder / name), people.images[identity % 4])
            x, y = (people.keypoints[number, :, axis].astype(int).tolist() for axis in (0, 1))
            lines.append(f"{name}: {y}: {x}")
    (tmp_path / "market" / "market-annotation-train.csv").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "training.ablation_pg2", "--data", str(tmp_path / "market"), "--out", str(tmp_path / "out")]
    command += ["--steps", "3", "--only", "G1+G2+D", "G1-CE-L1", "--set", "validation_pairs=[2, 4]", "--device", "cpu"]
    command += ["--set", "model.channels=4", "--set", "coarse.batch=2", "--set", "refine.batch=2", "--threads", "1"]
    for _ in range(2):  # the second time nothing is left to be trained
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        assert done.returncode == 0, done.stderr
    text = (tmp_path / "out" / "ablation.md").read_text()
    assert text == done.stdout
    assert "| G1-CE-L1 | 0." in text
    assert "In the paper: G1+G2+D, G1-CE-L1." in text
    assert read_image(tmp_path / "out" / "ablation.png").shape[1] > 5 * 96


def test_deepfashion_is_trained_on_by_its_configuration(tmp_path: Path) -> None:
    """Two people of two pictures each as PATN cuts them, and the paper's profile with narrow networks."""
    (tmp_path / "train").mkdir()
    rng, lines = np.random.default_rng(0), ["name:keypoints_y:keypoints_x"]
    for name in ("Pantsid0000002901_1front", "Pantsid0000002901_3back", "Denimid0000056501_1front", "Denimid0000056501_2side"):
        picture = rng.integers(0, 256, (16, 11, 3), np.uint8).repeat(16, 0).repeat(16, 1)
        cv2.imwrite(str(tmp_path / "train" / f"fashionMEN{name}.jpg"), picture)
        lines.append(f"fashionMEN{name}.jpg: {rng.integers(20, 230, 18).tolist()}: {rng.integers(20, 150, 18).tolist()}")
    (tmp_path / "fasion-resize-annotation-train.csv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "training.pg2", "--config", str(CONFIGS / "pg2-deepfashion.toml"), "--out", str(out)]
    command += ["--data", str(tmp_path), "--device", "cpu", "--threads", "1", "--workers", "1"]
    narrow = [f"model.{name}=2" for name in ("channels", "refinement_channels", "discriminator_channels")]
    changes = [
        "profile='paper'",
        "validation_identities=1",
        "validation_pairs=[1, 2]",
        "coarse.steps=2",
        "refine.steps=1",
        *narrow,
    ]
    command += [part for change in changes for part in ("--set", change)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "scores.json").read_text())["pairs"] == 2
    assert load_file(out / "weights.safetensors")["refine.stem.weight"].shape == (2, 6, 3, 3)
    line = json.loads((out / "refine" / "log.jsonl").read_text())
    assert line.keys() >= {"L1", "D", "adversarial", "final_ssim"}
