"""Structured features and Adversarial PoseNet learn: small networks overfit, and their labels and losses mean what specs say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")
pytest.importorskip("scipy", reason="training needs SciPy; pip install posert[train]")

from safetensors.torch import save_file  # noqa: E402

from posert.errors import InputError  # noqa: E402
from posert.models.adversarial import APN_LITE, Generator  # noqa: E402
from posert.models.cpm import CPM, CPMConfig  # noqa: E402
from posert.models.structured import Structured, StructuredConfig  # noqa: E402
from posert.trees import get_tree  # noqa: E402
from training import adversarial, cpm, part_labels, structured  # noqa: E402
from training.command import Run, fill, groups  # noqa: E402
from training.data.people import PosePictures  # noqa: E402
from training.pixels import SIGNED, UNIT, normalise  # noqa: E402
from training.views import Views  # noqa: E402

SIZE = (96, 64)
EMPTY = PosePictures([], np.empty((0, 19, 3), np.float32), np.empty((0, 19), np.float32), np.empty((0, 19), bool))


def views(count: int = 4) -> Views:
    rng = np.random.default_rng(0)
    keypoints = np.concatenate([rng.uniform(8, 56, (count, 19, 2)), np.ones((count, 19, 1))], -1).astype(np.float32)
    known, occluded = np.ones((count, 19), bool), np.ones((count, 19), np.float32)
    known[0, 3], keypoints[0, 3] = False, (np.nan, np.nan, 0)
    occluded[:, 5:] = 0
    return Views(rng.integers(0, 256, (count, *SIZE, 3), np.uint8), keypoints, known, occluded)


class OneBatch:
    """A sampler of the same views again and again."""

    size = SIZE

    def batch(self, number: int, count: int) -> Views:
        return views()


def job(out: Path, **settings) -> Run:
    shared = {"seed": 1, "steps": 60, "batch": 4, "rate": 3e-3, "trunk_rate": 3e-3, "frozen": 0}
    return Run(shared | settings, OneBatch(), EMPTY, out, None, None, 1000)  # type: ignore[arg-type]


SMALL_TREE = {
    "tree": "lsp19",
    "backbone": "movenet-lightning",
    "mixtures": 1,
    "width": 16,
    "features": 16,
    "features_kernel": 3,
    "normalise": False,
    "part_channels": 4,
    "transform_kernel": 3,
    "transform_hidden": [4],
    "background_hidden": 0,
}
SMALL_STACKS = {"backbone": "movenet-lightning", "joints": 19, "stacks": 2, "width": 16, "depth": 2, "discriminator_width": 8}
RIVALRY = {"sigma": 0.875, "delta": 0.5, "epsilon": 0.5, "discriminator_rate": 1e-3, "alpha": 0.05, "beta": 0.05}


@pytest.mark.parametrize("message_passing", [True, False])
def test_structured_features_overfit(tmp_path: Path, message_passing: bool) -> None:
    torch.manual_seed(0)
    run = job(tmp_path, labels="gaussian", negatives=0.5, model={**SMALL_TREE, "message_passing": message_passing})
    model, labeller = structured.build(run), structured.Labeller(run.settings, run.sampler)
    optimizer, losses = structured.optimizer_of(model, run.settings), []
    known = torch.from_numpy(part_labels.known_parts(views().known, labeller.tree))
    for number in range(40):
        logits = model(normalise(views().images))
        loss, plain = structured.classification_loss(logits, labeller(views(), number), known)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(plain.item())
    assert losses[-1] < 0.6 * losses[0]


@pytest.mark.parametrize("discriminators", [["pose", "confidence"], []])
def test_adversarial_posenet_overfits(tmp_path: Path, discriminators: list[str]) -> None:
    torch.manual_seed(0)
    trainer = adversarial.Trainer(job(tmp_path, discriminators=discriminators, model=SMALL_STACKS, **RIVALRY))
    history = [trainer.step(views()) for _ in range(60)]
    assert history[-1]["loss"] < 0.75 * history[0]["loss"]
    assert np.isfinite([list(losses.values()) for losses in history]).all()
    assert ("pose discriminator" in history[0]) == bool(discriminators)


def test_literal_formula_runs_and_mistakes_are_refused(tmp_path: Path) -> None:
    settings = {"model": SMALL_STACKS, **RIVALRY, "discriminators": ["pose"]}
    trainer = adversarial.Trainer(job(tmp_path, **settings, rule="minimax", optimizer="rmsprop"))
    assert np.isfinite(list(trainer.step(views()).values())).all()
    with pytest.raises(InputError, match="rule"):
        adversarial.Trainer(job(tmp_path, **settings, rule="wishful"))
    with pytest.raises(InputError, match="labels"):
        structured.Labeller(job(tmp_path, labels="guesses", model=SMALL_TREE).settings, OneBatch())  # type: ignore[arg-type]


def test_good_joints_ask_nothing_of_the_generator() -> None:
    """Where all joints passed the adversarial gradient is zero; a discriminator learns to call such joints real."""
    logits = torch.zeros(2, 3, requires_grad=True)
    counted, passed = torch.ones(2, 3), torch.ones(2, 3)
    for rule in adversarial.RULES:
        assert adversarial.adversarial_loss(logits, passed, counted, rule).item() == 0
    passed[1, 2] = 0
    adversarial.adversarial_loss(logits, passed, counted, "per_joint").backward()
    assert logits.grad is not None
    assert logits.grad.nonzero().tolist() == [[1, 2]]
    assert logits.grad[1, 2] < 0, "it is to look more real"
    right = torch.where(passed > 0, 9.0, -9.0)
    assert adversarial.discriminator_loss(torch.full((2, 3), 9.0), right, passed, counted) < 0.01
    assert adversarial.discriminator_loss(torch.full((2, 3), 9.0), -right, passed, counted) > 8


def test_joints_pass_by_distance_and_by_likeness() -> None:
    batch = views()
    target = adversarial.targets(batch, SIZE, 8, 0.875)
    assert target.shape == (4, 38, 12, 8)
    assert target[:, 24:].abs().max() == 0, "no map of a hidden joint for one that is seen"
    torch.testing.assert_close(target[:, 19:24], target[:, :5])
    near, sure = adversarial.passes(target, target, batch.keypoints, 8, 0.5, 0.5)
    expected = torch.from_numpy(batch.keypoints[..., 2])
    torch.testing.assert_close(near, expected)
    torch.testing.assert_close(sure, expected)
    near, sure = adversarial.passes(target.roll(4, -1), target, batch.keypoints, 8, 0.5, 0.5)
    assert near.sum() == sure.sum() == 0
    near, sure = adversarial.passes(0.4 * target, target, batch.keypoints, 8, 1.0, 0.5)
    assert near.sum() == expected.sum(), "in the right place"
    assert sure.sum() == 0, "but not sure of it"


def test_hidden_stacks_count_and_unlabelled_joints_do_not() -> None:
    target, known, told = torch.zeros(2, 4, 3, 3), torch.ones(2, 2), torch.ones(2, 2)
    stack = torch.zeros(2, 4, 3, 3)
    stack[0, 1, 1, 1] = 2
    assert adversarial.generator_loss([stack, target], target, known, told).item() == pytest.approx(4 / (2 * 2 * 2))
    known[0, 1] = 0
    assert adversarial.generator_loss([stack, stack], target, known, told).item() == 0


def test_occlusion_is_learnt_only_where_labels_tell_it() -> None:
    target, known, told = torch.zeros(1, 4, 3, 3), torch.ones(1, 2), torch.tensor([[1.0, 0.0]])
    stack = torch.zeros(1, 4, 3, 3)
    stack[0, 3, 1, 1] = 2
    assert adversarial.generator_loss([stack], target, known, told).item() == 0
    assert adversarial.generator_loss([stack], target, known, torch.ones(1, 2)).item() == 2
    batch = views(1)
    batch.occluded[0, 3] = np.nan
    maps = adversarial.targets(batch, SIZE, 8, 1.0)
    assert maps[0, 19 + 2].any()
    assert not maps[0, 19 + 3].any()


def test_an_unlabelled_part_may_be_anywhere() -> None:
    """Its logits may be as large as they like where the label says background."""
    parts = np.full((1, 19, 3), (np.nan, np.nan, 0), np.float32)
    parts[0, 0] = (20, 20, 1)
    labels = part_labels.gaussian_labels(parts, SIZE, np.random.default_rng(0), 1.0)
    torch.testing.assert_close(labels.target.sum(1), torch.ones(1, 12, 8))
    logits = 12 * labels.target
    logits[:, 7] = logits[:, -1]  # the background's logits, given to an unlabelled part
    logits[:, -1] = 0
    known = torch.zeros(1, 19, dtype=torch.bool)
    known[0, 0] = True
    assert structured.classification_loss(logits, labels, known)[1] < 0.2
    assert structured.classification_loss(logits, labels, torch.ones_like(known))[1] > 5


def test_ring_labels() -> None:
    """A joint's own cell is positive; a band about it is background now and then; nothing else counts."""
    parts = np.full((2, 2, 3), (np.nan, np.nan, 0), np.float32)
    parts[0] = [(8 * 12 + 3, 8 * 9 + 3, 1), (8 * 12 + 3.4, 8 * 9 + 3, 1)]  # both in cell (12, 9)
    mixture = np.array([[1, 0], [0, 0]])
    labels = part_labels.ring_labels(parts, mixture, np.array([80.0, 18.0]), 2, (160, 200), np.random.default_rng(0))
    target, used = labels.target.numpy(), labels.used.numpy()
    assert target.shape == (2, 5, 20, 25)
    assert target[0, :, 9, 12].tolist() == [0, 0.5, 0.5, 0, 0]
    assert used[0, 9, 12]
    rows, columns = np.nonzero(used[0])
    distance = np.hypot(rows - 9, columns - 12)
    assert ((distance == 0) | ((distance > 4) & (distance <= 5))).all()
    band = np.hypot(*np.indices((20, 25)) - np.array([9, 12])[:, None, None])
    band = (band > 4) & (band <= 5)
    assert 0.2 < used[0][band].mean() < 0.8
    assert (labels.weight[0][labels.used[0]] == torch.where(torch.from_numpy(distance == 0), 1.0, 0.5)).all()
    assert used[1].mean() < 0.05, "nobody there: one cell in a hundred"


def test_anatomy_finds_the_mixtures() -> None:
    tree = get_tree("cpm14")
    rng = np.random.default_rng(1)
    parts = np.concatenate([rng.uniform(40, 60, (200, 14, 2)), np.ones((200, 14, 1))], -1).astype(np.float32)
    parts[::2, 4, 0] = parts[::2, 3, 0] + 80  # forearms point right in half of the people
    parts[1::2, 4, 0] = parts[1::2, 3, 0] - 80
    anatomy = part_labels.Anatomy.learn(parts, tree, 2, seed=0, runs=5)
    assert sorted(anatomy.offsets[4, :, 0].round(1).tolist()) == [-10, 10]
    mixture = anatomy.mixture(parts, tree)
    assert len({*mixture[::2, 4]}) == len({*mixture[1::2, 4]}) == 1
    assert mixture[0, 4] != mixture[1, 4]
    parts[:, :13] = (np.nan, np.nan, 0)
    assert anatomy.scale(parts, tree).tolist() == [18.0] * 200
    assert (anatomy.mixture(parts, tree) == 0).all()


def test_viewer_names_the_sides() -> None:
    """Seen from the front left and right change places, seen from behind they stay; a person may stand on the head."""
    names = structured.SKELETON.joints
    points = np.full((3, 14, 3), (np.nan, np.nan, 0), np.float32)
    for n, (x, y) in enumerate(((1, 1), (-1, 1), (-1, -1))):
        for joint, where in {"neck": (0, 0), "right_shoulder": (-5, 0), "left_shoulder": (5, 0)}.items():
            points[n, names.index(joint)] = (x * where[0], y * where[1], 1)
        for joint, where in {"right_hip": (-4, 9), "left_hip": (4, 9), "right_wrist": (-8, 5)}.items():
            points[n, names.index(joint)] = (x * where[0], y * where[1], 1)
    seen = part_labels.observer_centric(points)
    wrist = names.index("left_wrist"), names.index("right_wrist")
    assert (seen[:, wrist, 2] > 0).tolist() == [[True, False], [False, True], [True, False]]


def test_weights_come_from_another_estimator(tmp_path: Path) -> None:
    """All of another of the same sizes; of any on the same trunk what fits, and the trunk for certain."""
    torch.manual_seed(0)
    sizes = {"stages": 2, "depth": 1, "center_map": False}
    source = CPM(CPMConfig("movenet-lightning", width=16, **sizes))  # type: ignore[arg-type]
    save_file(source.state_dict(), tmp_path / "cpm.safetensors")
    same = CPM(source.config)
    fill(same, {"frozen": 0}, None, tmp_path / "cpm.safetensors", SIGNED)
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in same.state_dict().items())
    model = Structured(StructuredConfig(**SMALL_TREE))  # type: ignore[arg-type]
    fill(model, {"frozen": 3}, None, tmp_path / "cpm.safetensors", SIGNED)
    own, given = model.backbone.state_dict(), source.backbone.state_dict()
    assert all(torch.equal(value, given[name]) for name, value in own.items())
    wider = CPM(CPMConfig("movenet-lightning", width=24, **sizes))  # type: ignore[arg-type]
    before = wider.backbone.adapt[0].weight.clone()
    fill(wider, {"frozen": 0}, None, tmp_path / "cpm.safetensors", SIGNED)
    assert torch.equal(wider.backbone.adapt[0].weight, before)
    assert torch.equal(wider.backbone.trunk.stem.weight, given["trunk.stem.weight"])
    assert [p.requires_grad for p in model.backbone.trunk.stem.parameters()] == [False, False]
    parts = groups(model, 1.0, 0.1)
    assert sum(len(part["params"]) for part in parts) == sum(p.requires_grad for p in model.parameters())
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="same trunk"):
        fill(wider, {"frozen": 0}, None, tmp_path / "other.safetensors", SIGNED)
    with pytest.raises(InputError, match="this MoveNet trunk"):
        fill(wider, {"frozen": 0}, tmp_path / "other.safetensors", None, SIGNED)
    with pytest.raises(InputError, match="has another"):
        fill(Generator(APN_LITE), {"frozen": 0, "trunk_pixels": "caffe"}, tmp_path / "cpm.safetensors", None, UNIT)


def test_a_pose_machine_on_vgg_is_trained_with_its_centre_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = job(tmp_path, model={"backbone": "vgg", "joints": 19, "stages": 2, "width": 4, "kernel": 3, "depth": 1})
    model = cpm.build(settings)
    seen = []
    model.stages[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0][:, -1].float()))
    monkeypatch.setattr(cpm, "run", lambda title, modules, optimizers, step, *rest: step(0))
    assert np.isfinite(cpm.train(model, settings)["loss"])  # type: ignore[index]
    assert seen[0].shape == (4, SIZE[0] // 8, SIZE[1] // 8)
    rows, columns = np.unravel_index(int(seen[0][0].argmax()), seen[0].shape[1:])
    assert (rows, columns) == (5, 3), "the middle of 12 x 8 cells, as the reference counts it"
