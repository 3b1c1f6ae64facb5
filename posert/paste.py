"""A person of a picture, taken out of it, re-drawn at a network's size, and put back at full resolution."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.geometry import check_boxes
from posert.ops import crop_resize
from posert.types import Image

_CLOTHES = 0.06  # of the window's height: how far clothes and hair reach beyond the lines between the joints, at most
_BODY = 0.035  # the same, as much as is put back
_FEATHER = 0.015  # of the window's height: standard deviation of soft edges
_FRAME = 0.04  # of the window's shorter side: where it fades out at its own edge
_STRIP = 256  # rows that are blended at a time: OpenCV's maps are limited, and so is the memory
_FILLED = 256  # pixels: the longer side at which a hole is filled


class Window:
    """A box of a picture, and the picture without what the box shows.

    Attributes:
        box: float32 (4,): x0, y0, x1, y1 in pixels; may reach beyond the picture.
        background: uint8 (H, W, 3): what is pasted onto; the picture itself, or what `erase` left of it.
    """

    def __init__(self, picture: Image, box: ArrayLike) -> None:
        """Choose a box.

        Args:
            picture: uint8 (H, W, 3).
            box: x0, y0, x1, y1 in pixels.
        """
        self.box: NDArray[np.float32] = check_boxes(np.asarray(box)[None])[0]
        self.background = self._picture = picture

    def cut(self, size: tuple[int, int]) -> Image:
        """What the window shows of the picture, at a size; beyond the picture its border is repeated.

        Args:
            size: height and width in pixels.

        Returns:
            uint8 (*size, 3), fresh memory.
        """
        return _crop(self._picture, self.box, size)

    def erase(self, mask: NDArray[np.uint8], filling: Image | None = None) -> None:
        """Fill what a mask covers, and 6 % of the window's height around it, with what might be behind it.

        Args:
            mask: (h, w) at any size, above 0 on what is to vanish.
            filling: uint8 (h, w, 3), of the mask's size: what the window shows without it. None: Telea's inpainting (2004)
                of what surrounds it, at 256 pixels, and so without detail: good for plain surroundings.
        """
        if filling is not None:
            self.background = _blend(self._picture, filling, _soft(mask, _CLOTHES, fade=False), self.box)
            return
        x0, y0, x1, y1 = self.box.astype(np.float64)
        around = 0.25 * max(x1 - x0, y1 - y0)
        wide = np.array([x0 - around, y0 - around, x1 + around, y1 + around], np.float32)
        scale = _FILLED / max(wide[2] - wide[0], wide[3] - wide[1])
        size = max(1, round(float(wide[3] - wide[1]) * scale)), max(1, round(float(wide[2] - wide[0]) * scale))
        small = _crop(self._picture, wide, size)
        covered = _soft(mask, _CLOTHES, fade=False)
        hole = np.zeros(size, np.uint8)
        left, top, right, bottom = (round(float(v) * scale) for v in (x0 - wide[0], y0 - wide[1], x1 - wide[0], y1 - wide[1]))
        hole[top:bottom, left:right] = cv2.resize(covered, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR) > 0.02
        filled = np.asarray(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), np.uint8)
        soft = np.zeros(size, np.float32)
        soft[top:bottom, left:right] = cv2.resize(covered, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        self.background = _blend(self._picture, filled, soft, wide)

    def paste(self, drawn: Image, mask: NDArray[np.uint8], shift: tuple[float, float] = (0, 0)) -> Image:
        """The background, with what was drawn in the place of the window where the mask says.

        The mask grows by 3.5 % of its height, gets a soft edge, and fades out towards the window's own edge; outside of it the
        background keeps every pixel.

        Args:
            drawn: uint8 (h, w, 3): the window, re-drawn at any size.
            mask: (h, w), above 0 where something was drawn.
            shift: by how many pixels of the picture the window is moved, x and y.

        Returns:
            uint8 (H, W, 3), of the picture's size, fresh memory.
        """
        return _blend(self.background, drawn, _soft(mask, _BODY), self.box + np.array([*shift, *shift], np.float32))


def _crop(picture: Image, box: NDArray[np.float32], size: tuple[int, int]) -> Image:
    planes = crop_resize([picture], box[None], size, 0, 1)[0][0]
    return np.ascontiguousarray(np.rint(np.clip(planes, 0, 255)).astype(np.uint8).transpose(1, 2, 0))


def _blend(picture: Image, drawn: Image, amount: NDArray[np.float32], box: NDArray[np.float32]) -> Image:
    """A picture with a smaller one laid over a box of it, as much of each pixel as the amounts (h, w) say, 0..1."""
    result = picture.copy()
    x0, y0, x1, y1 = box.astype(np.float64)
    height, width = picture.shape[:2]
    left, right = (int(np.clip(v, 0, width)) for v in (np.floor(x0), np.ceil(x1)))
    top, bottom = (int(np.clip(v, 0, height)) for v in (np.floor(y0), np.ceil(y1)))
    if left >= right:
        return result
    # Pixel centres of the picture's part in the drawn picture, as OpenCV's maps take them.
    columns = ((np.arange(left, right) + 0.5 - x0) * drawn.shape[1] / (x1 - x0) - 0.5).astype(np.float32)
    for start in range(top, bottom, _STRIP):
        rows = np.arange(start, min(start + _STRIP, bottom))
        down = ((rows + 0.5 - y0) * drawn.shape[0] / (y1 - y0) - 0.5).astype(np.float32)
        map_x, map_y = np.meshgrid(columns, down)
        new = cv2.remap(drawn, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
        share = cv2.remap(amount, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)[..., None]
        old = picture[rows[0] : rows[-1] + 1, left:right]
        result[rows[0] : rows[-1] + 1, left:right] = np.rint(old + share * (new - old)).astype(np.uint8)
    return result


def _soft(mask: NDArray[np.uint8], around: float, *, fade: bool = True) -> NDArray[np.float32]:
    """A mask with room around it and soft edges, float32 (h, w) from 0 to 1; 0 at the edges if it is to fade."""
    height, width = mask.shape
    reach = max(1, round(around * height))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    soft = cv2.GaussianBlur(cv2.dilate((mask > 0).astype(np.float32), disc), (0, 0), max(0.5, _FEATHER * height))
    if not fade:
        return np.asarray(soft, np.float32)
    edge = max(1.0, _FRAME * min(height, width))
    down, across = (np.clip(np.minimum(np.arange(n), np.arange(n)[::-1]) / edge, 0, 1) for n in (height, width))
    return np.asarray(soft * down[:, None] * across, np.float32)
