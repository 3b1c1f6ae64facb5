"""Pictures for people to look at: skeletons over images, and grids of images with captions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.types import Image, Poses

Colour = tuple[int, int, int]

# Blue and orange stay apart for nearly all colour-blind people; left and right are the person's own.
LEFT: Colour = (255, 140, 46)
RIGHT: Colour = (38, 169, 255)
CENTRE: Colour = (246, 246, 240)
OUTLINE: Colour = (16, 20, 30)
PAPER: Colour = (255, 255, 255)
INK: Colour = (52, 58, 68)

_SHIFT = 4  # OpenCV takes coordinates in 1/16 pixel


def draw_poses(image: Image, poses: Poses, *, line_width: float | None = None, opacity: float = 1.0) -> Image:
    """Draw the skeletons of people over a picture.

    Limbs and joints are anti-aliased, with a dark outline that keeps them visible on any background; the person's left is
    orange, the right is blue, the middle is white. Missing joints, and limbs that need one, are left out.

    Args:
        image: uint8 (H, W, 3), RGB. It is not changed.
        poses: the people in this picture, in its pixels (centres at integers); all of them are drawn, whatever their
            `image_index`.
        line_width: width of a limb in pixels; by default it follows the size of the picture and of the person.
        opacity: 0 (nothing to be seen) to 1.

    Returns:
        uint8 (H, W, 3), fresh memory.

    Raises:
        InputError: `image` is not a picture, or a number is out of range.
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        given = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"a picture to draw on must be uint8 of shape (H, W, 3), got {given}")
    if line_width is not None and not 0 < line_width <= 1000:
        raise InputError(f"line_width must be greater than 0 and at most 1000 pixels, got {line_width}")
    if not 0 <= opacity <= 1:
        raise InputError(f"opacity must lie between 0 and 1, got {opacity}")
    widths = [line_width or _line_width(image, person) for person in poses.keypoints]
    outlined = np.ascontiguousarray(image).copy()
    for person, width in zip(poses.keypoints, widths, strict=True):
        _strokes(outlined, person, poses, width + max(1.0, 0.6 * width), outline=True)
    canvas = np.asarray(cv2.addWeighted(image, 0.35, outlined, 0.65, 0), np.uint8)
    for person, width in zip(poses.keypoints, widths, strict=True):
        _strokes(canvas, person, poses, width, outline=False)
    if opacity < 1:
        canvas = np.asarray(cv2.addWeighted(image, 1 - opacity, canvas, opacity, 0), np.uint8)
    return canvas


def _line_width(image: Image, person: NDArray[np.float32]) -> float:
    """A width that suits the picture, but does not hide a person who is small in it."""
    points = person[person[:, 2] > 0, :2].astype(np.float64)
    extent = float(np.ptp(points, axis=0).max()) if len(points) > 1 else np.inf
    return max(1.2, min(0.011 * math.sqrt(image.shape[0] * image.shape[1]), 0.03 * extent))


def _strokes(canvas: Image, person: NDArray[np.float32], poses: Poses, width: float, *, outline: bool) -> None:
    """Limbs first, then joints on top of them, all in the outline's colour or each in its own."""
    joints = poses.skeleton.joints
    thickness = max(1, round(width))
    for a, b in poses.skeleton.limbs:
        if person[a, 2] > 0 and person[b, 2] > 0:
            ends = _clipped(
                person[a, :2].astype(np.float64), person[b, :2].astype(np.float64), canvas.shape, margin=4 * width + 8
            )
            if ends is not None:
                colour = OUTLINE if outline else _colour(joints[a], joints[b])
                cv2.line(canvas, *ends, colour, thickness, cv2.LINE_AA, _SHIFT)
    height, breadth = canvas.shape[:2]
    for joint, (x, y, score) in zip(joints, person.tolist(), strict=True):
        if score > 0 and -4 * width <= x <= breadth + 4 * width and -4 * width <= y <= height + 4 * width:
            centre = round(x * (1 << _SHIFT)), round(y * (1 << _SHIFT))
            radius = round(0.95 * width * (1 << _SHIFT))
            cv2.circle(canvas, centre, radius, OUTLINE if outline else _colour(joint), cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _colour(*joints: str) -> Colour:
    """A limb has the colour of the side that any of its joints lies on; one that crosses the body has the middle's."""
    sides = {side for side in ("left", "right") for joint in joints if joint.startswith(side)}
    if len(sides) != 1:
        return CENTRE
    return LEFT if sides == {"left"} else RIGHT


def _clipped(
    start: NDArray[np.float64], end: NDArray[np.float64], shape: tuple[int, ...], margin: float
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """The part of a segment within the picture and a margin (Liang and Barsky 1984), in OpenCV's units; None if there is none.

    OpenCV's integers would overflow on joints that lie millions of pixels away.
    """
    low = np.full(2, -margin)
    high = np.array([shape[1], shape[0]]) + margin
    step = end - start
    first, last = 0.0, 1.0
    for axis in range(2):
        if step[axis] == 0:
            if not low[axis] <= start[axis] <= high[axis]:
                return None
            continue
        near, far = sorted(((low[axis] - start[axis]) / step[axis], (high[axis] - start[axis]) / step[axis]))
        first, last = max(first, near), min(last, far)
    if first >= last:
        return None
    (x0, y0), (x1, y1) = (np.rint((start + amount * step) * (1 << _SHIFT)).astype(int).tolist() for amount in (first, last))
    return (x0, y0), (x1, y1)


def fit_picture(image: Image, size: tuple[int, int], *, paper: Colour = PAPER) -> Image:
    """Scale a picture to fit a cell, keeping its proportions, and centre it there.

    Args:
        image: uint8 (H, W, 3), RGB.
        size: height and width of the cell.
        paper: colour of what the picture leaves free.

    Returns:
        uint8 (*size, 3), fresh memory.
    """
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cell = np.full((*size, 3), paper, np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    cell[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=method)
    return cell


def draw_text(
    canvas: Image, text: str, centre: tuple[float, float], height: float, *, colour: Colour = INK, upward: bool = False
) -> None:
    """Write one line of text into a picture, smoothly: it is drawn four times as large and averaged down.

    Args:
        canvas: uint8 (H, W, 3), RGB; changed in place. What falls outside of it is left out.
        text: what to write; characters outside of ASCII become ``?`` (OpenCV's strokes have no others).
        centre: x, y of the middle of the text, in pixels.
        height: height of a capital letter in pixels.
        colour: RGB.
        upward: turn the text by 90 degrees, to be read from below.
    """
    text = text.encode("ascii", "replace").decode()
    if not text.strip():
        return
    factor, font = 4, cv2.FONT_HERSHEY_DUPLEX
    scale = factor * height / 21  # a capital is 21 units high in this font
    stroke = max(1, round(factor * height / 11))
    (width, tall), below = cv2.getTextSize(text, font, scale, stroke)
    mask = np.zeros((-(-(tall + below + 2 * stroke) // factor) * factor, -(-(width + 2 * stroke) // factor) * factor), np.uint8)
    cv2.putText(mask, text, (stroke, tall + stroke), font, scale, 255, stroke, cv2.LINE_AA)
    small = cv2.resize(mask, (mask.shape[1] // factor, mask.shape[0] // factor), interpolation=cv2.INTER_AREA)
    mask = np.asarray(np.rot90(small) if upward else small, np.uint8)
    x, y = round(centre[0] - mask.shape[1] / 2), round(centre[1] - mask.shape[0] / 2)
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + mask.shape[1], canvas.shape[1]), min(y + mask.shape[0], canvas.shape[0])
    if x0 < x1 and y0 < y1:
        part = canvas[y0:y1, x0:x1]
        amount = mask[y0 - y : y1 - y, x0 - x : x1 - x, None] / 255
        part[...] = np.rint(part * (1 - amount) + np.array(colour) * amount).astype(np.uint8)


def picture_grid(
    cells: Sequence[Sequence[Image | None]],
    size: tuple[int, int],
    *,
    columns: Sequence[str] = (),
    rows: Sequence[str] = (),
    gap: int = 6,
    paper: Colour = PAPER,
) -> Image:
    """Lay pictures out in rows and columns, with captions above the columns and beside the rows.

    Args:
        cells: rows of pictures, each uint8 (H, W, 3) of any size, scaled to fit its cell; None leaves a cell empty.
        size: height and width of every cell, in pixels.
        columns: one caption a column, or none.
        rows: one caption a row, or none; they are written upward.
        gap: pixels between cells and around the grid.
        paper: colour between the pictures.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        InputError: rows differ in length, or the captions do not match the rows or columns.
    """
    count = len(cells[0]) if cells else 0
    if not count or any(len(row) != count for row in cells):
        raise InputError("a grid needs at least one picture, and rows of the same length")
    if (columns and len(columns) != count) or (rows and len(rows) != len(cells)):
        raise InputError(
            f"captions must match the {len(cells)} x {count} grid, got {len(rows)} for rows and {len(columns)} for columns"
        )
    letter = max(7.0, 0.055 * min(size))
    top = gap + (round(2.6 * letter) if any(columns) else 0)
    left = gap + (round(2.6 * letter) if any(rows) else 0)
    canvas = np.full((top + len(cells) * (size[0] + gap), left + count * (size[1] + gap), 3), paper, np.uint8)
    for i, row in enumerate(cells):
        for j, picture in enumerate(row):
            if picture is not None:
                y, x = top + i * (size[0] + gap), left + j * (size[1] + gap)
                canvas[y : y + size[0], x : x + size[1]] = fit_picture(picture, size, paper=paper)
    for j, caption in enumerate(columns):
        draw_text(canvas, caption, (left + j * (size[1] + gap) + size[1] / 2, top / 2 + 1), letter)
    for i, caption in enumerate(rows):
        draw_text(canvas, caption, (left / 2 + 1, top + i * (size[0] + gap) + size[0] / 2), letter, upward=True)
    return canvas
