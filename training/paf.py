"""Train a part affinity field network with intermediate supervision, on pictures of several people and of one. Specs paf,
section 3.

    python -m training.paf --crowd crowd/one --crowd crowd/two --validation crowd/validation --lsp lsp --lspet lspet
    --init export/models/cpm-s.safetensors --out runs/paf-s

Folders of `--crowd` and `--validation` hold pictures with COCO keypoint annotations (training/data/crowd.py). Stops and starts
again at will: a run goes on from its last checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
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
from training.ahead import Ahead, Sampler
from training.augment import PADDING_VALUE
from training.command import common_options, fill, groups, open_device, open_settings
from training.crowd import CrowdSampler, channel_weights, targets
from training.data.crowd import SKELETON, load_coco, load_labelled
from training.errors import plain_errors
from training.loop import Average, descend, run
from training.maps import STRIDE
from training.pictures import write_grid
from training.pixels import CENTRED, SIGNED, Pixels, as_pixels, normalise
from training.weights import save

DECODING = Decoding(threshold=0.15, sample_threshold=0.0, accepted_fraction=0.6, length_limit=0.3, min_person_score=0.3)
VALIDATION_SIZE = (384, 384)


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
    total = weights.new_zeros(())
    for maps in stages:
        for found, wanted, channel in zip(maps, target, channels, strict=True):
            total = total + ((found.float() - wanted).square() * (weights[:, None] * channel[..., None, None])).mean()
    return total


@torch.no_grad()
def predict(
    model: PAF, files: Sequence[Path], size: tuple[int, int] = VALIDATION_SIZE, decoding: Decoding = DECODING
) -> Predictions:
    """The people of whole pictures, found as `posert.Estimator` finds them, in coco17, by a model in evaluation mode."""
    takes, device = pixels(model.config), next(model.parameters()).device
    keypoints, index = [np.zeros((0, len(SKELETON), 3), np.float32)], [np.zeros(0, np.int64)]
    for start in range(0, len(files), 8):
        images = [read_image(file) for file in files[start : start + 8]]
        crops, transforms = ops.crop_resize(images, letterbox(images, size), size, 0.0, 1.0, fill=PADDING_VALUE)
        batch = as_pixels(torch.from_numpy(crops), takes).to(device, memory_format=torch.channels_last)
        pafs, heatmaps = (maps.cpu().contiguous() for maps in model(batch)[-1])
        maps = (heatmaps[:, :-1].contiguous().numpy(), pafs.numpy())
        people, image = decode(*maps, transforms, np.array([image.shape[:2] for image in images]), STRIDE, decoding)
        keypoints.append(people)
        index.append(image + start)
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


def pixels(config: PAFConfig) -> Pixels:
    """What the network takes."""
    return CENTRED if config.backbone == "vgg" else SIGNED


def build(settings: dict[str, Any], trunk: Path | None = None, init: Path | None = None) -> PAF:
    """The network of a configuration; see `training.command.fill`."""
    model = PAF(PAFConfig(**settings["model"]))
    for module in model.stages.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            torch.nn.init.zeros_(module.bias)
    fill(model, settings, trunk, init, pixels(model.config))
    return model.to(memory_format=torch.channels_last)


def train(
    model: PAF, settings: dict[str, Any], sampler: Sampler, validation: Path | None, out: Path, evaluate_every: int
) -> Average:
    """Run to the last step where the model is, from the checkpoint if there is one; return the averaged weights."""
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(groups(model, settings["rate"], settings["trunk_rate"]), weight_decay=0.01)

    def step(number: int) -> dict[str, float]:
        views = sampler.batch(number, settings["batch"])
        images, weights = normalise(views.images, pixels(model.config), device), torch.from_numpy(views.weights).to(device)
        fields, heat = (maps.to(device) for maps in targets(views.people, sampler.size))
        of_fields, of_heat = (channels.to(device) for channels in channel_weights(views.people))
        with torch.autocast(device.type, torch.bfloat16):
            found = model(images)
        loss = paf_loss(found, (fields, heat), weights, (of_fields, of_heat))
        descend(model, optimizer, loss)
        return {"loss": loss.item()}

    def evaluate(state: dict[str, Tensor], done: int) -> dict[str, float | None]:
        path = out / f"validation-{done:06d}.png"
        return {} if validation is None else judged(model.config, state, validation, path, device)

    parts, length = ({"model": model}, {"optimizer": optimizer}), (settings["steps"], settings["batch"])
    return run("PAF", *parts, step, *length, out, evaluate, evaluate_every)


def judged(
    config: PAFConfig, state: dict[str, Tensor], validation: Path, path: Path, device: torch.device
) -> dict[str, float | None]:
    """Scores of a network with these weights on the validation folder; pictures are written to `path`."""
    model = PAF(config).eval().to(device, memory_format=torch.channels_last)
    model.load_state_dict(state)
    dataset = evaluation.load_coco(validation)
    predictions = predict(model, dataset.files)
    write_pictures(path, predictions, dataset.files)
    scores = score(predictions, dataset)
    return {name: scores[name] for name in ("AP", "AP50", "AP75", "AR")}


@plain_errors()
def main() -> None:
    """Command line of the training."""
    parser = common_options(__doc__, "training/configs/paf-s.toml")
    parser.add_argument("--crowd", type=Path, action="append", default=[], help="folder with COCO annotations, repeatable")
    parser.add_argument("--lsp", type=Path, help="Leeds Sports Pose with a network's labels, images 1 to 900 are used")
    parser.add_argument("--lspet", type=Path, help="Leeds Sports Pose Extended likewise, images 1 to 9500")
    parser.add_argument("--validation", type=Path, help="folder with COCO annotations that is not trained on")
    args = parser.parse_args()
    settings = open_settings(args)
    shares = settings["shares"]
    sets = []
    if args.crowd:
        sets.append(([picture for folder in args.crowd for picture in load_coco(folder)], shares["crowd"]))
    if args.lsp:
        sets.append((load_labelled(args.lsp, 0, 900), shares["lsp"]))
    if args.lspet:
        sets.append((load_labelled(args.lspet, 0, 9500), shares["lspet"]))
    if not sets:
        parser.error("nothing to train on: give --crowd, --lsp or --lspet")
    model = build(settings, args.trunk, args.init).to(open_device(args.device))
    sampler = CrowdSampler(sets, (settings["size"][0], settings["size"][1]), settings["seed"])
    batches = Ahead(sampler, args.workers) if args.workers else sampler
    average = train(model, settings, batches, args.validation, args.out, args.evaluate_every)
    save(args.out, "paf", average.state, config=settings["model"])


if __name__ == "__main__":
    main()
