"""Poses that the drawing kernels are timed on."""

import numpy as np

_STANDING = (
    *((64, 36), (64, 60), (44, 62), (34, 94), (30, 124), (84, 62), (95, 95), (98, 124), (52, 128)),
    *((50, 176), (50, 224), (76, 128), (78, 176), (80, 224), (60, 32), (68, 32), (56, 34), (72, 34)),
)


def standing(people: int) -> np.ndarray:
    """People of about 200 pixels in frames of 256 x 256, float32 (people, 18, 3), COCO-18, no joint missing."""
    rng = np.random.default_rng(0)
    keypoints = np.ones((people, 18, 3), np.float32)
    keypoints[..., :2] = np.array(_STANDING) + rng.uniform(0, 100, (people, 1, 2)) * (1, 0.2) + rng.normal(0, 4, (people, 18, 2))
    return keypoints


def standing_cpm14(people: int) -> np.ndarray:
    """The same people as CPM-14 joints, float32 (people, 14, 3)."""
    keypoints = standing(people)
    head = keypoints[:, :1] + 0.9 * (keypoints[:, :1] - keypoints[:, 1:2])
    head[..., 2] = 1
    return np.concatenate([head, keypoints[:, 1:14]], 1).astype(np.float32)
