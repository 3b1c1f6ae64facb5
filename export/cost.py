"""What one run of a network costs."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from export.recipes import Recipe


def multiply_accumulates(recipe: Recipe) -> int:
    """Multiplications with addition in the convolutions and matrix products of the exported network, for one picture."""
    inputs = [torch.zeros(1, *shape) for shape in recipe.inputs.values()]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        recipe.exported.eval()(*inputs)
    return counter.get_total_flops() // 2
