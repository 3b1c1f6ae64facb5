"""How good networks of unseen poses are on validation pairs, in numbers and to look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from posert import ops
from posert.models.unseen import Synthesis
from training.data.pairs import Clip, RenderedPairs
from training.lpips import LPIPS
from training.metrics import ssim
from training.pairs import Inputs, Pairs, inputs, resized, stack
from training.pictures import write_grid

PRESETS = ("fashion", "action")
SHOWN = 16
"""Validation pairs in the picture of a run."""
AT_ONCE = 8


def draw(model: nn.Module, batch: Inputs) -> Synthesis:
    """Run the networks on a batch, convolutions in half precision."""
    with torch.autocast(batch.source.device.type, torch.bfloat16):
        made: Synthesis = model(batch.source, batch.source_pose, batch.priors, batch.transforms, batch.target_pose)
    return made


@dataclass(frozen=True)
class Judge:
    """Scores networks on pairs that they were not trained on.

    Attributes:
        sets: pairs by name.
        lpips: the perceptual distance.
    """

    sets: dict[str, Pairs]
    lpips: LPIPS

    def __call__(self, model: nn.Module, path: Path) -> dict[str, dict[str, float]]:
        """SSIM and LPIPS of a network in evaluation mode on every set, and of the source left unchanged; write pictures."""
        scores, rows = {}, []
        for name, pairs in self.sets.items():
            made = pictures(model, pairs)
            scores[name] = self.compare(made["image"], pairs.target)
            scores[f"{name}, source unchanged"] = self.compare(pairs.source, pairs.target)
            shown = [pairs.source, pairs.target, made["image"], made["background"], made["foreground"], made["mask"]]
            rows.append([column[: SHOWN // len(self.sets)] for column in shown])
        if rows:
            write_grid(path, [np.concatenate(column) for column in zip(*rows, strict=True)])
        return scores

    def compare(self, made: NDArray[np.uint8], target: NDArray[np.uint8]) -> dict[str, float]:
        """Scores of pictures, rounded."""
        return {"ssim": round(ssim(made, target), 4), "lpips": round(self.lpips.mean_distance(made, target), 4)}


@torch.no_grad()
def pictures(model: nn.Module, pairs: Pairs) -> dict[str, NDArray[np.uint8]]:
    """What a network makes of pairs: ``image``, ``foreground``, ``background`` and ``mask``, each uint8 (N, H, W, 3), RGB."""
    device = next(model.parameters()).device
    found: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in ("image", "foreground", "background", "mask")}
    for start in range(0, len(pairs), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        made = draw(model, inputs(Pairs(**{name: value[part] for name, value in vars(pairs).items()}), device))
        shown = {"image": made.image, "foreground": made.foreground, "background": made.background}
        for name, value in {**shown, "mask": (2 * made.mask - 1).expand(-1, 3, -1, -1)}.items():
            found[name].append(ops.to_uint8(np.ascontiguousarray(value.float().cpu().numpy())))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def rendered_validation(root: Path, size: tuple[int, int], count: int) -> dict[str, Pairs]:
    """The first `count` rendered pairs of each preset, which trainings never see."""
    sets = {}
    for preset in PRESETS:
        pairs = RenderedPairs(root, size, (preset,), seed=1)
        sets[preset] = stack([pairs.pair(number) for number in range(count)])
    return sets


def clip_validation(clips: dict[str, Clip], size: tuple[int, int], count: int) -> Pairs:
    """`count` pairs of frames at least a quarter of their clip apart, one clip after the other."""
    rng, frames = np.random.default_rng(1), []
    for number in range(count):
        clip = list(clips.values())[number % len(clips)]
        first = int(rng.integers(len(clip)))
        second = (first + len(clip) // 4 + int(rng.integers(len(clip) // 2))) % len(clip)
        frames.append((resized(clip.frame(first), size), resized(clip.frame(second), size)))
    return stack(frames)
