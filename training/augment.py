"""Random views of a person for training an estimator: scale, rotation, mirror, colour, occlusion."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

PADDING_VALUE = 128


@dataclass(frozen=True)
class Augmentation:
    """How strongly views vary; see `view`.

    Attributes:
        padding: how much larger than the joints' box the view is, before scaling.
        scale: the person's size varies by factors from ``1 / scale`` to `scale`.
        rotation: degrees to either side.
        any_rotation: chance that the view is turned by any angle instead, for people who lie or are upside down.
        shift: of the view's centre, as a fraction of its sides.
        occlusion: chance that rectangles are painted over the picture.
        colour: strength of brightness, contrast and tint changes.
    """

    padding: float = 1.25
    scale: float = 1.35
    rotation: float = 40.0
    any_rotation: float = 0.0
    shift: float = 0.05
    occlusion: float = 0.4
    colour: float = 0.25


def view(
    image: NDArray[np.uint8],
    keypoints: NDArray[np.float32],
    box: NDArray[np.float32],
    size: tuple[int, int],
    flip: list[int],
    amount: Augmentation,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Cut a random view of one person out of an image.

    Args:
        image: uint8 (H, W, 3), RGB.
        keypoints: float32 (K, 2 or more): x, y in image pixels; what follows them goes along.
        box: the person: x0, y0, x1, y1.
        size: rows and columns of the view.
        flip: the skeleton's mirror permutation.
        amount: how much to vary.
        rng: source of chance.

    Returns:
        The view, uint8 (size, 3), and its keypoints, x and y in view pixels.
    """
    height, width = size
    zoom = min(width / (box[2] - box[0]), height / (box[3] - box[1])) / amount.padding
    zoom *= np.exp(rng.uniform(-1, 1) * np.log(amount.scale))
    angle = np.deg2rad(rng.uniform(-1, 1) * amount.rotation) if rng.random() < 0.75 else 0.0
    if rng.random() < amount.any_rotation:
        angle = rng.uniform(-np.pi, np.pi)
    mirrored = rng.random() < 0.5
    linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        linear = linear @ np.diag([-1.0, 1.0])
    centre = np.array([box[0] + box[2] - 1, box[1] + box[3] - 1]) / 2
    target = np.array([width - 1, height - 1]) / 2 + rng.uniform(-1, 1, 2) * amount.shift * (width, height)
    matrix = np.concatenate([linear, (target - linear @ centre)[:, None]], 1)
    crop = cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(PADDING_VALUE,) * 3
    )
    moved = keypoints.copy()
    moved[:, :2] = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    if mirrored:
        moved = moved[flip]
    return occlude(recolour(crop, amount.colour, rng), amount.occlusion, rng), moved  # type: ignore[arg-type]


def recolour(image: NDArray[np.uint8], strength: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change contrast, brightness and tint; now and then take the colour away or blur."""
    gain = 1 + strength * rng.uniform(-1, 1) + 0.4 * strength * rng.uniform(-1, 1, 3)
    offset = 128 * strength * rng.uniform(-1, 1)
    changed = np.clip((image - 128.0) * gain + 128 + offset, 0, 255).astype(np.uint8)
    if rng.random() < 0.05:
        changed = np.repeat(changed.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    if rng.random() < 0.1:
        changed = cv2.GaussianBlur(changed, (3, 3), rng.uniform(0.5, 1.5))  # type: ignore[assignment]
    return changed


def occlude(image: NDArray[np.uint8], chance: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint one to three rectangles of flat colour or of the picture's own pixels over it."""
    if rng.random() >= chance:
        return image
    height, width = image.shape[:2]
    for _ in range(rng.integers(1, 4)):
        h, w = int(height * rng.uniform(0.06, 0.25)), int(width * rng.uniform(0.08, 0.35))
        y, x = rng.integers(0, height - h), rng.integers(0, width - w)
        if rng.random() < 0.5:
            image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
        else:
            y2, x2 = rng.integers(0, height - h), rng.integers(0, width - w)
            image[y : y + h, x : x + w] = image[y2 : y2 + h, x2 : x2 + w].copy()
    return image
