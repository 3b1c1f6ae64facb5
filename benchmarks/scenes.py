"""A crowd, as a network for several people would see it."""

import numpy as np
from poses import standing

from posert import ops

HEIGHT, WIDTH, STRIDE = 368, 656, 8
PEOPLE = 20


def crowd() -> np.ndarray:
    """20 people of about 80 pixels in two rows of a frame of 368 x 656, float32 (20, 18, 3), COCO-18, no joint missing."""
    people = standing(PEOPLE)
    people[..., :2] -= people[..., :2].mean(1, keepdims=True)
    people[..., :2] *= 0.55
    row, column = np.divmod(np.arange(PEOPLE), PEOPLE // 2)
    people[..., 0] += (40 + 64 * column + 4 * row)[:, None]
    people[..., 1] += (100 + 165 * row)[:, None]
    return people


def crowd_maps(people: np.ndarray, noise: float = 0.01) -> tuple[np.ndarray, np.ndarray]:
    """The heatmaps (1, 18, 46, 82) and fields (1, 38, 46, 82) of people, with noise."""
    rng = np.random.default_rng(1)
    size = (HEIGHT // STRIDE, WIDTH // STRIDE)
    joints = ops.rasterize_gaussians(people, size, 7.0, stride=STRIDE)
    heatmaps = joints.max(0, keepdims=True)
    pafs = ops.rasterize_pafs(people[None], size, overlap="average")
    return (
        (heatmaps + rng.normal(0, noise, heatmaps.shape)).astype(np.float32),
        (pafs + rng.normal(0, noise, pafs.shape)).astype(np.float32),
    )
