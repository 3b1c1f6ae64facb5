"""Train a part affinity field network with intermediate supervision, on pictures of several people and of one. Specs paf,
section 3.

    python -m training.paf --crowd crowd/one --crowd crowd/two --validation crowd/validation --lsp lsp --lspet lspet
    --init export/models/cpm-s.safetensors --out runs/paf-s

Folders of `--crowd` and `--validation` hold pictures with COCO keypoint annotations (training/data/crowd.py). Stops and starts
again at will: a run goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor

from posert import evaluation, ops
from posert.bottom_up import decode, letterbox
from posert.draw import draw_poses
from posert.evaluation import PoseDataset, Predictions
from posert.evaluation.oks import average_precision
from posert.media.images import read_image
from posert.models.paf import PAF, PAFConfig
from posert.processing import Decoding
from posert.skeleton import convert_keypoints
from posert.types import Poses
from training.augment import PADDING_VALUE
from training.command import fill, groups
from training.crowd import STRIDE, CrowdSampler, channel_weights, targets
from training.data.crowd import SKELETON, load_coco, load_labelled
from training.loop import Average, cosine_rate, load_checkpoint, save_checkpoint, seed_everything, set_rate
from training.pictures import write_grid

DECODING = Decoding(threshold=0.15, sample_threshold=0.0, accepted_fraction=0.6, length_limit=0.3, min_person_score=0.3)
VALIDATION_SIZE = (384, 384)


def normalise(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().sub_(127.5).mul_(1 / 127.5)


def paf_loss(
    stages: Sequence[tuple[Tensor, Tensor]],
    target: tuple[Tensor, Tensor],
    weights: Tensor,
    channels: tuple[Tensor, Tensor],
) -> Tensor:
    """Squared error of both branches, meant over cells and channels and summed over the stages.

    Args:
        stages: fields and heatmaps of each stage.
        target: of `targets`.
        weights: (N, h, w), of the cells.
        channels: (N, C) of fields and heatmaps, of `channel_weights`.
    """
    total = torch.zeros(())
    for maps in stages:
        for found, wanted, channel in zip(maps, target, channels, strict=True):
            total = total + ((found.float() - wanted).square() * (weights[:, None] * channel[..., None, None])).mean()
    return total


@torch.no_grad()
def predict(
    model: PAF, files: Sequence[Path], size: tuple[int, int] = VALIDATION_SIZE, decoding: Decoding = DECODING
) -> Predictions:
    """The people of whole pictures, found as `posert.Estimator` finds them, in coco17."""
    model.eval()
    keypoints, index = [np.zeros((0, len(SKELETON), 3), np.float32)], [np.zeros(0, np.int64)]
    for start in range(0, len(files), 8):
        images = [read_image(file) for file in files[start : start + 8]]
        crops, transforms = ops.crop_resize(images, letterbox(images, size), size, 127.5, 1 / 127.5, fill=PADDING_VALUE)
        pafs, heatmaps = model(torch.from_numpy(crops).contiguous(memory_format=torch.channels_last))[-1]
        maps = (heatmaps[:, :-1].contiguous().numpy(), pafs.contiguous().numpy())
        crowd = decode(*maps, transforms, np.array([image.shape[:2] for image in images]), STRIDE, decoding)
        keypoints.append(crowd.keypoints)
        index.append(crowd.image_index + start)
    model.train()
    found = np.concatenate(keypoints)
    scores = found[..., 2].astype(np.float64).mean(1)
    return Predictions(convert_keypoints(found, SKELETON, "coco17"), np.concatenate(index), scores, None, len(files), 0.0)


def score(predictions: Predictions, dataset: PoseDataset) -> dict[str, float | None]:
    """COCO's average precision and recall, by their names."""
    return average_precision(predictions, dataset, np.ones(len(dataset.skeleton), np.bool_))


def write_pictures(path: Path, predictions: Predictions, files: Sequence[Path]) -> None:
    """Write the first 24 pictures with the skeletons found, as a grid."""
    size = (288, 288)
    tiles = []
    for number, file in enumerate(files[:24]):
        people = predictions.keypoints[predictions.image_index == number]
        drawn = draw_poses(read_image(file), Poses(people, skeleton="coco17"))
        tile = ops.crop_resize([drawn], letterbox([drawn], size), size, 127.5, 1 / 127.5, fill=PADDING_VALUE)[0]
        tiles.append(ops.to_uint8(tile)[0])
    columns = min(6, len(tiles))
    write_grid(path, [np.stack(tiles[column::columns][: len(tiles) // columns]) for column in range(columns)])


def build(settings: dict[str, Any], trunk: Path | None = None, init: Path | None = None) -> PAF:
    """The network of a configuration; see `training.command.fill`."""
    model = PAF(PAFConfig(**settings["model"]))
    for module in model.stages.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            torch.nn.init.zeros_(module.bias)
    fill(model.backbone, trunk, init, settings["frozen"])
    return model.to(memory_format=torch.channels_last)


def train(
    model: PAF, settings: dict[str, Any], sampler: CrowdSampler, validation: Path | None, out: Path, evaluate_every: int
) -> Average:
    """Run to the last step, from the checkpoint if there is one; return the averaged weights."""
    optimizer = torch.optim.AdamW(groups(model, settings["rate"], settings["trunk_rate"]), weight_decay=0.01)
    average, path, start = Average(model), out / "checkpoint.pt", 0
    if state := load_checkpoint(path):
        start = state["step"]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.state, average.updates = state["average"], state["updates"]
    began, seen = time.perf_counter(), 0
    for step in track(range(start, settings["steps"]), "PAF", disable=start >= settings["steps"]):
        views = sampler.batch(step, settings["batch"])
        set_rate(optimizer, cosine_rate(step, settings["steps"]))
        with torch.autocast("cpu", torch.bfloat16):
            found = model(normalise(views.images))
        weights = torch.from_numpy(views.weights)
        loss = paf_loss(found, targets(views.people, sampler.size), weights, channel_weights(views.people))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        seen += len(views.images)
        if (step + 1) % 100 == 0 or step + 1 == settings["steps"]:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state}
            save_checkpoint(path, state | {"updates": average.updates, "step": step + 1})
            line = {"step": step + 1, "loss": loss.item(), "per_second": round(seen / (time.perf_counter() - began), 1)}
            if validation is not None and ((step + 1) % evaluate_every == 0 or step + 1 == settings["steps"]):
                line |= judge(model.config, average, validation, out / f"validation-{step + 1:06d}.png")
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
    return average


def judge(config: PAFConfig, average: Average, validation: Path, path: Path) -> dict[str, float | None]:
    """Scores of averaged weights on the validation folder; pictures are written to `path`."""
    model = PAF(config).to(memory_format=torch.channels_last)
    model.load_state_dict(average.state)
    dataset = evaluation.load_coco(validation)
    predictions = predict(model, dataset.files)
    write_pictures(path, predictions, dataset.files)
    scores = score(predictions, dataset)
    return {name: scores[name] for name in ("AP", "AP50", "AP75", "AR")}


def save_half(path: Path, average: Average, config: PAFConfig) -> None:
    """Write averaged weights in half precision, with what is needed to build the network again."""
    metadata = {"model": "paf", "config": json.dumps(vars(config))}
    save_file({name: value.half().contiguous() for name, value in average.state.items()}, path, metadata=metadata)


def main() -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("training/configs/paf-s.toml"), help="sizes, steps and rates")
    parser.add_argument("--crowd", type=Path, action="append", default=[], help="folder with COCO annotations, repeatable")
    parser.add_argument("--lsp", type=Path, help="Leeds Sports Pose with a network's labels, images 1 to 900 are used")
    parser.add_argument("--lspet", type=Path, help="Leeds Sports Pose Extended likewise, images 1 to 9500")
    parser.add_argument("--validation", type=Path, help="folder with COCO annotations that is not trained on")
    parser.add_argument("--trunk", type=Path, help="MoveNet trunk weights (safetensors) for a movenet backbone")
    parser.add_argument("--init", type=Path, help="weights of another estimator (safetensors), whose finetuned trunk is taken")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and pictures")
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps between validations")
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.config.read_text())
    seed_everything(settings["seed"])
    arguments.out.mkdir(parents=True, exist_ok=True)
    shares = settings["shares"]
    sets = []
    if arguments.crowd:
        sets.append(([picture for folder in arguments.crowd for picture in load_coco(folder)], shares["crowd"]))
    if arguments.lsp:
        sets.append((load_labelled(arguments.lsp, 0, 900), shares["lsp"]))
    if arguments.lspet:
        sets.append((load_labelled(arguments.lspet, 0, 9500), shares["lspet"]))
    if not sets:
        parser.error("nothing to train on: give --crowd, --lsp or --lspet")
    model = build(settings, arguments.trunk, arguments.init)
    sampler = CrowdSampler(sets, (settings["size"][0], settings["size"][1]), settings["seed"])
    average = train(model, settings, sampler, arguments.validation, arguments.out, arguments.evaluate_every)
    save_half(arguments.out / "weights.safetensors", average, model.config)


if __name__ == "__main__":
    main()
