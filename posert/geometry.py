"""Checked keypoints; boxes: around people, in a network's proportions, and the way from image pixels to network pixels.

A box is x0, y0, x1, y1 with edges: pixel i spans [i, i + 1) in box coordinates, so (0, 0, W, H) is the whole image and the centre
of pixel i, which keypoints call i, lies at i + 0.5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError

_FARTHEST = 1e7  # pixels: beyond, float32 no longer tells one pixel from the next
_LEAST_SIDE = 16.0  # pixels: the least side a person is taken to have when the margin is measured


def _numbers(values: ArrayLike, wanted: str) -> NDArray[np.float32]:
    """A float32 copy of real numbers; what float32 cannot hold becomes infinite, for the caller to refuse."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf" and array.size:
            raise TypeError(f"got {array.dtype}")
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{wanted}; {error}") from error


def check_keypoints(keypoints: ArrayLike, joints: int | None = None) -> NDArray[np.float32]:
    """Return keypoints as float32 (P, K, 3) in which every missing joint is (NaN, NaN, 0).

    Args:
        keypoints: (P, K, 3): x, y in pixels (x right, y down), score in [0, 1]; a score of 0 or a NaN coordinate means missing.
        joints: the K that is needed, or None for any.

    Raises:
        InputError: wrong rank, wrong K, an infinite coordinate, or a score outside [0, 1].
    """
    array = _numbers(keypoints, "keypoints must be numbers of shape (P, K, 3): x, y, score")
    wanted = f"(P, {joints if joints is not None else 'K'}, 3)"
    if array.ndim != 3 or array.shape[2] != 3 or (joints is not None and array.shape[1] != joints):
        raise InputError(f"keypoints must have shape {wanted}: x, y, score of each joint of each person; got {array.shape}")
    if np.isinf(array).any():
        raise InputError("keypoints hold an infinite value; a missing joint is (NaN, NaN, 0)")
    score = array[..., 2]
    if np.isnan(score).any() or (score < 0).any() or (score > 1).any():
        raise InputError("keypoint scores must lie in [0, 1]; a missing joint is (NaN, NaN, 0)")
    array[(score == 0) | np.isnan(array[..., :2]).any(-1)] = (np.nan, np.nan, 0)
    return array


def check_boxes(boxes: ArrayLike) -> NDArray[np.float32]:
    """Return boxes as float32 (P, 4).

    Args:
        boxes: (P, 4): x0, y0, x1, y1 in pixels; an empty list is no boxes.

    Raises:
        InputError: wrong rank, not finite, beyond 10 million pixels, or of no area; the message names the box.
    """
    array = _numbers(boxes, "boxes must be numbers x0, y0, x1, y1 of shape (P, 4)")
    if array.shape == (0,):
        array = array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise InputError(f"boxes must be x0, y0, x1, y1 of shape (P, 4), got shape {array.shape}")
    sane = (np.abs(array) <= _FARTHEST).all(1)
    if not sane.all():
        worst = int(np.argmin(sane))
        raise InputError(f"box {worst} is {array[worst].tolist()}; its four numbers must be finite and within +-{_FARTHEST:g}")
    area = (array[:, 2] > array[:, 0]) & (array[:, 3] > array[:, 1])
    if not area.all():
        worst = int(np.argmin(area))
        raise InputError(
            f"box {worst} is {array[worst].tolist()}, which has no area; it must be x0, y0, x1, y1 with x1 > x0, y1 > y0"
        )
    return array


def fit_aspect(boxes: ArrayLike, aspect: float, padding: float = 1.0) -> NDArray[np.float32]:
    """Scale boxes about their centres, then grow each in width or height, never shrinking it, to an aspect ratio.

    Args:
        boxes: (P, 4): x0, y0, x1, y1 in pixels.
        aspect: width / height that is wanted, above 0.
        padding: factor on both sides before the aspect ratio is made, above 0.

    Returns:
        float32 (P, 4).

    Raises:
        InputError: a box is not finite or has no area, or a number is not above 0.
    """
    if not (np.isfinite(aspect) and aspect > 0 and np.isfinite(padding) and padding > 0):
        raise InputError(f"aspect and padding must be finite and above 0, got {aspect} and {padding}")
    array = check_boxes(boxes).astype(np.float64)
    centre = (array[:, :2] + array[:, 2:]) / 2
    width, height = ((array[:, 2:] - array[:, :2]) * padding).T
    half = np.stack([np.maximum(width, height * aspect), np.maximum(height, width / aspect)], axis=1) / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def person_boxes(keypoints: ArrayLike, margin: float = 0.1) -> NDArray[np.float32]:
    """The boxes that enclose people's joints, with a margin for what lies beyond the joints: hair, hands, feet.

    Args:
        keypoints: (P, K, 3): x, y in pixels, score; missing joints are left out.
        margin: what is added on all four sides, as a fraction of the larger side (of at least 16 pixels). The default is the
            median of Market-1501's person images.

    Returns:
        float32 (P, 4): x0, y0, x1, y1 in pixels, which may reach beyond the image.

    Raises:
        InputError: keypoints are not usable, a person has no joints (the message says which), or the margin is not above 0.
    """
    if not (np.isfinite(margin) and margin > 0):
        raise InputError(f"margin must be finite and above 0, got {margin}")
    points = check_keypoints(keypoints).astype(np.float64)
    people = len(points)
    present = points[..., 2] > 0
    found = present.any(1)
    if not found.all():
        raise InputError(
            f"people {np.flatnonzero(~found)[:10].tolist()} have no joints, so there is no box around them; leave them out"
        )
    low = np.where(present[..., None], points[..., :2], np.inf).min(1, initial=np.inf).reshape(people, 2) + 0.5
    high = np.where(present[..., None], points[..., :2], -np.inf).max(1, initial=-np.inf).reshape(people, 2) + 0.5
    border = margin * np.maximum((high - low).max(1, keepdims=True), _LEAST_SIDE)
    return np.concatenate([low - border, high + border], axis=1).astype(np.float32)


def to_box(keypoints: NDArray[np.float32], boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Move keypoints from image pixels to the pixels of a picture that shows their box.

    Args:
        keypoints: (P, K, 3): x, y in image pixels (pixel centres at integers), score.
        boxes: (P, 4): the part of the image that the picture shows, as x0, y0, x1, y1 in pixels.
        size: height and width of the picture in pixels.

    Returns:
        float32 (P, K, 3): x, y in pixels of the picture (pixel centres at integers), scores unchanged.

    Raises:
        InputError: a joint lies so far away that float32 cannot hold its place.
    """
    low, high = boxes[:, None, :2].astype(np.float64), boxes[:, None, 2:].astype(np.float64)
    points = np.array(keypoints, dtype=np.float64)
    points[..., :2] = (points[..., :2] + 0.5 - low) * (size[1], size[0]) / (high - low) - 0.5
    if (np.abs(points[..., :2]) > np.finfo(np.float32).max).any():
        raise InputError("a keypoint lies too far from the picture to be drawn; keypoints are x, y in pixels of the image")
    return points.astype(np.float32)


def box_transforms(boxes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """The way from network pixels back to image pixels.

    Args:
        boxes: (P, 4): x0, y0, x1, y1 in image pixels.
        size: height and width that each box is resized to.

    Returns:
        float32 (P, 2, 3): ``[[sx, 0, tx], [0, sy, ty]]``, as `posert.ops.crop_resize` has them.
    """
    low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    scale = (high - low) / (size[1], size[0])
    result = np.zeros((len(boxes), 2, 3), np.float32)
    result[:, (0, 1), (0, 1)] = scale
    result[:, :, 2] = low + 0.5 * scale - 0.5
    return result
