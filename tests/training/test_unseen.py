"""Training on pairs of frames: augmentation keeps labels with pictures, losses fall, both stages and the baseline learn."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")
pytest.importorskip("safetensors", reason="training needs safetensors; pip install posert[train]")
pytest.importorskip("rich", reason="training needs rich; pip install posert[train]")
pytest.importorskip("skimage", reason="training needs scikit-image; pip install posert[train]")

from posert import TransferBatch  # noqa: E402
from posert.errors import InputError  # noqa: E402
from training import evaluate_pairs, unseen  # noqa: E402
from training.data.pairs import UNKNOWN, Clip, Frame, RenderedPairs  # noqa: E402
from training.pairs import (  # noqa: E402
    FLIP,
    ClipSource,
    PairAugmentation,
    PairSampler,
    RenderedSource,
    augmented,
    inputs,
    resized,
    stack,
)
from training.perceptual import Perceptual  # noqa: E402

SIZE = (64, 64)
CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"


def figure(rng: np.random.Generator, colours: np.ndarray, size: tuple[int, int] = SIZE) -> Frame:
    """A figure of ten coloured discs, one a part, somewhere before a plain ground."""
    from posert.ops.limb_priors.parts import UNSEEN_PARTS

    middle = np.array([(0, -22), (0, -14), (-6, -13), (-9, -5), (-10, 3), (6, -13), (9, -5), (10, 3)])
    joints = np.concatenate([middle, [(-4, 3), (-5, 12), (-5, 22), (4, 3), (5, 12), (5, 22)]]) + rng.normal(0, 1.5, (14, 2))
    joints = (joints * 1.1 + np.array(size[::-1]) / 2 + rng.normal(0, 2, 2)).astype(np.float32)
    parts = np.zeros(size, np.uint8)
    for part, members in enumerate(UNSEEN_PARTS, 1):
        x, y = joints[list(members)].mean(0)
        cv2.circle(parts, (round(float(x)), round(float(y))), 4, part, -1)
    return Frame(colours[parts], np.concatenate([joints, np.ones((14, 1), np.float32)], 1), parts, parts > 0)


class Figures:
    """Pairs of such figures."""

    def __init__(self, fixed: int | None = None) -> None:
        self.fixed = fixed

    def draw(self, rng: np.random.Generator, count: int) -> list[tuple[Frame, Frame]]:
        """Pairs at random, or some of a few."""
        pairs = []
        for _ in range(count):
            own = rng if self.fixed is None else np.random.default_rng(int(rng.integers(self.fixed)))
            colours = own.integers(0, 256, (11, 3)).astype(np.uint8)
            pairs.append((figure(own, colours), figure(own, colours)))
        return pairs


def test_labels_move_with_the_picture() -> None:
    """Where a part's disc is, its joints are, also in the mirror: a right arm becomes a left one."""
    from posert.ops.limb_priors.parts import UNSEEN_PARTS

    rng, mirrored = np.random.default_rng(3), 0
    still = PairAugmentation(saturation=0)
    for _ in range(12):
        colours = np.stack([np.arange(11) * 20] * 3, -1).astype(np.uint8)
        source = figure(rng, colours)
        first, second = augmented(source, figure(rng, colours), (96, 96), still, rng)
        for frame in (first, second):
            for part, members in enumerate(UNSEEN_PARTS, 1):
                x, y = frame.joints[list(members), :2].mean(0).round().astype(int)
                own = frame.parts[y, x] == part or part in frame.parts[y - 2 : y + 3, x - 2 : x + 3]
                assert own or (frame.parts[y, x] > 0 and part in (1, 10)), "another part's disc may lie over it"
            assert ((frame.parts > 0) == frame.person).mean() > 0.99
        mirrored += _is_moved(source.joints, first.joints[FLIP])
    assert 0 < mirrored < 12


def _is_moved(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether an affine map takes the one to the other."""
    known = np.concatenate([before[:, :2], np.ones((len(before), 1))], 1)
    return float(np.linalg.lstsq(known, after[:, :2], rcond=None)[1].sum()) < 1e-3


def test_batches_depend_on_number_and_seed_alone() -> None:
    sampler = PairSampler([(Figures(), 1.0)], SIZE, 5, PairAugmentation(missing=1.0))
    one, again, other = sampler.batch(7, 3), sampler.batch(7, 3), sampler.batch(8, 3)
    np.testing.assert_array_equal(one.source, again.source)
    np.testing.assert_array_equal(one.target_joints, again.target_joints)
    assert (one.source != other.source).any()
    assert np.isnan(one.source_joints[..., 0]).any(1).all(), "every pose lacks a joint"


def test_clips_give_frames_that_are_apart() -> None:
    rng, frames = np.random.default_rng(0), 100
    images = [cv2.imencode(".png", np.full((32, 32, 3), i, np.uint8))[1].tobytes() for i in range(frames)]
    mask = cv2.imencode(".png", np.pad(np.full((8, 8), 255, np.uint8), 12))[1].tobytes()
    clip = Clip(images, [mask] * frames, np.ones((frames, 14, 3), np.float32))
    for _ in range(50):
        ((first, second),) = ClipSource({"clip": clip}).draw(rng, 1)
        assert abs(int(first.image[0, 0, 0]) - int(second.image[0, 0, 0])) >= 2
        assert set(np.unique(first.parts)) == {0, UNKNOWN}
        assert first.person.sum() == 64
    larger = resized(first, (64, 64))
    assert larger.image.shape == (64, 64, 3)
    assert larger.person.sum() == pytest.approx(256, rel=0.1)
    broken = Clip(images, [b"nothing"] * frames, clip.joints)
    with pytest.raises(InputError, match="damaged"):
        broken.frame(0)


def test_rendered_pairs_are_the_same_everywhere(data_root: Path) -> None:
    synth_root = data_root.parent / "synth"
    if not synth_root.is_dir():
        pytest.skip(f"needs the renderer in {synth_root}")
    pairs = RenderedPairs(synth_root, (96, 96))
    source, target = pairs.pair(5)
    again = RenderedPairs(synth_root, (96, 96)).pair(5)
    np.testing.assert_array_equal(source.image, again[0].image)
    np.testing.assert_array_equal(target.parts, again[1].parts)
    assert source.parts.max() <= 10
    assert (source.person == (source.parts > 0)).mean() > 0.999
    assert (source.joints != target.joints).any()
    head = source.joints[[0, 1], :2].mean(0).round().astype(int)
    if (head >= 0).all() and (head < 96).all() and source.person[head[1], head[0]]:
        assert source.parts[head[1], head[0]] in (1, 10, *range(2, 6))
    drawn = PairSampler([(RenderedSource(pairs), 1.0)], (64, 64), 1).batch(0, 2)
    assert drawn.source.shape == (2, 64, 64, 3)


def test_a_rendered_pair_without_a_person_is_drawn_again(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synth_root = data_root.parent / "synth"
    if not synth_root.is_dir():
        pytest.skip(f"needs the renderer in {synth_root}")
    pairs = RenderedPairs(synth_root, (64, 64))
    numbered, seeds = pairs.renderer.numbered, []

    def empty_at_first(seed: int, *options: Any, **named: Any) -> list[dict[str, Any]]:
        seeds.append(seed)
        views = numbered(seed, *options, **named)
        return views if len(seeds) > 2 else [view | {"identity": view["identity"][:0]} for view in views]

    monkeypatch.setattr(pairs.renderer, "numbered", empty_at_first)
    source, _ = pairs.pair(6)
    assert source.person.any()
    assert len(set(seeds)) == len(seeds) >= 3


def test_perceptual_loss(data_root: Path) -> None:
    loss = Perceptual(data_root / "weights", taps=5)
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.uniform(-1, 1, (1, 3, 48, 48)).astype(np.float32))
    assert loss(image, image) == 0
    slightly, strongly = (loss(image + amount * torch.randn_like(image), image) for amount in (0.02, 0.2))
    assert 0 < slightly < strongly
    for taps in (0, 13):
        with pytest.raises(InputError, match="taps"):
            Perceptual(data_root / "weights", taps=taps)
    with pytest.raises(InputError, match="missing"):
        Perceptual(data_root / "nothing")


class PixelLoss(torch.nn.Module):
    """In the place of VGG where there are no weights: differences of pictures and of their halves."""

    def forward(self, made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        small = [torch.nn.functional.avg_pool2d(images, 2) for images in (made, real)]
        return (made - real).abs().mean() + (small[0] - small[1]).abs().mean()


def job(tmp_path: Path, config: str = "unseen-s", **changes: object) -> unseen.Job:
    settings = tomllib.loads((CONFIGS / f"{config}.toml").read_text()) | {"size": list(SIZE), "batch": 4, "rate": 2e-3, **changes}
    settings["model"] = settings["model"] | {"channels": 8}
    settings["loss"] = settings["loss"] | {"crop": 48}
    sampler = PairSampler([(Figures(fixed=4), 1.0)], SIZE, 1, PairAugmentation((1, 1.001), 0, 0, 0))
    return unseen.Job(settings, sampler, unseen.Judge({}, None), PixelLoss(), tmp_path, torch.device("cpu"))  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{}, {"baseline": True}, {"adversarial": 0.1}], ids=["networks", "baseline", "adversarial"])
def test_sixty_steps_learn_four_pairs(tmp_path: Path, changes: dict) -> None:
    torch.manual_seed(0)
    this = job(tmp_path, **changes)
    if "adversarial" in changes:
        this.settings["discriminator_channels"] = 4
    trainer = unseen.Trainer(unseen.build(this.settings), this)
    losses = [trainer.step(number) for number in range(60)]
    began = this.settings["discriminator_first"] if "adversarial" in changes else 0
    first, last = (np.mean([line["loss"] for line in part]) for part in (losses[began : began + 5], losses[-5:]))
    assert last < 0.7 * first
    if "adversarial" in changes:
        assert all(line["loss"] == 0 for line in losses[:began])
        assert losses[-1]["judge"] < losses[0]["judge"]


def test_holes_are_filled_with_what_is_around_them(tmp_path: Path) -> None:
    """Plain grounds: sixty steps teach to cut out who was laid over a picture, and to go on with the colour beside the hole."""
    this = job(tmp_path)
    this.settings["loss"] = this.settings["loss"] | {"crop": 0}
    torch.manual_seed(0)
    model = unseen.build(this.settings)
    optimizer, losses = torch.optim.Adam([*model.background.parameters(), *model.segmentation.parameters()], 4e-3), []
    for number in range(60):
        pairs = PairSampler([(Figures(), 1.0)], SIZE, 1).batch(number, 4)
        target = torch.from_numpy(pairs.target).permute(0, 3, 1, 2) / 127.5 - 1
        losses.append(unseen.filling(model, pairs, target, inputs(pairs), this, np.random.default_rng(0)))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert model.foreground.head.weight.grad is None
    first, last = (float(torch.stack(part).mean().item()) for part in (losses[:5], losses[-5:]))
    assert last < 0.75 * first


def test_every_loss_can_be_left_out(tmp_path: Path) -> None:
    pairs = stack(Figures().draw(np.random.default_rng(0), 2))
    rng, totals = np.random.default_rng(0), {}
    this = job(tmp_path)
    torch.manual_seed(0)
    made = unseen.draw(unseen.build(this.settings), inputs(pairs))
    target = torch.from_numpy(pairs.target).permute(0, 3, 1, 2) / 127.5 - 1
    for left_out in (None, "difference", "background", "parts", "mask"):
        this.settings["loss"] = tomllib.loads((CONFIGS / "unseen-s.toml").read_text())["loss"] | {"crop": 0}
        if left_out:
            this.settings["loss"][left_out] = 0.0
        totals[left_out] = unseen.reconstruction(made, pairs, target, this, rng).item()
    assert all(total < totals[None] for name, total in totals.items() if name)
    unknown = stack([(Frame(s.image, s.joints, np.full_like(s.parts, UNKNOWN), s.person), t) for s, t in Figures().draw(rng, 1)])
    made = unseen.draw(unseen.build(this.settings), inputs(unknown))
    target = torch.from_numpy(unknown.target).permute(0, 3, 1, 2) / 127.5 - 1
    assert torch.isfinite(unseen.reconstruction(made, unknown, target, this, rng))


def test_the_official_configuration_is_the_papers() -> None:
    settings = tomllib.loads((CONFIGS / "unseen.toml").read_text())
    settings["model"] = settings["model"] | {"channels": 64}
    with torch.device("meta"):
        assert sum(p.numel() for p in unseen.build(settings).parameters()) == 7_863_314
        assert sum(p.numel() for p in unseen.build(settings | {"baseline": True}).parameters()) == 8_340_995


def test_scores_of_a_pipeline(tmp_path: Path) -> None:
    """One that leaves the source as it is scores as the source does; one that knows the target is perfect."""
    pairs = stack(Figures().draw(np.random.default_rng(0), 9))

    class Known:
        def __init__(self, images: np.ndarray) -> None:
            self.images = images

        def run(self, batch: TransferBatch) -> Known:
            np.testing.assert_array_equal(batch.source, pairs.source)
            np.testing.assert_array_equal(batch.target.keypoints, pairs.target_joints)
            np.testing.assert_array_equal(batch.source_pose.keypoints, pairs.source_joints)
            return self

    class Difference(torch.nn.Module):
        def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            return (first - second).abs().mean((1, 2, 3))

    idle, perfect = (
        evaluate_pairs.evaluate(Known(images), {"figures": pairs}, Difference(), tmp_path)["figures"]  # type: ignore[arg-type]
        for images in (pairs.source, pairs.target)
    )
    assert idle["ssim"] == idle["ssim, source unchanged"] < 1
    assert idle["lpips"] == idle["lpips, source unchanged"] > 0
    assert idle["pairs nearer than the source"] == 0
    assert (perfect["ssim"], perfect["lpips"], perfect["pairs nearer than the source"]) == (1, 0, 1)
    assert json.loads((tmp_path / "scores.json").read_text())["figures"] == perfect
    assert cv2.imread(str(tmp_path / "pairs.png")).shape[0] >= 8 * SIZE[0]
