"""The variants of PG2 that the paper compares, small and alike in all else, on people of Market-1501 that they do not know.

    python -m training.ablation_pg2 --data market1501 --lpips weights --out runs/ablation-pg2

Every variant gets the same number of generator updates; those of two stages are shared out as the paper's 22,000 and 14,000 are.
Runs that are finished are not run again, so it stops and starts at will. Writes ``ablation.md``, beside each number the paper's
own, and ``ablation.png``: the same pairs drawn by all variants.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from posert.draw import picture_grid
from posert.media.files import write_bytes
from posert.media.images import write_image
from posert.models.pg2 import PG2Config
from training.data.published import open_people
from training.errors import plain_errors
from training.pg2_validation import draw, pose_pictures
from training.weights import read_weights

CONFIG = Path(__file__).parent / "configs" / "pg2-s.toml"
ONE_STAGE = ("model.stages=1",)
FIRST_STAGE = 22 / 36
"""The first stage's share of the updates of both, as in the paper."""

# Title -> the changes of the configuration; the paper's SSIM and mask-SSIM on Market-1501 (specs pg2, 6).
VARIANTS: dict[str, tuple[tuple[str, ...], float, float]] = {
    "G1-CE-L1": ((*ONE_STAGE, "coarse.loss='l1'", "model.embedding='coordinates'"), 0.219, 0.771),
    "G1-HME-L1": ((*ONE_STAGE, "coarse.loss='l1'", "model.embedding='heatmap_encoder'"), 0.294, 0.802),
    "G1-L1": ((*ONE_STAGE, "coarse.loss='l1'"), 0.304, 0.809),
    "G1-poseMaskLoss": (ONE_STAGE, 0.340, 0.817),
    "G1+D": ((*ONE_STAGE, "coarse.adversarial=true", "coarse.reconstruction=10.0"), 0.283, 0.803),
    "G1+G2+D": ((), 0.253, 0.792),
}


def steps(changes: tuple[str, ...], total: int) -> list[str]:
    """How many updates each stage gets, as changes of the configuration."""
    first = total if "model.stages=1" in changes else round(FIRST_STAGE * total)
    return [f"coarse.steps={first}", f"refine.steps={total - first}"]


def train(name: str, args: argparse.Namespace) -> dict[str, float]:
    """Train a variant unless that was done before; return its scores."""
    out = args.out / name
    if not (out / "scores.json").is_file():
        changes = [
            *VARIANTS[name][0],
            *steps(VARIANTS[name][0], args.steps),
            f"seed={args.seed}",
            "refine.strength=1.0",
            *args.changes,
        ]
        command = [sys.executable, "-m", "training.pg2", "--config", CONFIG, "--data", args.data, "--out", out]
        command += [part for change in changes for part in ("--set", change)]
        command += ["--threads", args.threads, "--workers", args.workers, "--evaluate-every", args.steps]
        command += [part for option in ("lpips", "device") if (value := getattr(args, option)) for part in (f"--{option}", value)]
        subprocess.run([str(part) for part in command], check=True)
    scores: dict[str, float] = json.loads((out / "scores.json").read_text())
    return scores


def table(scores: dict[str, dict[str, float]], total: int) -> str:
    """The scores of each variant's final picture, in Markdown."""
    pairs = next(iter(scores.values()))["pairs"]
    lines = [
        f"{total} generator updates each, {pairs} pairs of Market-1501's validation identities, G1 and G2 of width 16 and 24.",
        "",
        "| variant | SSIM | mask-SSIM | LPIPS | paper: SSIM | paper: mask-SSIM |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, own in scores.items():
        stage = "final" if "final_ssim" in own else "coarse"
        cells = [own[f"{stage}_ssim"], own[f"{stage}_mask_ssim"], own.get(f"{stage}_lpips"), *VARIANTS[name][1:]]
        lines.append(f"| {name} | " + " | ".join("" if cell is None else f"{cell:.3f}" for cell in cells) + " |")
    for number, title in ((0, "SSIM"), (1, "mask-SSIM")):
        key = ("ssim", "mask_ssim")[number]
        own_order = sorted(scores, key=lambda name: -scores[name].get(f"final_{key}", scores[name][f"coarse_{key}"]))
        paper_order = sorted(scores, key=lambda name: -VARIANTS[name][1 + number])
        lines += ["", f"{title}, best first: {', '.join(own_order)}. In the paper: {', '.join(paper_order)}."]
    return "\n".join(lines) + "\n"


def picture(names: list[str], args: argparse.Namespace, rows: int = 8) -> NDArray[np.uint8]:
    """A grid: source, pose, what each variant draws, and the truth; one pair a row."""
    settings: dict[str, Any] = tomllib.loads(CONFIG.read_text())
    validation = open_people(args.data).split(settings["validation_identities"])[1]
    pairs = validation.pairs(rows, seed=1)
    source, target, pose = validation.pictures(pairs[:, 0]), validation.pictures(pairs[:, 1]), validation.keypoints[pairs[:, 1]]
    columns = {"source": source, "pose": pose_pictures(pose, validation.size)}
    for name in names:
        path = args.out / name / "weights.safetensors"
        with safe_open(path, "pt") as file:
            config = PG2Config(**json.loads(file.metadata()["config"]))
        weights = read_weights(path)
        stages = ("coarse.", "refine.")[: config.stages]
        states = [{key.removeprefix(stage): value for key, value in weights.items() if key.startswith(stage)} for stage in stages]
        columns[name] = list(draw(config, states, source, pose).values())[-1]
    columns["target"] = target
    cells = [[column[row] for column in columns.values()] for row in range(rows)]
    return picture_grid(cells, (192, 96), columns=[name.replace("poseMaskLoss", "mask") for name in columns])


@plain_errors()
def main() -> None:
    """Command line of the ablation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Market-1501 as published, with PATN's keypoints")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs, the table and the picture")
    parser.add_argument("--lpips", type=Path, help="folder with AlexNet and LPIPS weights; without it LPIPS is left out")
    parser.add_argument("--steps", type=int, default=2000, help="generator updates of every variant")
    parser.add_argument("--seed", type=int, default=1, help="of all runs")
    parser.add_argument(
        "--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME", help="these variants alone"
    )
    parser.add_argument("--device", help="cpu, cuda or cuda:N; by default a GPU where there is one")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = torch's choice")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw pairs; 0 = none beside the training's")
    change = "change a value of the configuration in all runs, such as model.channels=32; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes", help=change)
    args = parser.parse_args()
    scores = {name: train(name, args) for name in args.only}
    text = table(scores, args.steps)
    write_bytes(args.out / "ablation.md", text.encode())
    write_image(args.out / "ablation.png", picture(args.only, args))
    print(text, end="")


if __name__ == "__main__":
    main()
