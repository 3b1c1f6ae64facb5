"""Train the networks of Synthesizing Images of Humans in Unseen Poses on pairs of frames. Specs unseen_poses, sections 4 and 9.

    python -m training.unseen --synth synth --clips clips --weights vgg --out runs/unseen-s

Rendered pairs are drawn while it runs, pairs of frames come from clips. Stops and starts again at will: a run goes on from its
last checkpoint. With ``adversarial`` above 0 a discriminator judges the pictures besides (the paper's second stage; start it with
``--init`` from the first stage's weights); with ``baseline = true`` the paper's single U-Net is trained instead.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from posert.errors import InputError
from posert.models.unseen import Discriminator, Synthesis, UNetBaseline, Unseen, UnseenConfig
from training.ahead import Ahead
from training.command import common_options, open_device, open_settings
from training.data.pairs import UNKNOWN, VALIDATION_CLIPS, Clip, RenderedPairs, load_clips
from training.errors import plain_errors
from training.loop import Average, descend, run
from training.lpips import LPIPS
from training.pair_judge import Judge, clip_validation, draw, rendered_validation
from training.pairs import ClipSource, Inputs, PairAugmentation, Pairs, PairSampler, PairSource, RenderedSource, inputs
from training.perceptual import Perceptual
from training.pixels import SIGNED, normalise
from training.weights import fill_fitting, save


@dataclass(frozen=True)
class Job:
    """All that one training is given.

    Attributes:
        settings: the configuration file.
        sampler: of augmented pairs.
        judge: of the networks, on validation pairs.
        perceptual: the loss on features.
        out: folder for checkpoints, pictures, the log and the weights.
        device: where the networks are trained.
    """

    settings: dict[str, Any]
    sampler: PairSampler | Ahead
    judge: Judge
    perceptual: Perceptual
    out: Path
    device: torch.device


class Baseline(nn.Module):
    """`UNetBaseline` with the inputs and outputs of `Unseen`: no parts, no background."""

    def __init__(self, config: UnseenConfig) -> None:
        super().__init__()
        self.config = config
        self.net = UNetBaseline(config)

    def forward(self, source: Tensor, source_pose: Tensor, priors: Tensor, transforms: Tensor, target_pose: Tensor) -> Synthesis:
        """Draw the source person in the target pose."""
        image = self.net(source, source_pose, target_pose).float()
        whole = torch.ones_like(image[:, :1])
        return Synthesis(image, image, image, whole, priors.softmax(1))


def build(settings: dict[str, Any], init: Path | None = None) -> Unseen | Baseline:
    """The network of a configuration, filled from weights of the same names and shapes if there are any."""
    config = UnseenConfig(height=settings["size"][0], width=settings["size"][1], **settings["model"])
    model = Baseline(config) if settings.get("baseline") else Unseen(config)
    if init is not None:
        fill_fitting(model, init)
    return model.to(memory_format=torch.channels_last)


def crops(images: Tensor, corners: NDArray[np.int64], side: int) -> Tensor:
    """A square of each picture (N, 3, H, W), its upper left corner at x, y; the pictures themselves where none is wanted."""
    if not side:
        return images
    return torch.stack([image[:, y : y + side, x : x + side] for image, (x, y) in zip(images, corners, strict=True)])


def crop_corners(where: NDArray[np.bool_], side: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Where crops begin, (N, 2), x, y: nine in ten about a pixel of `where` (N, H, W), if there is one, the others anywhere."""
    height, width = where.shape[1:]
    last = np.array([width - side, height - side])
    corners = rng.integers(0, last + 1, (len(where), 2))
    for corner, mask in zip(corners, where, strict=True):
        pixels = np.flatnonzero(mask)
        if len(pixels) and rng.random() < 0.9:
            y, x = divmod(int(rng.choice(pixels)), width)
            corner[:] = (x - side // 2, y - side // 2)
    return corners.clip(0, last)


def reconstruction(made: Synthesis, pairs: Pairs, target: Tensor, job: Job, rng: np.random.Generator) -> Tensor:
    """The weighted sum of all losses but the adversarial one.

    Beyond the paper's: the absolute difference of the pictures, of the background where the target shows it, and the cross
    entropies of the source's parts and of the composite's mask (specs unseen_poses, 9). A weight of 0 leaves a loss out.
    """
    weights, side = job.settings["loss"], job.settings["loss"].get("crop", 0)
    changed = pairs.target_person | (pairs.source_parts > 0)
    corners = crop_corners(changed, side, rng) if side else np.zeros((len(pairs), 2), np.int64)
    with torch.autocast(target.device.type, torch.bfloat16):
        total = job.perceptual(crops(made.image, corners, side), crops(target, corners, side))
    total = total + weights["difference"] * (made.image - target).abs().mean()
    person = torch.from_numpy(pairs.target_person).to(target.device)[:, None]
    if weights["background"]:
        shown = (~person).float()
        total = total + weights["background"] * ((made.background - target).abs() * shown).mean()
    if weights["parts"] and made.parts.requires_grad:  # of the baseline, parts and mask are given
        labels = torch.from_numpy(pairs.source_parts).to(target.device).long()
        total = total + weights["parts"] * part_loss(made.parts, labels)
    if weights["mask"] and made.mask.requires_grad:
        total = total + weights["mask"] * functional.binary_cross_entropy(made.mask.clamp(1e-6, 1 - 1e-6), person.float())
    result: Tensor = total
    return result


def filling(model: Unseen, pairs: Pairs, target: Tensor, batch: Inputs, job: Job, rng: np.random.Generator) -> Tensor:
    """How badly holes are filled whose content is known: those of people who were laid over another picture.

    In a pair the person mostly stands where it stood, so what the source hides is seldom seen in the target. Here the source
    person of another pair is laid over each target, cut out by the segmentation, errors at the edges included, and what they
    hide is asked for; where the target shows its own person, nothing is. Half of a batch is enough.

    Args:
        model: its segmentation and background networks are run.
        pairs: at least two, or the people are the targets' own.
        target: the pairs' targets, (N, 3, H, W).
        batch: what the networks take of the pairs.
        job: weights and the perceptual loss.
        rng: source of chance.
    """
    half = -(-len(pairs) // 2)
    target, other = target[:half], np.roll(np.arange(len(pairs)), 1)[:half]
    person = torch.from_numpy(pairs.target_person[:half]).to(target.device)[:, None]
    labels = torch.from_numpy(pairs.source_parts[other]).to(target.device).long()
    laid = torch.where(labels[:, None] > 0, batch.source[other], target)
    with torch.autocast(target.device.type, torch.bfloat16):
        logits = model.segmentation(laid, batch.source_pose[other])
    parts = (logits.float() + batch.priors[other]).softmax(1)
    share = parts[:, :1] * ~person
    with torch.autocast(target.device.type, torch.bfloat16):
        filled = model.background(torch.cat([laid * share, share], 1), batch.source_pose[other]).float()
    filled = torch.where(person, target, filled)
    weights, side = job.settings["loss"], job.settings["loss"].get("crop", 0)
    hole = (pairs.source_parts[other] > 0) & ~pairs.target_person[:half]
    corners = crop_corners(hole, side, rng) if side else np.zeros((half, 2), np.int64)
    with torch.autocast(target.device.type, torch.bfloat16):
        loss = job.perceptual(crops(filled, corners, side), crops(target, corners, side))
    result: Tensor = loss + (filled - target).abs().mean() + weights["parts"] * part_loss(parts, labels)
    return result


def part_loss(parts: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of parts (N, 11, H, W) with the true ones (N, H, W), where they are known."""
    logs = (parts + 1e-6).log()
    known = labels != UNKNOWN
    return functional.nll_loss(logs, labels, ignore_index=UNKNOWN, reduction="sum") / known.sum().clamp(min=1)


class Trainer:
    """The networks, and the discriminator if there is one, with their optimizers."""

    def __init__(self, model: Unseen | Baseline, job: Job) -> None:
        self.model, self.job = model.to(job.device), job
        self.weight = job.settings.get("adversarial", 0.0)
        self.modules: dict[str, nn.Module] = {"model": self.model}
        self.optimizers = {"optimizer": torch.optim.Adam(self.model.parameters(), job.settings["rate"])}
        if self.weight:
            self.judge = Discriminator(model.config, job.settings["discriminator_channels"])
            self.judge.to(job.device, memory_format=torch.channels_last)
            self.modules["judge"] = self.judge
            self.optimizers["judge optimizer"] = torch.optim.Adam(self.judge.parameters(), job.settings["discriminator_rate"])

    def step(self, number: int) -> dict[str, float]:
        """One batch through all; returns the losses."""
        pairs = self.job.sampler.batch(number, self.job.settings["batch"])
        batch = inputs(pairs, self.job.device)
        target = normalise(pairs.target, SIGNED, self.job.device)
        losses = {}
        made = draw(self.model, batch)
        if self.weight:
            losses["judge"] = self._judge(made.image.detach(), target, batch)
            if number < self.job.settings["discriminator_first"]:
                return {"loss": 0.0, **losses}
        rng = np.random.default_rng((self.job.settings["seed"], number, 1))
        loss = reconstruction(made, pairs, target, self.job, rng)
        losses["loss"] = loss.item()
        weight = self.job.settings["loss"]["filling"]
        if weight and isinstance(self.model, Unseen):
            filled = filling(self.model, pairs, target, batch, self.job, rng)
            losses["filling"] = filled.item()
            loss = loss + weight * filled
        if self.weight:
            deceived = self._opinion(made.image, batch)
            loss = loss + self.weight * functional.binary_cross_entropy_with_logits(deceived, torch.ones_like(deceived))
        descend(self.model, self.optimizers["optimizer"], loss)
        return losses

    def _opinion(self, images: Tensor, batch: Inputs) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16):
            logits: Tensor = self.judge(images, batch.source_pose, batch.target_pose)
        return logits.float()

    def _judge(self, made: Tensor, real: Tensor, batch: Inputs) -> float:
        """One step of the discriminator."""
        seen, invented = self._opinion(real, batch), self._opinion(made, batch)
        loss = functional.binary_cross_entropy_with_logits(
            torch.cat([seen, invented]), torch.cat([torch.ones_like(seen), torch.zeros_like(invented)])
        )
        descend(self.judge, self.optimizers["judge optimizer"], loss)
        return loss.item()


def train(model: Unseen | Baseline, job: Job, evaluate_every: int) -> Average:
    """Run to the last step, from the checkpoint if there is one; return the averaged weights."""
    trainer, settings = Trainer(model, job), job.settings
    shown = build(settings).to(job.device).eval()

    def evaluate(state: dict[str, Tensor], done: int) -> dict[str, Any]:
        shown.load_state_dict(state)
        return job.judge(shown, job.out / f"validation-{done:06d}.png")

    length = settings["steps"], settings["batch"]
    return run("Unseen Poses", trainer.modules, trainer.optimizers, trainer.step, *length, job.out, evaluate, evaluate_every)


def train_sources(settings: dict[str, Any], synth: Path | None, clips: dict[str, Clip]) -> list[tuple[PairSource, float]]:
    """What pairs are drawn from, with their shares.

    Raises:
        InputError: there is nothing to train on.
    """
    size, shares = (settings["size"][0], settings["size"][1]), settings["shares"]
    sources: list[tuple[PairSource, float]] = []
    if synth is not None and shares["rendered"]:
        sources.append((RenderedSource(RenderedPairs(synth, size)), shares["rendered"]))
    trained = {name: clip for name, clip in clips.items() if name not in VALIDATION_CLIPS}
    if trained and shares["clips"]:
        sources.append((ClipSource(trained), shares["clips"]))
    if not sources:
        raise InputError("nothing to train on: give --synth, --clips or both, with shares above 0")
    return sources


@plain_errors()
def main() -> None:
    """Command line of the training."""
    parser = common_options(__doc__, "training/configs/unseen-s.toml", trunk=False)
    parser.add_argument("--synth", type=Path, help="folder of the package synthpeople; without it no people are rendered")
    parser.add_argument("--clips", type=Path, help="folder of clips: <clip>/00000.jpg with masks 00000.png, one person each")
    parser.add_argument("--weights", type=Path, required=True, help="folder of VGG-19's and LPIPS's weights")
    parser.add_argument("--validate", type=int, default=32, help="pairs of each validation set")
    args = parser.parse_args()
    settings = open_settings(args)
    size = (settings["size"][0], settings["size"][1])
    device = open_device(args.device)
    clips = load_clips(args.clips) if args.clips else {}
    amount = PairAugmentation(**settings.get("augmentation", {}))
    sampler = PairSampler(train_sources(settings, args.synth, clips), size, settings["seed"], amount)
    validation = {} if args.synth is None else rendered_validation(args.synth, size, args.validate)
    unseen = {name: clip for name, clip in clips.items() if name in VALIDATION_CLIPS}
    if unseen:
        validation["clips"] = clip_validation(unseen, size, args.validate)
    perceptual = Perceptual(args.weights, settings["loss"]["taps"]).to(device, memory_format=torch.channels_last)
    batches = Ahead(sampler, args.workers) if args.workers else sampler
    job = Job(settings, batches, Judge(validation, LPIPS(args.weights).to(device)), perceptual, args.out, device)
    model = build(settings, args.init)
    state = train(model, job, args.evaluate_every).state
    config = {"height": size[0], "width": size[1], **settings["model"]}
    state = save(args.out, "unseen-baseline" if settings.get("baseline") else "unseen", state, config=config, size=size)
    model.load_state_dict(state)
    scores = job.judge(model.eval(), args.out / "validation.png")
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1))
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
