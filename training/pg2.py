"""Train PG2 on Market-1501: stage I (G1, pose-mask L1), then stage II (G2 against D, G1 frozen). Specs pg2, section 4.

    python -m training.pg2 --config training/configs/pg2-s.toml --data market1501 --out runs/pg2-s [--lpips weights]

Stops and starts again at will: a run goes on from its last checkpoint. It differs from the released scripts in what a small
network needs on a CPU, and in what its users have: weights are averaged over time, the learning rates are higher and follow a
cosine, one batch serves both G2 and D, which does not see the coarse picture; mirrored poses are permuted instead of found again,
and in one pose of six the face is hidden, as estimators of 14 joints leave it.
"""

from __future__ import annotations

import argparse
import json
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from posert import ops
from posert.errors import InputError
from posert.models.pg2 import CoarseGenerator, Discriminator, Generator, PG2Config
from posert.skeleton import get_skeleton
from training.data import market1501
from training.loop import Average, cosine_rate, load_checkpoint, save_checkpoint, seed_everything, set_rate
from training.lpips import LPIPS
from training.metrics import mask_ssim, ssim
from training.pictures import write_grid
from training.pixels import normalise

SIZE = (market1501.HEIGHT, market1501.WIDTH)
FACE = [0, 14, 15, 16, 17]  # nose, eyes, ears in coco18
FLIP = list(get_skeleton("coco18").flip)
Arrays = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]


class PairSampler:
    """Draws (source, target pose, target) triples of one identity; batch number and seed decide, so a run can resume anywhere."""

    def __init__(self, data: market1501.Market1501, seed: int) -> None:
        self.data = data
        self.seed = seed
        self.by_identity = [np.flatnonzero(data.identities == i) for i in np.unique(data.identities)]
        sizes = np.array([len(group) * (len(group) - 1) for group in self.by_identity], np.float64)
        self.weights = sizes / sizes.sum()

    def batch(self, number: int, size: int) -> Arrays:
        """Source images (N, H, W, 3), target keypoints (N, 18, 3), target images; mirrored at random.

        In one pose of six the face joints are hidden, as estimators without them will leave them.
        """
        rng = np.random.default_rng((self.seed, number))
        groups = rng.choice(len(self.by_identity), size, p=self.weights)
        pairs = np.stack([rng.choice(self.by_identity[g], 2, replace=False) for g in groups])
        source, target = self.data.images[pairs[:, 0]], self.data.images[pairs[:, 1]]
        pose = self.data.keypoints[pairs[:, 1]].copy()
        mirrored = rng.random(size) < 0.5
        source[mirrored] = source[mirrored, :, ::-1]
        target[mirrored] = target[mirrored, :, ::-1]
        pose[mirrored] = pose[mirrored][:, FLIP]
        pose[mirrored, :, 0] = SIZE[1] - 1 - pose[mirrored, :, 0]
        faceless = np.flatnonzero(rng.random(size) < 1 / 6)
        pose[np.ix_(faceless, FACE)] = (np.nan, np.nan, 0)
        return source, pose, target


def network_input(source: NDArray[np.uint8], pose: NDArray[np.float32]) -> Tensor:
    """The generator's input (N, 21, H, W): source picture and pose planes."""
    planes = torch.from_numpy(ops.rasterize_discs(pose, SIZE))
    return torch.cat([normalise(source), planes], 1).contiguous(memory_format=torch.channels_last)


def masked_l1(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean of |output - target| * (1 + mask), the paper's Eq. 1."""
    return ((output.float() - target).abs() * (1 + mask)).mean()


def real_or_fake(logits: Tensor, real: bool) -> Tensor:
    """Binary cross entropy of logits against one label."""
    return functional.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, float(real), dtype=torch.float32))


class CoarseStage:
    """Stage I: G1 alone."""

    name = "coarse"

    def __init__(self, config: PG2Config, rate: float, **_: Any) -> None:
        self.model = CoarseGenerator(config).to(memory_format=torch.channels_last)
        self.optimizers = [torch.optim.Adam(self.model.parameters(), rate, betas=(0.5, 0.999))]

    def step(self, x: Tensor, target: Tensor, mask: Tensor) -> dict[str, float]:
        """One update of G1."""
        with torch.autocast("cpu", torch.bfloat16):
            coarse = self.model(x)
        loss = masked_l1(coarse, target, mask)
        self.optimizers[0].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[0].step()
        return {"L1": loss.item()}

    def modules(self) -> dict[str, nn.Module]:
        """Everything with weights that change."""
        return {"model": self.model}


class RefineStage:
    """Stage II: G2 learns what to add to a frozen G1, against a discriminator of single pictures ("triplet")."""

    name = "refine"

    def __init__(self, config: PG2Config, rate: float, reconstruction: float, coarse: dict[str, Tensor], **_: Any) -> None:
        if config.pair_mode != "triplet":
            raise InputError(f"this training judges single pictures: pair_mode must be 'triplet', got {config.pair_mode!r}")
        generator = Generator(config).to(memory_format=torch.channels_last)
        generator.coarse.load_state_dict(coarse)
        self.coarse = generator.coarse.requires_grad_(False)
        self.model = generator.refine
        self.discriminator = Discriminator(config).to(memory_format=torch.channels_last)
        self.reconstruction = reconstruction
        self.optimizers = [
            torch.optim.Adam(module.parameters(), rate, betas=(0.5, 0.999)) for module in (self.model, self.discriminator)
        ]

    def step(self, x: Tensor, target: Tensor, mask: Tensor) -> dict[str, float]:
        """One update of D, then one of G2, on the same batch."""
        source, count = x[:, :3], len(x)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                coarse = self.coarse(x)
            refined = coarse + self.model(coarse, source)
            logits = self.discriminator(torch.cat([target, source, refined.detach()]))
        real, unchanged, generated = logits.split(count)
        judge = 0.5 * real_or_fake(real, True) + 0.25 * (real_or_fake(unchanged, False) + real_or_fake(generated, False))
        self._update(1, judge)
        self.discriminator.requires_grad_(False)  # only what it says of the generated pictures matters now
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.discriminator(torch.cat([target, source, refined]))[2 * count :]
        adversarial, l1 = real_or_fake(logits, True), masked_l1(refined, target, mask)
        self._update(0, adversarial + self.reconstruction * l1)
        self.discriminator.requires_grad_(True)
        return {"L1": l1.item(), "adversarial": adversarial.item(), "D": judge.item()}

    def _update(self, which: int, loss: Tensor) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[which].step()

    def modules(self) -> dict[str, nn.Module]:
        """Everything with weights that change."""
        return {"model": self.model, "discriminator": self.discriminator}


@torch.no_grad()
def evaluate(
    config: PG2Config,
    coarse: dict[str, Tensor],
    refine: dict[str, Tensor] | None,
    data: market1501.Market1501,
    pairs: NDArray[np.int64],
    lpips: LPIPS | None,
    grid: Path | None = None,
) -> dict[str, float]:
    """Scores on (source, target) pairs: SSIM, mask-SSIM with the target's mask, LPIPS; for each stage that is given."""
    generator = Generator(config).eval().to(memory_format=torch.channels_last)
    generator.coarse.load_state_dict(coarse)
    if refine is not None:
        generator.refine.load_state_dict(refine)
    source, target, pose = data.images[pairs[:, 0]], data.images[pairs[:, 1]], data.keypoints[pairs[:, 1]]
    results = {"coarse": np.empty_like(source), "final": np.empty_like(source)}
    for start in range(0, len(pairs), 32):
        part = slice(start, start + 32)
        x = network_input(source[part], pose[part])
        first = generator.coarse(x)
        results["coarse"][part] = ops.to_uint8(first.contiguous().numpy())
        if refine is not None:
            results["final"][part] = ops.to_uint8((first + generator.refine(first, x[:, :3])).contiguous().numpy())
    if refine is None:
        del results["final"]
    mask = ops.pose_mask(pose, SIZE)[:, 0]
    scores = {}
    for name, images in results.items():
        scores[f"{name}_ssim"] = ssim(images, target)
        scores[f"{name}_mask_ssim"] = mask_ssim(images, target, mask)
        if lpips is not None:
            scores[f"{name}_lpips"] = lpips.mean_distance(images, target)
    if grid is not None:
        skeleton = np.where(ops.rasterize_discs(pose, SIZE).max(1)[..., None] > 0, 255, 40).astype(np.uint8).repeat(3, -1)
        columns = [source, skeleton, *results.values(), target]
        write_grid(grid, [column[:12] for column in columns])
    return scores


def train_stage(
    stage: CoarseStage | RefineStage,
    settings: dict[str, Any],
    sampler: PairSampler,
    out: Path,
    score: Callable[[dict[str, Tensor], int], dict[str, float]],
    evaluate_every: int = 1000,
    checkpoint_every: int = 250,
) -> dict[str, Tensor]:
    """Run one stage to its last step, from its checkpoint if there is one; return the averaged weights of its generator."""
    average = Average(stage.model)
    path, start = out / f"{stage.name}.pt", 0
    if state := load_checkpoint(path):
        start = state["step"]
        for name, module in stage.modules().items():
            module.load_state_dict(state[name])
        for optimizer, saved in zip(stage.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        average.load(state["average"], state["updates"])
    began, seen = time.perf_counter(), 0
    for step in track(range(start, settings["steps"]), f"PG2 {stage.name}", disable=start >= settings["steps"]):
        source, pose, target = sampler.batch(step, settings["batch"])
        mask = torch.from_numpy(ops.pose_mask(pose, SIZE)).float()
        for optimizer in stage.optimizers:
            set_rate(optimizer, cosine_rate(step, settings["steps"]))
        losses = stage.step(network_input(source, pose), normalise(target), mask)
        average.update(stage.model)
        seen += len(source)
        if (step + 1) % checkpoint_every == 0 or step + 1 == settings["steps"]:
            state = {name: module.state_dict() for name, module in stage.modules().items()}
            state |= {"optimizers": [o.state_dict() for o in stage.optimizers], "average": average.state}
            save_checkpoint(path, state | {"updates": average.updates, "step": step + 1})
            line = {"stage": stage.name, "step": step + 1, "per_second": round(seen / (time.perf_counter() - began), 1)} | losses
            if (step + 1) % evaluate_every == 0 or step + 1 == settings["steps"]:
                line |= score(average.state, step + 1)
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
    return average.state


def scale_difference(refine: dict[str, Tensor], strength: float) -> dict[str, Tensor]:
    """G2's weights such that it adds `strength` times its difference: below 1, fewer artefacts and a little more blur."""
    return {name: value * strength if name.startswith("out.") else value for name, value in refine.items()}


def main() -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("training/configs/pg2-s.toml"), help="sizes, steps and rates")
    parser.add_argument("--data", type=Path, required=True, help="Market-1501 in its published layout, with the keypoint file")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, pictures, the log and the weights")
    parser.add_argument("--lpips", type=Path, help="folder with AlexNet and LPIPS weights; without it LPIPS is left out")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = torch's choice")
    parser.add_argument("--stage", choices=["coarse", "both"], default="both", help="stop after stage I, or train both")
    parser.add_argument("--evaluate-every", type=int, default=1000, help="steps between looks at the validation identities")
    args = parser.parse_args()
    settings = tomllib.loads(args.config.read_text())
    if args.threads:
        torch.set_num_threads(args.threads)
    seed_everything(settings["seed"])
    config = PG2Config(**settings["model"])
    training, validation = market1501.load(args.data).split(settings["validation_identities"])
    sampler = PairSampler(training, settings["seed"])
    lpips = LPIPS(args.lpips) if args.lpips else None
    few, many = validation.pairs(256, seed=0), validation.pairs(1000, seed=0)
    args.out.mkdir(parents=True, exist_ok=True)

    def score_coarse(weights: dict[str, Tensor], step: int) -> dict[str, float]:
        return evaluate(config, weights, None, validation, few, lpips, args.out / f"coarse-{step:06d}.png")

    stage = CoarseStage(config, **settings["coarse"])
    coarse = train_stage(stage, settings["coarse"], sampler, args.out, score_coarse, args.evaluate_every)
    if args.stage == "coarse":
        return

    def score_refine(weights: dict[str, Tensor], step: int) -> dict[str, float]:
        return evaluate(config, coarse, weights, validation, few, lpips, args.out / f"refine-{step:06d}.png")

    adversarial = RefineStage(config, coarse=coarse, **settings["refine"])
    refine = train_stage(adversarial, settings["refine"], sampler, args.out, score_refine, args.evaluate_every)
    refine = scale_difference(refine, settings["refine"].get("strength", 1.0))
    weights = {f"coarse.{k}": v for k, v in coarse.items()} | {f"refine.{k}": v for k, v in refine.items()}
    halves = {name: value.half().contiguous() for name, value in weights.items()}
    save_file(halves, args.out / "weights.safetensors", metadata={"model": "pg2", "config": json.dumps(settings["model"])})
    rounded = {name: value.float() for name, value in halves.items()}
    parts = [{k.removeprefix(p): v for k, v in rounded.items() if k.startswith(p)} for p in ("coarse.", "refine.")]
    scores = evaluate(config, parts[0], parts[1], validation, many, lpips, args.out / "validation.png")
    (args.out / "scores.json").write_text(json.dumps({"pairs": len(many)} | scores, indent=1))
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
