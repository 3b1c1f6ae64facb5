"""What one run of a model costs."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from export.recipes import Recipe


def multiply_accumulates(recipe: Recipe) -> int:
    """Multiplications with addition in the convolutions and matrix products of the exported networks, for one picture."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        for network in recipe.networks:
            network.exported.eval()(*(torch.zeros(1, *shape) for shape in network.inputs.values()))
    return counter.get_total_flops() // 2
