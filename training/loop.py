"""What every training shares: seeds, moving averages of weights, the learning-rate curve, and checkpoints that a run resumes
from.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor, nn


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that draw from the global generator
    torch.manual_seed(seed)


def cosine_rate(step: int, steps: int, *, warmup: int = 200, final: float = 0.02) -> float:
    """Factor on the base learning rate: a linear warm-up, then half a cosine down to `final`."""
    if step < warmup:
        return (step + 1) / warmup
    progress = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))


def constant_rate(step: int, steps: int) -> float:
    """Factor on the base learning rate that never changes."""
    return 1.0


def set_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Scale each parameter group's learning rate from the value it was created with."""
    for group in optimizer.param_groups:
        group["lr"] = group.setdefault("base_lr", group["lr"]) * factor


class Average:
    """An exponential moving average of a module's parameters and buffers, short-sighted at first."""

    def __init__(self, module: nn.Module, decay: float = 0.999) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {name: value.detach().clone() for name, value in module.state_dict().items()}

    def load(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Go on from an average that was kept."""
        for name, value in self.state.items():
            value.copy_(state[name])
        self.updates = updates

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step towards the module's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def descend(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """One step of an optimizer, the gradient's norm limited to 1."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint beside its final name and rename it, so that a stop in between leaves the last one whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    torch.save(dict(state), temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Read a checkpoint (tensors and plain values only), or None where there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


CHECKPOINT_EVERY = 100


def run(
    title: str,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    step: Callable[[int], Mapping[str, float]],
    steps: int,
    batch: int,
    out: Path,
    evaluate: Callable[[dict[str, Tensor], int], Mapping[str, Any]],
    evaluate_every: int,
    *,
    schedule: Callable[[int, int], float] = cosine_rate,
    decay: float = 0.999,
) -> Average:
    """Train to the last step, from the checkpoint in `out` if there is one, and keep a log there.

    Args:
        title: of the progress bar.
        modules: all that is trained; ``"model"`` is the one whose weights are averaged.
        optimizers: all that have a state; their rates follow `schedule`.
        step: takes the number of a step, updates the modules, returns its losses.
        steps: how many.
        batch: pictures that a step sees, for the log.
        out: folder of ``checkpoint.pt`` and ``log.jsonl``.
        evaluate: takes the averaged weights and the number of steps done, returns scores for the log.
        evaluate_every: steps.
        schedule: factor on the learning rates from the number of a step and of all steps.
        decay: of the average; 0 keeps the last weights.

    Returns:
        The averaged weights.
    """
    average, path, start = Average(modules["model"], decay), out / "checkpoint.pt", 0
    out.mkdir(parents=True, exist_ok=True)
    if state := load_checkpoint(path):
        start = state["step"]
        for name, part in {**modules, **optimizers}.items():
            part.load_state_dict(state[name])
        average.load(state["average"], state["updates"])
    began = time.perf_counter()
    for number in track(range(start, steps), title, disable=start >= steps):
        for optimizer in optimizers.values():
            set_rate(optimizer, schedule(number, steps))
        losses = step(number)
        average.update(modules["model"])
        done = number + 1
        judged = done % evaluate_every == 0 or done == steps
        if done % CHECKPOINT_EVERY == 0 or judged:
            parts = {name: part.state_dict() for name, part in {**modules, **optimizers}.items()}
            save_checkpoint(path, parts | {"average": average.state, "updates": average.updates, "step": done})
            speed = round((done - start) * batch / (time.perf_counter() - began), 1)
            line = {"step": done, **losses, "per_second": speed}
            if judged:
                line |= evaluate(average.state, done)
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
    return average
