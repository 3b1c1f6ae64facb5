"""Files of weights: those that trainings start from, and those that they write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from posert.errors import InputError


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights by name, as float32.

    Raises:
        InputError: the file is missing, damaged or of another format than safetensors.
    """
    try:
        return {name: value.float() if value.is_floating_point() else value for name, value in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as weights (safetensors): {error}") from error


def fill_fitting(model: nn.Module, init: Path) -> set[str]:
    """Take over the weights that fit by name and shape; return their names.

    Raises:
        InputError: none fits, or the file cannot be read.
    """
    own = model.state_dict()
    fits = {name: value for name, value in read_weights(init).items() if name in own and value.shape == own[name].shape}
    if not fits:
        raise InputError(f"{init} has no weights that fit; --init needs those of such a network, or of one on the same trunk")
    model.load_state_dict(own | fits)
    return set(fits)


def save(out: Path, model: str, state: dict[str, Tensor], **values: Any) -> dict[str, Tensor]:
    """Write the weights in half precision with what is needed to rebuild the network; return them as they were saved.

    Args:
        out: folder of ``weights.safetensors``.
        model: the paper, such as ``"cpm"``.
        state: the weights.
        values: ``config``, the network's configuration, and what else belongs to it, such as ``size``.
    """
    halves = {
        name: value.cpu().half().contiguous() if value.is_floating_point() else value.cpu() for name, value in state.items()
    }
    metadata = {"model": model} | {name: json.dumps(value) for name, value in values.items()}
    write_weights(out / "weights.safetensors", halves, metadata)
    return {name: value.float() if value.is_floating_point() else value for name, value in halves.items()}


def write_weights(path: Path, weights: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a file beside its final name and rename it, so that a stop in between leaves no half of one."""
    temporary = path.with_suffix(".tmp")
    save_file(weights, temporary, metadata=metadata)
    os.replace(temporary, path)
