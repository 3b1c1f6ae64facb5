"""What a PG2 network draws for pairs of pictures, and how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posert import ops
from posert.models.pg2 import Generator, PG2Config
from training.data.identities import PersonPictures
from training.lpips import LPIPS
from training.metrics import mask_ssim, ssim
from training.pictures import write_grid
from training.pixels import normalise

ROWS = 12
"""Pairs in a grid."""


def network_input(source: NDArray[np.uint8], pose: NDArray[np.float32], device: torch.device | str = "cpu") -> Tensor:
    """The generator's input (N, 21, H, W): source picture and pose planes."""
    planes = torch.from_numpy(ops.rasterize_discs(pose, (source.shape[1], source.shape[2]))).to(device)
    return torch.cat([normalise(source, device=device), planes], 1).contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def draw(
    config: PG2Config,
    states: Sequence[dict[str, Tensor]],
    source: NDArray[np.uint8],
    pose: NDArray[np.float32],
    device: torch.device | str = "cpu",
) -> dict[str, NDArray[np.uint8]]:
    """Draw people in poses.

    Args:
        config: of the network.
        states: G1's weights; with G2's there is a final picture, too.
        source: uint8 (N, H, W, 3), RGB.
        pose: (N, 18, 3), in pixels of the pictures.
        device: where to draw.

    Returns:
        ``coarse`` and, of two stages, ``final``: uint8 (N, H, W, 3).
    """
    generator = Generator(config).eval().to(device, memory_format=torch.channels_last)
    generator.coarse.load_state_dict(states[0])
    if len(states) > 1:
        generator.refine.load_state_dict(states[1])
    drawn = {name: np.empty_like(source) for name in ("coarse", "final")[: len(states)]}
    for start in range(0, len(source), 32):
        part = slice(start, start + 32)
        x = network_input(source[part], pose[part], device)
        coarse = generator.coarse(x)
        drawn["coarse"][part] = ops.to_uint8(coarse.cpu().contiguous().numpy())
        if len(states) > 1:
            drawn["final"][part] = ops.to_uint8((coarse + generator.refine(coarse, x[:, :3])).cpu().contiguous().numpy())
    return drawn


def evaluate(
    config: PG2Config,
    states: Sequence[dict[str, Tensor]],
    data: PersonPictures,
    pairs: NDArray[np.int64],
    lpips: LPIPS | None,
    grid: Path | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Scores on (source, target) pairs: SSIM, mask-SSIM with the target's mask, LPIPS; for each stage that is given.

    Args:
        config: of the network.
        states: weights as of `draw`.
        data: the pictures.
        pairs: int64 (M, 2).
        lpips: the distance, or None to leave it out.
        grid: where the first pairs are written as a picture, or None.
        device: where to draw.
    """
    source, target, pose = data.pictures(pairs[:, 0]), data.pictures(pairs[:, 1]), data.keypoints[pairs[:, 1]]
    drawn = draw(config, states, source, pose, device)
    mask = ops.pose_mask(pose, data.size)[:, 0]
    scores: dict[str, float] = {"pairs": len(pairs)}
    truth = target[:, :, data.shown]
    for name, images in drawn.items():
        shown = images[:, :, data.shown]
        scores[f"{name}_ssim"] = ssim(shown, truth)
        scores[f"{name}_mask_ssim"] = mask_ssim(shown, truth, mask[:, :, data.shown])
        if lpips is not None:
            scores[f"{name}_lpips"] = lpips.mean_distance(shown, truth)
    if grid is not None:
        write_grid(grid, [column[:ROWS] for column in (source, pose_pictures(pose, data.size), *drawn.values(), target)])
    return scores


def pose_pictures(pose: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Poses as the network sees them, all planes in one: uint8 (N, H, W, 3), white on grey."""
    return np.where(ops.rasterize_discs(pose, size).max(1)[..., None] > 0, 255, 40).astype(np.uint8).repeat(3, -1)
