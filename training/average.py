"""The mean of several runs' weights, which is often better than each: they must have started from the same weights.

python -m training.average runs/first/weights.safetensors runs/second/weights.safetensors --out weights.safetensors
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from posert.errors import InputError


def average(files: list[Path], out: Path) -> None:
    """Write the mean of weight files in half precision.

    Args:
        files: of one network, with one configuration.
        out: where to write.

    Raises:
        InputError: the files are of different networks.
    """
    metadata = []
    for file in files:
        with safe_open(file, framework="pt") as opened:
            metadata.append(opened.metadata() or {})
    states = [load_file(file) for file in files]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    for file, shape, about in zip(files, shapes, metadata, strict=True):
        if shape != shapes[0] or about != metadata[0]:
            raise InputError(f"{file} holds another network than {files[0]}")
    mean = {name: torch.stack([state[name].double() for state in states]).mean(0).half() for name in states[0]}
    temporary = out.with_suffix(".tmp")
    save_file(mean, temporary, metadata=metadata[0])
    os.replace(temporary, out)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="weights (safetensors) of runs of one configuration")
    parser.add_argument("--out", type=Path, required=True, help="where to write their mean")
    args = parser.parse_args()
    average(args.files, args.out)


if __name__ == "__main__":
    main()
