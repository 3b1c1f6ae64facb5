"""How good a model of Unseen Poses is on pairs of frames, run through `posert.Transfer` as its users run it.

    python -m training.evaluate_pairs unseen-s --synth synth --clips clips --weights weights --out report

Rendered pairs of both presets, 100 each, and pairs of frames of the clips that are kept for validation: SSIM, LPIPS, and the same
of the source left unchanged, which a model must be better than. Writes ``scores.json`` and ``pairs.png``, the worst and the best
of each set by LPIPS: source, target, result.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from posert import Poses, Transfer, TransferBatch
from posert.errors import InputError
from training.data.pairs import VALIDATION_CLIPS, load_clips
from training.errors import plain_errors
from training.lpips import LPIPS
from training.metrics import ssim
from training.pair_judge import clip_validation, rendered_validation
from training.pairs import Pairs
from training.pictures import write_grid

SHOWN = 4


def result(transfer: Transfer, pairs: Pairs) -> NDArray[np.uint8]:
    """The pictures (N, H, W, 3) that a pipeline makes of pairs whose poses are known."""
    source, target = (Poses(joints, skeleton="cpm14") for joints in (pairs.source_joints, pairs.target_joints))
    return transfer.run(TransferBatch(pairs.source, target, source)).images


@torch.no_grad()
def distances(lpips: LPIPS, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """LPIPS of every pair of pictures (N, H, W, 3)."""
    found = []
    for start in range(0, len(first), 16):
        batches = (torch.from_numpy(p[start : start + 16]).permute(0, 3, 1, 2).float() / 127.5 - 1 for p in (first, second))
        found.append(lpips(*batches).numpy())
    return np.concatenate(found).astype(np.float64)


def evaluate(transfer: Transfer, sets: dict[str, Pairs], lpips: LPIPS, out: Path) -> dict[str, dict[str, float]]:
    """Scores by set; pictures are written to a folder."""
    scores, rows = {}, []
    for name, pairs in sets.items():
        made = result(transfer, pairs)
        far, unchanged = distances(lpips, made, pairs.target), distances(lpips, pairs.source, pairs.target)
        scores[name] = {
            "pairs": len(pairs),
            "ssim": ssim(made, pairs.target),
            "lpips": float(far.mean()),
            "ssim, source unchanged": ssim(pairs.source, pairs.target),
            "lpips, source unchanged": float(unchanged.mean()),
            "pairs nearer than the source": float((far < unchanged).mean()),
        }
        order = np.argsort(far)
        chosen = np.concatenate([order[::-1][:SHOWN], order[:SHOWN]])
        rows.append([pairs.source[chosen], pairs.target[chosen], made[chosen]])
    out.mkdir(parents=True, exist_ok=True)
    write_grid(out / "pairs.png", [np.concatenate(column) for column in zip(*rows, strict=True)])
    (out / "scores.json").write_text(json.dumps(scores, indent=1))
    return scores


@plain_errors()
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a transfer model driven by CPM's 14 joints: a zoo name or a .posert file")
    parser.add_argument("--synth", type=Path, help="folder of the package synthpeople")
    parser.add_argument("--clips", type=Path, help="folder of clips: <clip>/00000.jpg with masks 00000.png")
    parser.add_argument("--weights", type=Path, required=True, help="folder of LPIPS's weights")
    parser.add_argument("--pairs", type=int, default=100, help="of each set")
    parser.add_argument("--out", type=Path, required=True, help="folder for scores.json and pairs.png")
    args = parser.parse_args()
    if args.synth is None and args.clips is None:
        parser.error("nothing to judge on: give --synth, --clips or both")
    if args.pairs < 2 * SHOWN:
        parser.error(f"--pairs must be at least {2 * SHOWN}, got {args.pairs}")
    with Transfer(args.model) as transfer:
        manifest = transfer.engine.manifest
        if manifest.skeleton.name != "cpm14":
            raise InputError(f"{manifest.name!r} is driven by {manifest.skeleton.name}, the pairs have the joints of cpm14")
        size = manifest.preprocess.size
        sets = {} if args.synth is None else rendered_validation(args.synth, size, args.pairs)
        if args.clips is not None:
            sets["clips"] = clip_validation(load_clips(args.clips, VALIDATION_CLIPS), size, args.pairs)
        scores = evaluate(transfer, sets, LPIPS(args.weights), args.out)
    columns = list(next(iter(scores.values())))
    table = Table("set", *columns)
    for name, values in scores.items():
        table.add_row(name, *(f"{values[column]:.3f}" if column != "pairs" else f"{values[column]:.0f}" for column in columns))
    Console().print(table)


if __name__ == "__main__":
    main()
