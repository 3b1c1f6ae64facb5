"""How much a re-drawn video flickers: differences of consecutive frames that the poses' motion does not explain."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from posert.types import Image

_TALLEST = 128  # rows: larger pictures are measured at this size
_REACH = 0.06  # of the picture's height: how far around a joint the picture moves with it
_STILL = 0.05  # weight of "does not move", against 1 at a joint


class Flicker:
    """Measures consecutive pictures of one person as they are drawn.

    For each pair the earlier picture is warped as the joints moved: a pixel moves by the mean of the joints' displacements,
    weighted by exp(-d^2 / 2r^2) of its distance d to each, with r = 6 % of the picture's height, and with a weight of 0.05 for
    not moving at all. What remains is the mean absolute difference to the later picture, over all pixels and channels, in grey
    levels of 0..255, measured at 128 rows at most. 0 is a video that nothing but the poses moves.
    """

    def __init__(self) -> None:
        self._picture: NDArray[np.float32] | None = None
        self._joints: NDArray[np.float64] | None = None
        self._sum, self._pairs = 0.0, 0

    @property
    def mean(self) -> float:
        """The mean of all pairs, in grey levels; 0 before there is one."""
        return self._sum / self._pairs if self._pairs else 0.0

    def add(self, picture: Image, keypoints: NDArray[np.float32]) -> float | None:
        """Take in the next picture.

        Args:
            picture: uint8 (H, W, 3), of the same size as those before.
            keypoints: (K, 3): the pose it was drawn in, x, y in its pixels, score.

        Returns:
            The flicker of this picture and the one before; None for the first.
        """
        scale = min(1.0, _TALLEST / picture.shape[0])
        size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
        joints = np.where(keypoints[:, 2:] > 0, (keypoints[:, :2].astype(np.float64) + 0.5) * scale - 0.5, np.nan)
        before, was = self._picture, self._joints
        self._picture, self._joints = small, joints
        if before is None or was is None:
            return None
        y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
        dx, dy = _motion(x, y, was, joints, _REACH * size[1])
        warped = cv2.remap(before, x - dx, y - dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        value = float(np.abs(small - warped).mean())
        self._sum, self._pairs = self._sum + value, self._pairs + 1
        return value


def _motion(
    x: NDArray[np.float32], y: NDArray[np.float32], was: NDArray[np.float64], now: NDArray[np.float64], reach: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where the picture at each pixel came from, seen from the joints' new places: displacements in x and y."""
    weight, dx, dy = np.full_like(x, _STILL), np.zeros_like(x), np.zeros_like(x)
    for (x0, y0), (x1, y1) in zip(was, now, strict=True):
        if np.isfinite([x0, y0, x1, y1]).all():
            near = np.exp(-((x - np.float32(x1)) ** 2 + (y - np.float32(y1)) ** 2) / np.float32(2 * reach**2))
            weight += near
            dx += near * np.float32(x1 - x0)
            dy += near * np.float32(y1 - y0)
    return dx / weight, dy / weight
