"""Train a Convolutional Pose Machine on LSP and LSPET with intermediate supervision. Specs cpm, section 3.

    python -m training.cpm --config training/configs/cpm-s.toml --lsp lsp --lspet lspet --trunk movenet.safetensors --out
    runs/cpm-s

Stops and starts again at will: a run goes on from its last checkpoint. LSP's images 901 to 1000 are for validation.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posert.models.cpm import CPM, CPMConfig, FinalBelief, center_map
from training import judge
from training.command import Run, fill, groups, open_run
from training.errors import plain_errors
from training.loop import Average, descend, run
from training.maps import heatmaps, with_background
from training.pixels import CENTRED, SIGNED, Pixels, normalise
from training.weights import save


def targets(keypoints: NDArray[np.float32], size: tuple[int, int]) -> Tensor:
    """Belief maps (N, K + 1, H/8, W/8) with the background last (specs K9)."""
    return with_background(heatmaps(keypoints, size))


def belief_loss(beliefs: list[Tensor], target: Tensor, known: Tensor) -> Tensor:
    """Mean squared error summed over the stages that are supervised.

    Maps of joints that are not labelled do not count, nor does the background where one is not. (The
    released training pushes such maps to zero.)
    """
    weight = torch.cat([known, known.amin(1, keepdim=True)], 1)[..., None, None]
    return sum((((belief.float() - target) ** 2) * weight).mean() for belief in beliefs)  # type: ignore[return-value]


def pixels(config: CPMConfig) -> Pixels:
    """What the network takes."""
    return SIGNED if config.backbone.startswith("movenet") else CENTRED


def build(job: Run) -> CPM:
    """The network of a configuration, its backbone filled from files."""
    model = CPM(CPMConfig(**job.settings["model"]))
    fill(model, job.settings, job.trunk, job.init, pixels(model.config))
    return model.to(job.device, memory_format=torch.channels_last)


def train(model: CPM, job: Run) -> Average:
    """Run to the last step, from the checkpoint if there is one; return the averaged weights."""
    settings, size = job.settings, job.sampler.size
    optimizer = torch.optim.AdamW(groups(model, settings["rate"], settings["trunk_rate"]), weight_decay=0.01)
    takes = pixels(model.config)
    supervised = slice(None) if settings.get("intermediate_supervision", True) else slice(-1, None)

    device, centre = job.device, None
    if model.config.center_map:
        centre = center_map(size).to(device).expand(settings["batch"], -1, -1, -1)

    def step(number: int) -> dict[str, float]:
        views = job.sampler.batch(number, settings["batch"])
        images, target = normalise(views.images, takes, device), targets(views.keypoints, size).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            beliefs = model(images, centre)
        loss = belief_loss(beliefs[supervised], target, torch.from_numpy(views.known).to(device).float())
        descend(model, optimizer, loss)
        return {"loss": loss.item()}

    def evaluate(state: dict[str, Tensor], done: int) -> dict[str, Any]:
        predicted = judged(model.config, state, job)
        judge.write_pictures(job.out / f"validation-{done:06d}.png", predicted, job.validation)
        return {"pck": judge.score(predicted, job.validation)["pck"]}

    parts, length = ({"model": model}, {"optimizer": optimizer}), (settings["steps"], settings["batch"])
    return run("CPM", *parts, step, *length, job.out, evaluate, job.evaluate_every)


def judged(config: CPMConfig, state: dict[str, Tensor], job: Run, **options: Any) -> NDArray[np.float32]:
    """What a network with these weights finds in the validation pictures; options as of `judge.predict`."""
    model = CPM(config)
    model.load_state_dict(state)
    network = FinalBelief(model).eval().to(job.device, memory_format=torch.channels_last)
    shape = {"pixels": pixels(config), "joints": config.joints, "device": job.device}
    return judge.predict(network, job.validation, job.sampler.size, **shape, **options)


@plain_errors()
def main() -> None:
    """Command line of the training."""
    job = open_run(__doc__, "training/configs/cpm-s.toml", CPMConfig().joints)
    model = build(job)
    state = save(job.out, "cpm", train(model, job).state, **job.kept)
    scores = judge.score(judged(model.config, state, job), job.validation)
    scores["pck with flip test"] = judge.score(judged(model.config, state, job, flip_test=True), job.validation)["pck"]
    (job.out / "scores.json").write_text(json.dumps(scores, indent=1))
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
