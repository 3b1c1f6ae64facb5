"""Train PG2 on Market-1501 or DeepFashion: G1 to draw the person in the target pose, then G2 and a discriminator to sharpen it.
Specs pg2, sections 3 and 4.

    python -m training.pg2 --config training/configs/pg2-s.toml --data market1501 --out runs/pg2-s --lpips weights

Every variant of the paper is a configuration:

    G1-CE-L1         --set model.stages=1 --set coarse.loss='l1' --set model.embedding='coordinates'
    G1-HME-L1        --set model.stages=1 --set coarse.loss='l1' --set model.embedding='heatmap_encoder'
    G1-L1            --set model.stages=1 --set coarse.loss='l1'
    G1-poseMaskLoss  --set model.stages=1
    G1+D             --set model.stages=1 --set coarse.adversarial=true --set coarse.reconstruction=10
    G1+G2+D          as it is

(in a shell, put quotes around what has quotes: --set "coarse.loss='l1'"). pg2-market.toml and pg2-deepfashion.toml have the sizes
and schedules of the released scripts, or with --set "profile='paper'" the paper's.

Stops and starts again at will: a run goes on from its last checkpoint, stage by stage. Mirrored poses are permuted; the released
scripts found them again in mirrored pictures. pg2-s.toml has what a small network needs on a CPU: its rates are higher and follow
a cosine, weights are averaged over time, one batch serves both G2 and D, which does not see the coarse picture.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from posert import ops
from posert.errors import InputError
from posert.models.pg2 import CoarseGenerator, Discriminator, PG2Config, RefinementGenerator
from training.ahead import Ahead
from training.command import common_options, open_device, open_settings
from training.data.identities import PersonPictures
from training.data.published import open_people
from training.errors import plain_errors
from training.identity_pairs import Arrays, PairSampler
from training.loop import run
from training.lpips import LPIPS
from training.perceptual import Perceptual
from training.pg2_settings import SCHEDULES, StageSettings, apply_profile
from training.pg2_validation import evaluate, network_input
from training.pixels import normalise
from training.structural import structural_loss
from training.weights import read_weights, save

VALIDATION_PAIRS = (256, 1000)
"""How many pairs are looked at while a stage runs, and at the end."""


@dataclass(frozen=True)
class Batch:
    """A batch where the network is.

    Attributes:
        x: (N, 21, H, W), the generator's input.
        target: (N, 3, H, W), RGB in [-1, 1].
        mask: (N, 1, H, W), 1 on the target pose's body.
    """

    x: Tensor
    target: Tensor
    mask: Tensor

    @classmethod
    def of(cls, arrays: Arrays, device: torch.device) -> Batch:
        """Make one of what a sampler draws."""
        source, pose, target = arrays
        mask = torch.from_numpy(ops.pose_mask(pose, (source.shape[1], source.shape[2])))
        return cls(network_input(source, pose, device), normalise(target, device=device), mask.to(device).float())


def masked_l1(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean of |output - target| * (1 + mask), the paper's Eq. 1."""
    return ((output.float() - target).abs() * (1 + mask)).mean()


def real_or_fake(logits: Tensor, real: bool) -> Tensor:
    """Binary cross entropy of logits against one label."""
    return functional.binary_cross_entropy_with_logits(logits.float(), torch.full_like(logits, float(real), dtype=torch.float32))


class Stage:
    """A generator, G1 or G2 behind a frozen G1, with its discriminator if it has one, and their optimizers."""

    def __init__(
        self,
        config: PG2Config,
        settings: StageSettings,
        device: torch.device,
        coarse: dict[str, Tensor] | None = None,
        autocast: bool = True,
        perceptual: nn.Module | None = None,
    ) -> None:
        """Build all with random weights.

        Args:
            config: of the networks.
            settings: of the stage.
            device: where they are trained.
            coarse: G1's weights, which makes this the second stage; None trains G1.
            autocast: compute in bfloat16 where that is safe.
            perceptual: the loss on features, for settings that give it a weight.
        """
        self.config, self.settings, self.device, self.autocast = config, settings, device, autocast
        self.perceptual = None if perceptual is None else self._placed(perceptual)
        self.coarse: CoarseGenerator | None = None
        if coarse is not None:
            self.coarse = self._placed(CoarseGenerator(config)).requires_grad_(False)
            self.coarse.load_state_dict(coarse)
        self.model: nn.Module = self._placed(CoarseGenerator(config) if coarse is None else RefinementGenerator(config))
        self.modules: dict[str, nn.Module] = {"model": self.model}
        self.optimizers = {"optimizer": self._adam(self.model, settings.rate)}
        if settings.adversarial:
            self.discriminator = self.modules["discriminator"] = self._placed(Discriminator(config))
            rate = settings.rate if settings.discriminator_rate is None else settings.discriminator_rate
            self.optimizers["discriminator_optimizer"] = self._adam(self.discriminator, rate)

    def _placed(self, module: Any) -> Any:
        return module.to(self.device, memory_format=torch.channels_last)

    @staticmethod
    def _adam(module: nn.Module, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(module.parameters(), rate, betas=(0.5, 0.999))

    def draw(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The stage's picture, and the coarse one that it was made from."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            if self.coarse is None:
                return self.model(x), None
            with torch.no_grad():
                coarse = self.coarse(x)
            return coarse + self.model(coarse, x[:, :3]), coarse

    def step(self, batch: Batch, fresh: Batch | None = None) -> dict[str, float]:
        """One update of the discriminator, if there is one, then one of the generator.

        Args:
            batch: of the generator.
            fresh: of the discriminator; None: the same.
        """
        picture, coarse = self.draw(batch.x)
        l1 = masked_l1(
            picture, batch.target, batch.mask if self.settings.loss == "pose_mask_l1" else torch.zeros_like(batch.mask)
        )
        losses, loss = {"L1": l1.item()}, self.settings.reconstruction * l1
        if self.settings.perceptual and self.perceptual is not None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
                far = self.perceptual(picture, batch.target)
            losses["perceptual"] = far.item()
            loss = loss + self.settings.perceptual * far
        if self.settings.structural:
            unlike = structural_loss(picture, batch.target)
            losses["structural"] = unlike.item()
            loss = loss + self.settings.structural * unlike
        if self.settings.adversarial:
            losses["D"] = self._teach_discriminator(batch if fresh is None else fresh, picture if fresh is None else None, coarse)
            self.discriminator.requires_grad_(False)  # only what it says of the generated pictures matters now
            asked = real_or_fake(self._judge(batch, picture, coarse)[-1], True)
            losses["adversarial"] = asked.item()
            loss = loss + self.settings.adversarial_weight * asked
        self._update("optimizer", loss)
        if self.settings.adversarial:
            self.discriminator.requires_grad_(True)
        return losses

    def _teach_discriminator(self, batch: Batch, picture: Tensor | None, coarse: Tensor | None) -> float:
        if picture is None:
            with torch.no_grad():
                picture, coarse = self.draw(batch.x)
        real, *others = self._judge(batch, picture.detach(), coarse)
        fake = torch.stack([real_or_fake(logits, False) for logits in others]).mean()
        loss = 0.5 * real_or_fake(real, True) + 0.5 * fake
        self._update("discriminator_optimizer", loss)
        return loss.item()

    def _judge(self, batch: Batch, picture: Tensor, coarse: Tensor | None) -> list[Tensor]:
        """Logits of the real pictures, of the sources where these count as fake, and of the generated pictures.

        All go through the discriminator at once, since its batch norm mixes them (specs pg2, 4).
        """
        source = batch.x[:, :3]
        if self.config.pair_mode == "pair6":
            groups = [torch.cat([source, shown], 1) for shown in (batch.target, picture)]
        else:
            groups = [batch.target, source, picture]
        judged = len(groups)
        if self.settings.coarse_in_batch and coarse is not None and self.config.pair_mode == "triplet":
            groups.append(coarse)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            logits = self.discriminator(torch.cat(groups))
        return list(logits.split(len(source))[:judged])

    def _update(self, name: str, loss: Tensor) -> None:
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[name].step()


@dataclass(frozen=True)
class Job:
    """All that the training is given besides the networks.

    Attributes:
        settings: the configuration.
        sampler: of pairs.
        validation: pictures of people that are not trained on.
        out: folder for checkpoints, pictures, logs and the weights.
        lpips: the distance, or None to leave it out.
        evaluate_every: steps between looks at the validation pictures.
        device: where the networks are trained.
        vgg: folder of VGG-19's weights, for stages with a perceptual loss, or None.
    """

    settings: dict[str, Any]
    sampler: PairSampler | Ahead
    validation: PersonPictures
    out: Path
    lpips: LPIPS | None
    evaluate_every: int
    device: torch.device
    vgg: Path | None = None

    def perceptual(self, settings: StageSettings) -> Perceptual | None:
        """The loss on features of a stage that wants it.

        Raises:
            InputError: VGG's weights are not given, or not there.
        """
        if not settings.perceptual:
            return None
        if self.vgg is None:
            raise InputError("the configuration has a perceptual loss, which needs --vgg, the folder of VGG-19's weights")
        return Perceptual(self.vgg, settings.taps)

    def scores(self, config: PG2Config, states: list[dict[str, Tensor]], which: int, picture: Path) -> dict[str, float]:
        """Scores of G1, or of both, on few (0) or many (1) validation pairs; none where nobody is held out."""
        count = self.settings.get("validation_pairs", VALIDATION_PAIRS)[which]
        if not len(self.validation):
            return {}
        pairs = self.validation.pairs(count, seed=0)
        return evaluate(config, states, self.validation, pairs, self.lpips, self.out / picture, self.device)


def train_stage(name: str, stage: Stage, job: Job, before: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Run one stage to its last step, from its checkpoint if there is one; return the averaged weights of its generator.

    Args:
        name: ``"coarse"`` or ``"refine"``, a folder in the job's.
        stage: networks and optimizers.
        job: pairs and scores.
        before: the weights of the stage before, for the scores.
    """
    settings = stage.settings
    draws = 2 if settings.fresh_batches and settings.adversarial else 1

    def step(number: int) -> dict[str, float]:
        drawn = (job.sampler.batch(draws * number + draw, settings.batch) for draw in range(draws))
        return stage.step(*(Batch.of(arrays, stage.device) for arrays in drawn))

    def score(state: dict[str, Tensor], done: int) -> dict[str, float]:
        return job.scores(stage.config, [*before, state], 0, Path(f"{name}-{done:06d}.png"))

    parts, length = (stage.modules, stage.optimizers), (settings.steps, settings.batch)
    options: dict[str, Any] = {"schedule": SCHEDULES[settings.schedule], "decay": settings.average}
    return run(f"PG2 {name}", *parts, step, *length, job.out / name, score, job.evaluate_every, **options).state


def train(job: Job, init: Path | None = None) -> dict[str, float]:
    """Train all stages, write the weights, and return the scores of what was written.

    Args:
        job: all but the networks.
        init: weights (safetensors) to start from, or None.
    """
    settings = job.settings
    config = PG2Config(**settings["model"])
    given = {} if init is None else read_weights(init)
    states: list[dict[str, Tensor]] = []
    for name in ("coarse", "refine")[: config.stages]:
        own = StageSettings.of(settings, name)
        torch.manual_seed(settings["seed"])  # however often the stage before was stopped
        options = {"autocast": settings.get("autocast", True), "perceptual": job.perceptual(own)}
        stage = Stage(config, own, job.device, *states, **options)
        fill(stage.model, given, name, init)
        state = train_stage(name, stage, job, states)
        states.append(scale_difference(state, own.strength) if name == "refine" else state)
    kept = {
        f"{name}.{key}": value for name, state in zip(("coarse", "refine"), states, strict=False) for key, value in state.items()
    }
    rounded = save(job.out, "pg2", kept, config=settings["model"], size=[config.height, config.width])
    states = [
        {key.removeprefix(f"{name}."): value for key, value in rounded.items() if key.startswith(f"{name}.")}
        for name in ("coarse", "refine")[: config.stages]
    ]
    scores = job.scores(config, states, 1, Path("validation.png"))
    (job.out / "scores.json").write_text(json.dumps(scores, indent=1))
    return scores


def scale_difference(refine: dict[str, Tensor], strength: float) -> dict[str, Tensor]:
    """G2's weights such that it adds `strength` times its difference."""
    return {name: value * strength if name.startswith("out.") else value for name, value in refine.items()}


def fill(model: nn.Module, given: dict[str, Tensor], name: str, path: Path | None) -> None:
    """Give a generator what fits it by name and shape of weights that begin with ``coarse.`` or ``refine.``.

    Raises:
        InputError: weights of this stage are given, and none fits.
    """
    own = model.state_dict()
    stage = {key.removeprefix(f"{name}."): value for key, value in given.items() if key.startswith(f"{name}.")}
    fits = {key: value for key, value in stage.items() if key in own and value.shape == own[key].shape}
    wide = any(value.dim() > 1 for value in fits.values())  # the last bias fits every network
    if not wide and (stage or (given and name == "coarse")):
        raise InputError(f"--init {path}: no weights of {name!r} have the shapes of this network; is it of another width?")
    model.load_state_dict(own | fits)


def open_job(args: argparse.Namespace) -> Job:
    """Read the configuration and the data."""
    settings = open_settings(args)
    apply_profile(settings, args.changes)
    people, validation = open_people(args.data).split(settings["validation_identities"])
    size = PG2Config(**settings["model"])
    if people.size != (size.height, size.width):
        raise InputError(f"the configuration's network draws {size.height} x {size.width}, but {args.data} has {people.size}")
    pairs = None if args.pairs is None else people.read_pairs(args.pairs)
    sampler = PairSampler(people, settings["seed"], pairs, settings.get("hidden_faces", 0.0))
    batches = Ahead(sampler, args.workers) if args.workers else sampler
    lpips = LPIPS(args.lpips) if args.lpips else None
    return Job(settings, batches, validation, args.out, lpips, args.evaluate_every, open_device(args.device), args.vgg)


@plain_errors()
def main() -> None:
    """Command line of the training."""
    parser = common_options(__doc__, "training/configs/pg2-s.toml", trunk=False)
    parser.add_argument("--data", type=Path, required=True, help="Market-1501 or DeepFashion as published, with PATN's keypoints")
    parser.add_argument("--pairs", type=Path, help="train on these pairs alone (CSV: from,to); default: all of each person's")
    parser.add_argument("--lpips", type=Path, help="folder with AlexNet and LPIPS weights; without it LPIPS is left out")
    parser.add_argument("--vgg", type=Path, help="folder with VGG-19's weights, for a configuration with a perceptual loss")
    args = parser.parse_args()
    print(json.dumps(train(open_job(args), args.init), indent=1))


if __name__ == "__main__":
    main()
