"""The mean of several runs' weights, which is often better than each: they must have started from the same weights.

python -m training.average runs/first/weights.safetensors runs/second/weights.safetensors --out weights.safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from posert.errors import InputError
from training.errors import plain_errors
from training.weights import read_weights, write_weights


def average(files: list[Path], out: Path) -> None:
    """Write the mean of weight files in half precision.

    Args:
        files: of one network, with one configuration.
        out: where to write.

    Raises:
        InputError: the files are of different networks, or one cannot be read.
    """
    metadata: list[dict[str, str]] = []
    states: list[dict[str, Tensor]] = []
    for file in files:
        states.append(read_weights(file))
        with safe_open(file, framework="pt") as opened:
            metadata.append(opened.metadata() or {})
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    for file, shape, about in zip(files, shapes, metadata, strict=True):
        if shape != shapes[0] or about != metadata[0]:
            raise InputError(f"{file} holds another network than {files[0]}")
    mean = {name: torch.stack([state[name].double() for state in states]).mean(0).half() for name in states[0]}
    write_weights(out, mean, metadata[0])


@plain_errors()
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", help="weights (safetensors) of runs of one configuration")
    parser.add_argument("--out", type=Path, required=True, help="where to write their mean")
    args = parser.parse_args()
    average(args.files, args.out)


if __name__ == "__main__":
    main()
