"""Train an Adversarial PoseNet on LSP, LSPET and rendered people. Specs adversarial_posenet, sections 4 and 5.

    python -m training.adversarial --config training/configs/adversarial-s.toml --lsp lsp --lspet lspet
    --init cpm-s.safetensors --out runs/adversarial-s

Stops and starts again at will: a run goes on from its last checkpoint. `discriminators = []` in the configuration trains the
generator alone.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from posert import ops
from posert.errors import InputError
from posert.models.adversarial import AdversarialConfig, Discriminator, Generator
from training import judge
from training.command import Run, fill, groups, open_run
from training.errors import plain_errors
from training.loop import Average, descend, run
from training.maps import CUTOFF
from training.pixels import SIGNED, UNIT, Pixels, normalise
from training.views import Views
from training.weights import save

NEAR = 0.1  # of the longer side of the maps: the distance that errors are measured in
RULES = ("per_joint", "minimax")


def targets(views: Views, size: tuple[int, int], stride: int, sigma: float) -> Tensor:
    """Maps (N, 2K, h, w): a Gaussian for every joint, then one for every joint that is labelled as hidden.

    Args:
        views: a batch.
        size: rows and columns of the network's input.
        stride: input pixels a cell.
        sigma: of the Gaussians, in cells.
    """
    # The paper's reference draws patches of 7 x 7 cells about whole cells; these follow the joint within its cell.
    maps = ops.rasterize_gaussians(
        views.keypoints, (size[0] // stride, size[1] // stride), sigma * stride, stride=stride, cutoff=CUTOFF
    )
    return torch.from_numpy(np.concatenate([maps, maps * np.nan_to_num(views.occluded)[..., None, None]], 1))


def generator_loss(stacks: list[Tensor], target: Tensor, known: Tensor, told: Tensor) -> Tensor:
    """Squared error of all maps, halved, the mean over stacks and people.

    Maps of joints that are not labelled do not count; nor do those of occlusion where labels do not say (`told`, (N, K)).
    """
    weight = torch.cat([known, known * told], 1)[..., None, None]
    error = sum((((maps.float() - target) ** 2) * weight).sum() for maps in stacks)
    return error / (2 * len(target) * len(stacks))  # type: ignore[return-value]


@torch.no_grad()
def passes(
    maps: Tensor, target: Tensor, keypoints: NDArray[np.float32], stride: int, delta: float, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Which joints of drawn maps are good enough to be called real: p_fake and c_fake, float (N, K).

    Args:
        maps: (N, 2K, h, w), as drawn.
        target: as they should be.
        keypoints: (N, K, 3), pixels of the network's input.
        stride: input pixels a cell.
        delta: least distance of a wrong joint, in tenths of the maps' longer side.
        epsilon: least difference of a wrong map, in norms of the right one.
    """
    joints = maps.shape[1] // 2
    drawn = maps[:, :joints].float()
    found = ops.decode_heatmaps(drawn.cpu().contiguous().numpy(), "softargmax", stride=stride)
    with np.errstate(invalid="ignore"):
        distance = np.linalg.norm(found[..., :2] - keypoints[..., :2], axis=-1) / (NEAR * stride * max(maps.shape[-2:]))
        near = distance < delta  # never true of a joint that was not found
    difference, norm = ((m**2).sum((2, 3)).sqrt() for m in (drawn - target[:, :joints], target[:, :joints]))
    return torch.from_numpy(near).float().to(maps.device), (difference < epsilon * norm).float()


def discriminator_loss(real: Tensor, fake: Tensor, passed: Tensor, counted: Tensor) -> Tensor:
    """Cross-entropy of a discriminator's logits (N, K): 1 for real maps, what `passes` says for drawn ones."""
    losses = functional.binary_cross_entropy_with_logits(real, torch.ones_like(real), reduction="none")
    losses = losses + functional.binary_cross_entropy_with_logits(fake, passed, reduction="none")
    return (losses * counted).sum() / counted.sum().clamp(min=1)


def adversarial_loss(fake: Tensor, passed: Tensor, counted: Tensor, rule: str) -> Tensor:
    """What a discriminator's logits (N, K) of drawn maps ask of the generator.

    ``"per_joint"``: that joints which did not pass look real: -log P over them. ``"minimax"``: the paper's formula as it
    stands, log(1 - |P - p_fake|), over all joints of the people of whom not every joint passed.
    """
    if rule == "per_joint":
        failed = counted * (1 - passed)
        return -(functional.logsigmoid(fake) * failed).sum() / failed.sum().clamp(min=1)
    weight = counted * ((1 - passed) * counted).amax(1, keepdim=True)
    agreement = -functional.binary_cross_entropy_with_logits(fake, passed, reduction="none")
    return (agreement * weight).sum() / weight.sum().clamp(min=1)


class Trainer:
    """Generator, discriminators and their optimizers, and one step of them."""

    def __init__(self, job: Run) -> None:
        """Build all from the configuration.

        Raises:
            InputError: the rule or a discriminator is not known.
        """
        self.job, self.settings = job, job.settings
        self.config = AdversarialConfig(**self.settings["model"])
        self.model = Generator(self.config)
        start_quietly(self.model)
        fill(self.model, job.settings, job.trunk, job.init, pixels(self.config))
        self.model.to(job.device, memory_format=torch.channels_last)
        self.rule = self.settings.get("rule", "per_joint")
        weights = {"pose": self.settings.get("beta", 1 / 180), "confidence": self.settings.get("alpha", 1 / 220)}
        names = self.settings["discriminators"]
        if self.rule not in RULES or not set(names) <= weights.keys():
            raise InputError(f"rule must be one of {RULES} and discriminators of {tuple(weights)}; got {self.rule!r}, {names}")
        self.weights = {name: weights[name] for name in names}
        height, width = (side // self.config.stride for side in job.sampler.size)
        self.discriminators = nn.ModuleDict(
            {name: Discriminator(self.config, (height, width), image=name == "pose") for name in names}
        ).to(job.device, memory_format=torch.channels_last)
        self.optimizer = self._optimizer(groups(self.model, self.settings["rate"], self.settings["trunk_rate"]))
        self.judges_optimizer = None
        if names:
            rate = self.settings["discriminator_rate"]
            self.judges_optimizer = self._optimizer([{"params": list(self.discriminators.parameters()), "lr": rate}])

    def _optimizer(self, parameters: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.settings.get("optimizer", "adamw") == "rmsprop":
            return torch.optim.RMSprop(parameters, alpha=0.99)
        return torch.optim.AdamW(parameters, weight_decay=0.01)

    def _look(self, name: str, maps: Tensor, image: Tensor) -> Tensor:
        discriminator = self.discriminators[name]
        with torch.autocast(self.job.device.type, torch.bfloat16):
            return discriminator(maps, image).float()

    def step(self, views: Views) -> dict[str, float]:
        """Draw, teach the discriminators with what was drawn, then teach the generator."""
        device = self.job.device
        image = normalise(views.images, pixels(self.config), device)
        stride = self.config.stride
        target = targets(views, self.job.sampler.size, stride, self.settings["sigma"]).to(device)
        known = torch.from_numpy(views.known).float().to(device)
        with torch.autocast(self.job.device.type, torch.bfloat16):
            stacks = self.model(image)
        told = torch.from_numpy(~np.isnan(views.occluded)).float().to(device)
        loss = generator_loss(stacks, target, known, told)
        losses = {"loss": loss.item()}
        if self.judges_optimizer is not None:
            last = stacks[-1].float()
            near, sure = passes(last, target, views.keypoints, stride, self.settings["delta"], self.settings["epsilon"])
            passed = {"pose": near, "confidence": sure}
            counted = known * torch.from_numpy(views.keypoints[..., 2] > 0).to(device)
            losses |= self._teach_discriminators(image, target, last.detach(), passed, counted)
            for name, weight in self.weights.items():
                asked = adversarial_loss(self._look(name, last, image), passed[name], counted, self.rule)
                losses[f"{name} adversarial"] = asked.item()
                loss = loss + weight * asked
        descend(self.model, self.optimizer, loss)
        return losses

    def _teach_discriminators(
        self, image: Tensor, target: Tensor, drawn: Tensor, passed: dict[str, Tensor], counted: Tensor
    ) -> dict[str, float]:
        losses = {
            name: discriminator_loss(self._look(name, target, image), self._look(name, drawn, image), passed[name], counted)
            for name in self.weights
        }
        if self.judges_optimizer is not None:
            descend(self.discriminators, self.judges_optimizer, torch.stack(list(losses.values())).sum())
        return {f"{name} discriminator": loss.item() for name, loss in losses.items()} | {
            f"{name} passed": (passed[name] * counted).sum().item() / max(counted.sum().item(), 1) for name in losses
        }


def start_quietly(model: Generator) -> None:
    """Let the first maps be nearly zero, as most of the targets are, so that no steps are spent on coming down."""
    for name, conv in model.stacks.named_modules():
        if isinstance(conv, nn.Conv2d) and name.endswith(("pose_maps", "occlusion_maps")):
            nn.init.normal_(conv.weight, std=0.001)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]


def pixels(config: AdversarialConfig) -> Pixels:
    """What the network takes."""
    return UNIT if config.backbone == "hourglass" else SIGNED


def train(trainer: Trainer) -> Average:
    """Run to the last step, from the checkpoint if there is one; return the generator's averaged weights."""
    job, settings = trainer.job, trainer.settings

    def evaluate(state: dict[str, Tensor], done: int) -> dict[str, Any]:
        predicted = judged(trainer.config, state, job)
        judge.write_pictures(job.out / f"validation-{done:06d}.png", predicted, job.validation)
        return {"pck": judge.score(predicted, job.validation)["pck"]}

    modules: dict[str, nn.Module] = {"model": trainer.model, "discriminators": trainer.discriminators}
    optimizers = {"optimizer": trainer.optimizer}
    if trainer.judges_optimizer is not None:
        optimizers["discriminators_optimizer"] = trainer.judges_optimizer

    def step(number: int) -> dict[str, float]:
        return trainer.step(job.sampler.batch(number, settings["batch"]))

    size = (settings["steps"], settings["batch"])
    return run("Adversarial PoseNet", modules, optimizers, step, *size, job.out, evaluate, job.evaluate_every)


def judged(config: AdversarialConfig, state: dict[str, Tensor], job: Run, **options: Any) -> NDArray[np.float32]:
    """What a network with these weights finds; options as of `judge.predict`."""
    model = Generator(config).eval().to(job.device, memory_format=torch.channels_last)
    model.load_state_dict(state)

    def network(images: Tensor) -> Tensor:
        return model(images)[-1][:, : config.joints]

    shape = {"pixels": pixels(config), "joints": config.joints, "stride": config.stride, "device": job.device}
    return judge.predict(network, job.validation, job.sampler.size, **shape, **options)


@plain_errors()
def main() -> None:
    """Command line of the training."""
    job = open_run(__doc__, "training/configs/adversarial-s.toml", 14)
    trainer = Trainer(job)
    average = train(trainer)
    state = save(job.out, "adversarial", average.state, **job.kept)
    scores = judge.score(judged(trainer.config, state, job), job.validation)
    flipped = judged(trainer.config, state, job, flip_test=True)
    scores["pck with flip test"] = judge.score(flipped, job.validation)["pck"]
    (job.out / "scores.json").write_text(json.dumps(scores, indent=1))
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
