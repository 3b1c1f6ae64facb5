"""Train a Convolutional Pose Machine on LSP and LSPET with intermediate supervision. Specs cpm, section 3.

    python -m training.cpm --config training/configs/cpm-s.toml --lsp lsp --lspet lspet --trunk movenet.safetensors --out
    runs/cpm-s

Stops and starts again at will: a run goes on from its last checkpoint. LSP's images 901 to 1000 are for validation.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from posert import ops
from posert.models.cpm import CPM, CPMConfig
from training import judge
from training.data.people import PosePictures
from training.loop import Average, run, seed_everything
from training.views import ViewSampler, open_sampler

STRIDE = 8
SIGMA = 7.0  # pixels of the network's input (specs K9)
CUTOFF = 4.6052


def targets(keypoints: NDArray[np.float32], size: tuple[int, int]) -> Tensor:
    """Belief maps (N, K + 1, H/8, W/8) with the background last (specs K9)."""
    maps = torch.from_numpy(
        ops.rasterize_gaussians(keypoints, (size[0] // STRIDE, size[1] // STRIDE), SIGMA, stride=STRIDE, cutoff=CUTOFF)
    )
    return torch.cat([maps, (1 - maps.amax(1, keepdim=True)).clamp(min=0)], 1)


def belief_loss(beliefs: list[Tensor], target: Tensor, known: Tensor) -> Tensor:
    """Mean squared error summed over the stages that are supervised.

    Maps of joints that are not labelled do not count, nor does the background where one is not. (The
    released training pushes such maps to zero.)
    """
    weight = torch.cat([known, known.amin(1, keepdim=True)], 1)[..., None, None]
    return sum((((belief.float() - target) ** 2) * weight).mean() for belief in beliefs)  # type: ignore[return-value]


def build(settings: dict[str, Any], trunk: Path | None) -> CPM:
    """The network of a configuration, its trunk filled from a file."""
    model = CPM(CPMConfig(**settings["model"]))
    if trunk is not None:
        model.backbone.trunk.load_state_dict({name: value.float() for name, value in load_file(trunk).items()})
    for conv in model.backbone.trunk.convolutions()[: settings["frozen"]]:
        conv.requires_grad_(False)
    return model.to(memory_format=torch.channels_last)


def train(
    model: CPM, settings: dict[str, Any], sampler: ViewSampler, validation: PosePictures, out: Path, evaluate_every: int
) -> Average:
    """Run to the last step, from the checkpoint if there is one; return the averaged weights."""
    trunk = [p for p in model.backbone.trunk.parameters() if p.requires_grad]
    known = {id(p) for p in model.backbone.trunk.parameters()}
    stages = [p for p in model.parameters() if id(p) not in known]
    groups = [{"params": stages, "lr": settings["rate"]}, {"params": trunk, "lr": settings["trunk_rate"]}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    supervised = slice(None) if settings.get("intermediate_supervision", True) else slice(-1, None)

    def step(number: int) -> dict[str, float]:
        views = sampler.batch(number, settings["batch"])
        with torch.autocast("cpu", torch.bfloat16):
            beliefs = model(judge.normalise(views.images))
        loss = belief_loss(beliefs[supervised], targets(views.keypoints, sampler.size), torch.from_numpy(views.known).float())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss.item()}

    def evaluate(state: dict[str, Tensor], done: int) -> dict[str, Any]:
        predicted = judged(model.config, state, validation, sampler.size)
        judge.write_pictures(out / f"validation-{done:06d}.png", predicted, validation)
        return {"pck": judge.score(predicted, validation)["pck"]}

    size = (settings["steps"], settings["batch"])
    return run("CPM", {"model": model}, {"optimizer": optimizer}, step, *size, out, evaluate, evaluate_every)


def judged(
    config: CPMConfig, state: dict[str, Tensor], data: PosePictures, size: tuple[int, int], **options: Any
) -> NDArray[np.float32]:
    """What a network with these weights finds; options as of `judge.predict`."""
    model = CPM(config).to(memory_format=torch.channels_last).eval()
    model.load_state_dict(state)
    return judge.predict(lambda images: model(images)[-1], data, size, joints=config.joints, **options)


def main() -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("training/configs/cpm-s.toml"), help="sizes, steps and rates")
    parser.add_argument("--lsp", type=Path, required=True, help="Leeds Sports Pose: images/ and joints.mat")
    parser.add_argument("--lspet", type=Path, help="Leeds Sports Pose Extended; without it LSP alone is used")
    parser.add_argument("--synth", type=Path, help="folder of the package synthpeople; without it no people are rendered")
    parser.add_argument("--trunk", type=Path, help="MoveNet trunk weights (safetensors) for a movenet backbone")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, pictures, the log and the weights")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = torch's choice")
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps between looks at the validation images")
    args = parser.parse_args()
    settings = tomllib.loads(args.config.read_text())
    if args.threads:
        torch.set_num_threads(args.threads)
    seed_everything(settings["seed"])
    size = (settings["size"][0], settings["size"][1])
    joints = CPMConfig(**settings["model"]).joints
    sampler, validation = open_sampler(args.lsp, args.lspet, args.synth, settings["shares"], size, settings["seed"], joints)
    model = build(settings, args.trunk)
    average = train(model, settings, sampler, validation, args.out, args.evaluate_every)
    halves = {name: value.half().contiguous() for name, value in average.state.items()}
    metadata = {"model": "cpm", "config": json.dumps(settings["model"]), "size": json.dumps(settings["size"])}
    save_file(halves, args.out / "weights.safetensors", metadata=metadata)
    state = {name: value.float() for name, value in halves.items()}
    scores = judge.score(judged(model.config, state, validation, size), validation)
    scores["pck with flip test"] = judge.score(judged(model.config, state, validation, size, flip_test=True), validation)["pck"]
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1))
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
