"""How good an estimator of one person is on validation pictures, in numbers and to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posert import ops
from posert.draw import draw_poses
from posert.evaluation.metrics import pck
from posert.geometry import fit_aspect
from posert.types import Poses
from training.augment import PADDING_VALUE, Augmentation
from training.data.people import BODY, SKELETON, PosePictures
from training.pictures import write_grid
from training.pixels import SIGNED, Pixels, as_pixels

TORSO = (SKELETON.joints.index("left_shoulder"), SKELETON.joints.index("right_hip"))

Network = Callable[[Tensor], Tensor]
"""Images (N, 3, H, W) as of `Pixels` to heatmaps (N, 14 or more, h, w), the body's joints first."""


@torch.no_grad()
def predict(
    network: Network,
    data: PosePictures,
    size: tuple[int, int],
    *,
    pixels: Pixels = SIGNED,
    device: torch.device | str = "cpu",
    joints: int = 14,
    stride: int = 8,
    method: str = "softargmax",
    flip_test: bool = False,
) -> NDArray[np.float32]:
    """Find people inside their true boxes, as `posert.Estimator` does.

    Args:
        network: see `Network`; in evaluation mode.
        data: pictures.
        size: rows and columns of the network's input.
        pixels: what the network takes.
        device: where it is.
        joints: how many joints to read, the heatmaps' first ones.
        stride: input pixels a heatmap cell.
        method: of `posert.ops.decode_heatmaps`.
        flip_test: average with the maps of the mirrored pictures.

    Returns:
        float32 (N, joints, 3): x, y in image pixels, score.
    """
    boxes = fit_aspect(data.boxes(), size[1] / size[0], Augmentation().padding)
    flip = [k for k in SKELETON.flip if k < joints]
    found = []
    for start in range(0, len(data), 25):
        indices = range(start, min(start + 25, len(data)))
        images = [data.image(i) for i in indices]
        crops, transforms = ops.crop_resize(images, boxes[indices], size, 0.0, 1.0, fill=PADDING_VALUE)
        batch = as_pixels(torch.from_numpy(crops), pixels).to(device, memory_format=torch.channels_last)
        maps = network(batch)[:, :joints]
        if flip_test:
            maps = 0.5 * (maps + network(batch.flip(-1))[:, :joints][:, flip].flip(-1))
        found.append(ops.decode_heatmaps(maps.float().cpu().contiguous().numpy(), method, stride=stride, transforms=transforms))
    return np.concatenate(found)


def score(predicted: NDArray[np.float32], data: PosePictures) -> dict[str, Any]:
    """PCK@0.2 over the 14 joints of the body, and joint by joint (specs R-7)."""
    joints = pck(predicted[:, BODY], data.keypoints[:, BODY], TORSO)
    names = SKELETON.joints[BODY]
    return {"pck": float(joints.mean()), "joints": dict(zip(names, joints.round(4).tolist(), strict=True))}


def write_pictures(path: Path, predicted: NDArray[np.float32], data: PosePictures) -> None:
    """Write the first 24 people with the skeletons found, as a grid."""
    size = (224, 160)
    skeleton = SKELETON if predicted.shape[1] == len(SKELETON) else "cpm14"
    tiles = []
    for i in range(24):
        box = fit_aspect(data.boxes()[i : i + 1], size[1] / size[0], 1.25)
        drawn = draw_poses(data.image(i), Poses(predicted[i : i + 1], skeleton=skeleton))
        tiles.append(ops.to_uint8(ops.crop_resize([drawn], box, size, 127.5, 1 / 127.5, fill=PADDING_VALUE)[0])[0])
    write_grid(path, [np.stack(tiles[column::8]) for column in range(8)])
