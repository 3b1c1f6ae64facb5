"""The part of a picture that a network sees of a person, enlarged to be looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.draw import draw_poses
from posert.errors import InputError
from posert.geometry import fit_aspect, to_box
from posert.ops import crop_resize
from posert.types import Image, Poses

PLAIN = 236
"""Grey value behind a pose that comes without a picture."""


def figure(image: Image, box: NDArray[np.float32], size: tuple[int, int]) -> Image:
    """Cut a box out of a picture and scale it; beyond the border the picture is continued by its last pixels.

    Args:
        image: uint8 (H, W, 3), RGB.
        box: (1, 4): x0, y0, x1, y1 in pixels, in the proportions of `size`.
        size: height and width of the result.

    Returns:
        uint8 (*size, 3).
    """
    crop, _ = crop_resize([image], box, size, 0.0, 1.0)
    return np.ascontiguousarray(np.rint(crop[0]).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))


def drawn_figure(image: Image | None, pose: Poses, size: tuple[int, int]) -> Image:
    """Cut out one person as a transfer network is shown their pose, with the skeleton drawn over the picture.

    Args:
        image: uint8 (H, W, 3), RGB, or None for a plain grey one.
        pose: one person with a box, in pixels of the image.
        size: height and width of the result.

    Returns:
        uint8 (*size, 3).

    Raises:
        InputError: the pose has no box.
    """
    if pose.boxes is None:
        raise InputError("a pose to be cut out needs a box")
    box = fit_aspect(pose.boxes, size[1] / size[0])
    crop = np.full((*size, 3), PLAIN, np.uint8) if image is None else figure(image, box, size)
    return draw_poses(crop, Poses(to_box(pose.keypoints, box, size), pose.image_index, None, pose.skeleton))
