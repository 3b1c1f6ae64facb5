"""What each system's own idea is worth: the small models trained with and without it, alike in all else, several times.

    python -m training.ablation --lsp lsp --lspet lspet --trunk movenet.safetensors --out runs/ablation

Intermediate supervision of pose machines, message passing of structured features, the discriminators of Adversarial PoseNet.
Runs that are finished are not run again, so it stops and starts at will. Writes the table as ``ablation.md``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from training.errors import plain_errors

# Title -> the training, its configuration, and the settings with and without the idea.
IDEAS = {
    "intermediate supervision (CPM)": ("cpm", "intermediate_supervision=true", "intermediate_supervision=false"),
    "message passing (structured features)": ("structured", "model.message_passing=true", "model.message_passing=false"),
    "discriminators (Adversarial PoseNet)": ("adversarial", "discriminators=['pose', 'confidence']", "discriminators=[]"),
}


def scores(training: str, setting: str, name: str, args: argparse.Namespace) -> list[float]:
    """PCK@0.2 of one setting, once for each seed."""
    found = []
    for seed in range(1, args.seeds + 1):
        out = args.out / f"{training}-{name}-{seed}"
        if not (out / "scores.json").is_file():
            changes = [setting, f"seed={seed}", f"steps={args.steps}", f"frozen={args.frozen}"]
            command = [sys.executable, "-m", f"training.{training}", "--config", f"training/configs/{training}-s.toml"]
            command += ["--lsp", args.lsp, "--lspet", args.lspet, "--trunk", args.trunk, "--out", out]
            command += [part for change in changes for part in ("--set", change)]
            command += ["--threads", str(args.threads), "--evaluate-every", str(args.steps)]
            subprocess.run([str(part) for part in command], check=True)
        found.append(json.loads((out / "scores.json").read_text())["pck"])
    return found


def row(idea: str, settings: tuple[str, str, str], args: argparse.Namespace) -> str:
    """A line of the table: means, and the range over the seeds."""
    training, *pair = settings
    cells = []
    for setting, name in zip(pair, ("with", "without"), strict=True):
        found = scores(training, setting, name, args)
        cells.append(f"{statistics.mean(found):.3f} ({min(found):.3f} to {max(found):.3f})")
    return f"| {idea} | {cells[0]} | {cells[1]} |"


@plain_errors()
def main() -> None:
    """Command line of the ablation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lsp", type=Path, required=True, help="Leeds Sports Pose: images/ and joints.mat")
    parser.add_argument("--lspet", type=Path, required=True, help="Leeds Sports Pose Extended")
    parser.add_argument("--trunk", type=Path, required=True, help="MoveNet Lightning's trunk (safetensors)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the runs and the table")
    parser.add_argument("--steps", type=int, default=600, help="of every run")
    parser.add_argument("--seeds", type=int, default=2, help="runs of every setting")
    parser.add_argument(
        "--frozen", type=int, default=1000, help="the trunk's first convolutions that keep their weights; 1000 = all"
    )
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = torch's choice")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    head = [f"PCK@0.2 on LSP 901-1000 after {args.steps} steps, mean (range) of {args.seeds} runs.", ""]
    head += ["| idea | with | without |", "|---|---:|---:|"]
    lines = head + [row(idea, settings, args) for idea, settings in IDEAS.items()]
    (args.out / "ablation.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
