"""Train a Convolutional Pose Machine on LSP and LSPET with intermediate supervision. Specs cpm, section 3.

    python -m training.cpm --config training/configs/cpm-s.toml --lsp lsp --lspet lspet --trunk movenet.safetensors --out
    runs/cpm-s

Stops and starts again at will: a run goes on from its last checkpoint. LSP's images 901 to 1000 are for validation.
"""

from __future__ import annotations

import argparse
import json
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor

from posert import ops
from posert.draw import draw_poses
from posert.geometry import fit_aspect
from posert.models.cpm import CPM, CPMConfig
from posert.skeleton import get_skeleton
from posert.types import Poses
from training.augment import PADDING_VALUE, Augmentation, view
from training.data.lsp import PosePictures, load_lsp, load_lspet
from training.loop import Average, cosine_rate, load_checkpoint, save_checkpoint, seed_everything, set_rate
from training.metrics import pck
from training.pictures import write_grid

SKELETON = get_skeleton("cpm14")
TORSO = (SKELETON.joints.index("left_shoulder"), SKELETON.joints.index("right_hip"))
STRIDE = 8
SIGMA = 7.0  # pixels of the network's input (specs K9)
CUTOFF = 4.6052


class ViewSampler:
    """Draws batches of augmented views; batch number and seed decide, so a run can resume anywhere."""

    def __init__(self, lsp: PosePictures, lspet: PosePictures | None, share: float, size: tuple[int, int], seed: int) -> None:
        self.sets = [lsp] if lspet is None else [lsp, lspet]
        self.share = share if lspet is not None else 1.0
        self.size = size
        self.seed = seed
        self.boxes = [data.boxes() for data in self.sets]
        # Fewer than five labelled joints do not say where the person is.
        self.usable = [np.flatnonzero((data.keypoints[..., 2] > 0).sum(1) >= 5) for data in self.sets]

    def batch(self, number: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Views (N, H, W, 3) and their keypoints (N, 14, 3) in view pixels."""
        rng = np.random.default_rng((self.seed, number))
        views, keypoints = [], []
        for _ in range(count):
            which = int(rng.random() >= self.share)
            data = self.sets[which]
            index = int(rng.choice(self.usable[which]))
            box = self.boxes[which][index]
            picture, points = view(
                data.image(index), data.keypoints[index], box, self.size, list(SKELETON.flip), Augmentation(), rng
            )
            views.append(picture)
            keypoints.append(points)
        return np.stack(views), np.stack(keypoints)


def targets(keypoints: NDArray[np.float32], size: tuple[int, int]) -> Tensor:
    """Belief maps (N, K + 1, H/8, W/8) with the background last (specs K9)."""
    maps = torch.from_numpy(
        ops.rasterize_gaussians(keypoints, (size[0] // STRIDE, size[1] // STRIDE), SIGMA, stride=STRIDE, cutoff=CUTOFF)
    )
    return torch.cat([maps, (1 - maps.amax(1, keepdim=True)).clamp(min=0)], 1)


def belief_loss(beliefs: list[Tensor], target: Tensor, labelled: Tensor) -> Tensor:
    """Mean squared error summed over the stages.

    Maps of unlabelled joints do not count, nor does the background where one is. (The
    released training pushes such maps to zero.)
    """
    weight = torch.cat([labelled, labelled.amin(1, keepdim=True)], 1)[..., None, None]
    return sum((((belief.float() - target) ** 2) * weight).mean() for belief in beliefs)  # type: ignore[return-value]


def normalise(images: NDArray[np.uint8]) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().sub_(127.5).mul_(1 / 127.5)


@torch.no_grad()
def predict(model: CPM, data: PosePictures, size: tuple[int, int], method: str = "softargmax") -> NDArray[np.float32]:
    """Keypoints (N, 14, 3) in image pixels, found inside the people's true boxes."""
    model.eval()
    boxes = fit_aspect(data.boxes(), size[1] / size[0], Augmentation().padding)
    found = []
    for start in range(0, len(data), 25):
        indices = range(start, min(start + 25, len(data)))
        images = [data.image(i) for i in indices]
        crops, transforms = ops.crop_resize(images, boxes[indices], size, 127.5, 1 / 127.5, fill=PADDING_VALUE)
        belief = model(torch.from_numpy(crops).contiguous(memory_format=torch.channels_last))[-1]
        maps = np.ascontiguousarray(belief[:, : len(SKELETON)].contiguous().numpy())
        found.append(ops.decode_heatmaps(maps, method, stride=STRIDE, transforms=transforms))
    model.train()
    return np.concatenate(found)


def score(predicted: NDArray[np.float32], data: PosePictures) -> dict[str, Any]:
    """PCK@0.2 over the 14 joints, and joint by joint (specs R-7)."""
    joints = pck(predicted, data.keypoints, TORSO)
    return {"pck": float(joints.mean()), "joints": dict(zip(SKELETON.joints, joints.round(4).tolist(), strict=True))}


def write_pictures(path: Path, predicted: NDArray[np.float32], data: PosePictures) -> None:
    """Write the first 24 people with the skeletons found, as a grid."""
    size = (224, 160)
    tiles = []
    for i in range(24):
        box = fit_aspect(data.boxes()[i : i + 1], size[1] / size[0], 1.25)
        drawn = draw_poses(data.image(i), Poses(predicted[i : i + 1], skeleton=SKELETON))
        tiles.append(ops.to_uint8(ops.crop_resize([drawn], box, size, 127.5, 1 / 127.5, fill=PADDING_VALUE)[0])[0])
    write_grid(path, [np.stack(tiles[column::8]) for column in range(8)])


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
    average, path, start = Average(model), out / "checkpoint.pt", 0
    if state := load_checkpoint(path):
        start = state["step"]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.state, average.updates = state["average"], state["updates"]
    began, seen, size = time.perf_counter(), 0, sampler.size
    scored = CPM(model.config).to(memory_format=torch.channels_last)
    for step in track(range(start, settings["steps"]), "CPM", disable=start >= settings["steps"]):
        images, keypoints = sampler.batch(step, settings["batch"])
        labelled = torch.from_numpy((keypoints[..., 2] > 0).astype(np.float32))
        set_rate(optimizer, cosine_rate(step, settings["steps"]))
        with torch.autocast("cpu", torch.bfloat16):
            beliefs = model(normalise(images))
        loss = belief_loss(beliefs, targets(keypoints, size), labelled)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
        seen += len(images)
        if (step + 1) % 100 == 0 or step + 1 == settings["steps"]:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "average": average.state}
            save_checkpoint(path, state | {"updates": average.updates, "step": step + 1})
            line = {"step": step + 1, "loss": loss.item(), "per_second": round(seen / (time.perf_counter() - began), 1)}
            if (step + 1) % evaluate_every == 0 or step + 1 == settings["steps"]:
                scored.load_state_dict(average.state)
                predicted = predict(scored, validation, size)
                line |= {"pck": score(predicted, validation)["pck"]}
                write_pictures(out / f"validation-{step + 1:06d}.png", predicted, validation)
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
    return average


def main() -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("training/configs/cpm-s.toml"), help="sizes, steps and rates")
    parser.add_argument("--lsp", type=Path, required=True, help="Leeds Sports Pose: images/ and joints.mat")
    parser.add_argument("--lspet", type=Path, help="Leeds Sports Pose Extended; without it LSP alone is used")
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
    lsp, extended = load_lsp(args.lsp), load_lspet(args.lspet) if args.lspet else None
    if extended is not None:
        extended = extended.part(0, 9500)
    validation = lsp.part(900, 1000)
    sampler = ViewSampler(lsp.part(0, 900), extended, settings["lsp_share"], size, settings["seed"])
    model = build(settings, args.trunk)
    args.out.mkdir(parents=True, exist_ok=True)
    average = train(model, settings, sampler, validation, args.out, args.evaluate_every)
    halves = {name: value.half().contiguous() for name, value in average.state.items()}
    metadata = {"model": "cpm", "config": json.dumps(settings["model"]), "size": json.dumps(settings["size"])}
    save_file(halves, args.out / "weights.safetensors", metadata=metadata)
    model.load_state_dict({name: value.float() for name, value in halves.items()})
    predicted = predict(model, validation, size)
    scores = score(predicted, validation)
    write_pictures(args.out / "validation.png", predicted, validation)
    (args.out / "scores.json").write_text(json.dumps(scores, indent=1))
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
