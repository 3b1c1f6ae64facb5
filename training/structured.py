"""Train a structured-feature network on LSP, LSPET and rendered people. Specs structured_features, section 5.

    python -m training.structured --config training/configs/structured-s.toml --lsp lsp --lspet lspet --init cpm-s.safetensors
    --out runs/structured-s

Stops and starts again at will: a run goes on from its last checkpoint. `message_passing = false` in the configuration's model
leaves the tree out.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from posert.errors import InputError
from posert.models.structured import Structured, StructuredConfig
from posert.trees import get_tree
from training import judge
from training.ahead import Sampler
from training.command import Run, fill, groups, open_run
from training.data.people import BODY, SKELETON, PosePictures
from training.errors import plain_errors
from training.loop import Average, descend, run
from training.part_labels import Anatomy, Labels, gaussian_labels, known_parts, observer_centric, ring_labels
from training.pixels import SHIFTED, SIGNED, Pixels, normalise
from training.views import Views
from training.weights import save


def classification_loss(logits: Tensor, labels: Labels, known: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy less the labels' own entropy, the mean over the cells that count.

    A part that is not labelled may be anywhere, so it is taken together with the background.

    Args:
        logits: (N, C, h, w), background last.
        labels: of the batch.
        known: bool (N, P): parts whose place, or absence, is labelled.

    Returns:
        The loss to minimise, whose gradient follows the labels' weights, and the loss without weights.
    """
    log = logits.float().log_softmax(1)
    mixtures = (log.shape[1] - 1) // known.shape[1]
    unknown = torch.cat([~known.repeat_interleave(mixtures, 1), known.new_ones(len(known), 1)], 1)[..., None, None]
    rest = log.masked_fill(~unknown, -torch.inf).logsumexp(1)
    target = labels.target
    cost = torch.xlogy(target, target).sum(1) - (target[:, :-1] * log[:, :-1]).sum(1) - target[:, -1] * rest
    cost, count = cost * labels.used, labels.used.sum().clamp(min=1)
    return (cost * labels.weight).sum() / count, cost.detach().sum() / count


class Labeller:
    """Turns views into labels, as the configuration says: soft ``"gaussian"`` ones or the released model's ``"rings"``."""

    def __init__(self, settings: dict[str, Any], sampler: Sampler) -> None:
        """Prepare; rings need to learn the mixtures and the proportions of bodies first, from views.

        Raises:
            InputError: labels of that name are not known, or do not go with mixtures.
        """
        config = StructuredConfig(**settings["model"])
        self.tree, self.mixtures, self.size, self.seed = get_tree(config.tree), config.mixtures, sampler.size, settings["seed"]
        self.negatives = settings.get("negatives", 1.0)
        self.anatomy: Anatomy | None = None
        if settings["labels"] == "rings":
            views = [sampler.batch(ANATOMY_VIEWS + i, 100).keypoints for i in range(20)]
            self.anatomy = Anatomy.learn(self.parts(np.concatenate(views)), self.tree, self.mixtures, self.seed)
        elif settings["labels"] != "gaussian" or self.mixtures > 1:
            raise InputError(f"labels must be 'gaussian' (of one mixture) or 'rings', got {settings['labels']!r}")

    def parts(self, keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where the tree's parts are, (N, P, 3), from the joints (N, K, 3)."""
        if self.tree.observer_centric:
            keypoints = observer_centric(keypoints)
        joints = np.full((len(keypoints), len(SKELETON), 3), (np.nan, np.nan, 0), np.float32)
        joints[:, : keypoints.shape[1]] = keypoints
        return self.tree.locate(joints, SKELETON)

    def __call__(self, views: Views, number: int) -> Labels:
        """Labels of step `number`, which decides all chance."""
        rng, parts = np.random.default_rng((self.seed, number, 1)), self.parts(views.keypoints)
        if self.anatomy is None:
            return gaussian_labels(parts, self.size, rng, self.negatives)
        mixture, scale = self.anatomy.mixture(parts, self.tree), self.anatomy.scale(parts, self.tree)
        return ring_labels(parts, mixture, scale, self.mixtures, self.size, rng)


ANATOMY_VIEWS = 1 << 31
"""Number of the first batch that the anatomy is learnt from, beyond all steps."""


def pixels(config: StructuredConfig) -> Pixels:
    """What the network takes."""
    return SHIFTED if config.backbone == "vgg" else SIGNED


def initialise(model: Structured) -> None:
    """The released model's random weights of all layers after VGG."""
    deviations = {"shared": 0.001, "own": 0.01, "messages": 0.01, "predict": 0.1, "background": 0.01}
    for name, module in model.named_modules():
        part = name.split(".")[0]
        if isinstance(module, nn.Conv2d) and part in deviations:
            nn.init.normal_(module.weight, std=deviations[part])
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def build(job: Run) -> Structured:
    """The network of a configuration, its backbone filled from files."""
    model = Structured(StructuredConfig(**job.settings["model"]))
    if model.config.backbone == "vgg":
        initialise(model)
    fill(model, job.settings, job.trunk, job.init, pixels(model.config))
    return model.to(job.device, memory_format=torch.channels_last)


def optimizer_of(model: Structured, settings: dict[str, Any]) -> torch.optim.Optimizer:
    """AdamW, or with ``optimizer = "sgd"`` the released model's."""
    parameters = groups(model, settings["rate"], settings["trunk_rate"])
    if settings.get("optimizer", "adamw") == "sgd":
        return torch.optim.SGD(parameters, momentum=0.9, weight_decay=5e-4)
    return torch.optim.AdamW(parameters, weight_decay=0.01)


def train(model: Structured, job: Run, labeller: Labeller) -> Average:
    """Run to the last step, from the checkpoint if there is one; return the averaged weights."""
    settings, optimizer = job.settings, optimizer_of(model, job.settings)

    def step(number: int) -> dict[str, float]:
        views = job.sampler.batch(number, settings["batch"])
        images = normalise(views.images, pixels(model.config), job.device)
        with torch.autocast(job.device.type, torch.bfloat16):
            logits = model(images)
        known = torch.from_numpy(known_parts(views.known, labeller.tree)).to(job.device)
        loss, plain = classification_loss(logits, labeller(views, number).to(job.device), known)
        descend(model, optimizer, loss)
        return {"loss": plain.item()}

    def evaluate(state: dict[str, Tensor], done: int) -> dict[str, Any]:
        predicted = judged(model.config, state, job)
        judge.write_pictures(job.out / f"validation-{done:06d}.png", predicted, job.validation)
        return {"pck": judge.score(predicted, truth(model.config, job.validation))["pck"]}

    size = (settings["steps"], settings["batch"])
    parts = ({"model": model}, {"optimizer": optimizer})
    return run("structured features", *parts, step, *size, job.out, evaluate, job.evaluate_every)


def truth(config: StructuredConfig, data: PosePictures) -> PosePictures:
    """The pictures with left and right as the network's tree means them."""
    if not get_tree(config.tree).observer_centric:
        return data
    return PosePictures(data.files, observer_centric(data.keypoints), data.occluded, data.absent)


def judged(config: StructuredConfig, state: dict[str, Tensor], job: Run, **options: Any) -> NDArray[np.float32]:
    """What a network with these weights finds, part by part where it is most probable; options as of `judge.predict`.

    Raises:
        InputError: the tree lacks a joint of the body.
    """
    model = Structured(config).eval().to(job.device, memory_format=torch.channels_last)
    model.load_state_dict(state)
    tree = get_tree(config.tree)
    joints = len(SKELETON) if set(SKELETON.joints) <= tree.joints.keys() else len(SKELETON.joints[BODY])
    lacking = sorted(set(SKELETON.joints[:joints]) - tree.joints.keys())
    if lacking:
        raise InputError(f"tree {tree.name!r} does not have {lacking}, so it cannot be judged on LSP")
    order = [tree.joints[name] for name in SKELETON.joints[:joints]]

    def network(images: Tensor) -> Tensor:
        probabilities = model(images).float().softmax(1)
        return probabilities[:, :-1].unflatten(1, (len(tree), config.mixtures)).sum(2)[:, order]

    shape = {"pixels": pixels(config), "joints": joints, "device": job.device}
    return judge.predict(network, job.validation, job.sampler.size, **shape, **options)


@plain_errors()
def main() -> None:
    """Command line of the training."""
    job = open_run(__doc__, "training/configs/structured-s.toml", len(SKELETON))
    model, labeller = build(job), Labeller(job.settings, job.sampler)
    average = train(model, job, labeller)
    offsets = {} if labeller.anatomy is None else {"offsets": labeller.anatomy.offsets.round(4).tolist()}
    state = save(job.out, "structured", average.state, **job.kept, **offsets)
    data = truth(model.config, job.validation)
    scores = judge.score(judged(model.config, state, job), data)
    scores["pck with flip test"] = judge.score(judged(model.config, state, job, flip_test=True), data)["pck"]
    (job.out / "scores.json").write_text(json.dumps(scores, indent=1))
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
