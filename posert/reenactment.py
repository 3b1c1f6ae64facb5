"""The person of one picture, drawn in the poses of another person, where they are in their picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.geometry import check_keypoints, fit_aspect, person_boxes, to_box
from posert.images import whole_boxes
from posert.ops import pose_mask
from posert.paste import Window
from posert.retarget import measure, retarget, roots
from posert.transfer import Transfer, odd_images
from posert.types import Image, Poses

_REACH = 0.4  # of the person's box: how far beyond it the window goes to hold the driver's poses
_USUAL = (0.1, 0.9)  # quantiles of the driver's poses that the window is to hold
_MASK = 4 / 128  # radius of a limb, as a share of the picture's height (specs K2)
_BORDER = 0.04  # of the window's height: how close to its edge joints may come before the person is moved inward


@dataclass(frozen=True, eq=False)
class Drawn:
    """What `Reenactment.draw` returns, for n poses.

    Attributes:
        images: uint8 (H, W, 3) each: the source picture with the person re-drawn, or what the network drew.
        pictures: uint8 (n, h, w, 3): what the network drew.
        targets: float32 (n, K, 3): the poses it was asked for, in its pixels and the model's skeleton.
    """

    images: Sequence[Image]
    pictures: NDArray[np.uint8]
    targets: NDArray[np.float32]


class Reenactment:
    """Draws the person of a picture in the poses of somebody else: `Transfer.prepare` is called once, for any number of poses.

    Attributes:
        size: height and width of the results in pixels.
        window: the part of the source picture that the network draws.
        prepared: the source, from `Transfer.prepare`.
        network_size: height and width of what it draws, in pixels.
        skeleton: of the model.
    """

    def __init__(
        self,
        transfer: Transfer,
        picture: Image,
        source_pose: Poses,
        driver: Poses,
        *,
        bones: bool = True,
        paste: bool | None = None,
    ) -> None:
        """Prepare the source, and measure both people.

        Args:
            transfer: any model.
            picture: uint8 (H, W, 3), RGB: the source.
            source_pose: one person, in pixels of `picture`.
            driver: poses to measure the driver by, in pixels of the driver's pictures: frames from all of a video, or the one
                pose that is to be drawn. People without joints are left out.
            bones: keep the source's proportions (`posert.retarget`); False keeps the driver's.
            paste: put what is drawn back into the picture, through a soft mask around the new pose, after the person was erased
                from it (`posert.paste`). None: where the picture does not have the network's proportions.

        Raises:
            InputError: nobody is in the source pose or in the driver's, or they cannot be compared.
        """
        manifest = transfer.engine.manifest
        self.network_size, self.skeleton = manifest.preprocess.size, manifest.skeleton
        source = source_pose.convert(self.skeleton).keypoints
        poses = driver.convert(self.skeleton).keypoints
        poses = poses[(poses[..., 2] > 0).any(1)]
        if len(source) != 1 or not (source[..., 2] > 0).any() or not len(poses):
            raise InputError("one source pose with joints and at least one driver's pose with joints are needed")
        self._driver, self._source, self._bones = measure(poses, self.skeleton), measure(source, self.skeleton), bones
        odd = bool(odd_images([picture], self.network_size))
        self._paste = odd if paste is None else paste
        box = self._box(source, poses) if odd else whole_boxes([picture])[0]
        self.window = Window(picture, box)
        self.size = picture.shape[:2] if self._paste else self.network_size
        seen = to_box(source, self.window.box[None], self.network_size)
        self.prepared = transfer.prepare([self.window.cut(self.network_size)], Poses(seen, [0], None, self.skeleton))  # type: ignore[arg-type]
        if self._paste:
            backgrounds = self.prepared.backgrounds()
            self.window.erase(self._body(seen)[0], None if backgrounds is None else backgrounds[0])

    def draw(self, poses: Poses) -> Drawn:
        """Draw the person in poses of the driver.

        Args:
            poses: n of them, in pixels of the driver's pictures, each with a joint at least.

        Raises:
            InputError: the poses cannot be used.
            ExecutionError: the network failed.
        """
        moved = retarget(poses.convert(self.skeleton).keypoints, self.skeleton, self._driver, self._source, bones=self._bones)
        points = to_box(moved, self.window.box[None], self.network_size).astype(np.float64)
        inward = self._inward(points)
        points[..., :2] += inward[:, None]
        targets = check_keypoints(points)
        result = self.prepared.run(Poses(targets, None, None, self.skeleton))  # type: ignore[arg-type]
        pictures = result.images
        if not self._paste:
            return Drawn(list(pictures), pictures, targets)
        masks, places = self._body(targets) | result.mask, self._places(moved, inward)
        images = [self.window.paste(p, m, place) for p, m, place in zip(pictures, masks, places, strict=True)]
        return Drawn(images, pictures, targets)

    def _inward(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far people must be moved for the network to draw them well, (n, 2) in its pixels.

        People are moved to where the source stands, and then inward where they leave the window. What is pasted is moved back
        (`_places`); what is not stays there, as if the camera followed the person.
        """
        border = _BORDER * self.network_size[0]
        inward = np.zeros((len(points), 2))
        for axis, length in ((0, self.network_size[1]), (1, self.network_size[0])):
            low, high = (of(points[..., axis], axis=1) for of in (np.nanmin, np.nanmax))
            if axis == 0:
                x0, _, x1, _ = self.window.box.astype(np.float64)
                stand = (self._source.root[0] + 0.5 - x0) * length / (x1 - x0) - 0.5
                root = roots(points, self.skeleton)[:, 0]
                inward[:, 0] = np.where(np.isnan(root), 0, stand - root)
                low, high = low + inward[:, 0], high + inward[:, 0]
            step = np.maximum(border - low, 0) - np.maximum(high - (length - 1 - border), 0)
            too_long = high - low > length - 1 - 2 * border
            step[too_long] = ((length - 1 - high - low) / 2)[too_long]
            inward[:, axis] += step
        return inward

    def _places(self, moved: NDArray[np.float32], inward: NDArray[np.float64]) -> list[tuple[float, float]]:
        """By how much the window is moved for each person to be where the driver leads them, yet within the picture."""
        x0, y0, x1, y1 = self.window.box.astype(np.float64)
        shift = -inward * ((x1 - x0) / self.network_size[1], (y1 - y0) / self.network_size[0])
        low, high = np.nanmin(moved[..., :2], axis=1), np.nanmax(moved[..., :2], axis=1)
        side = np.array(self.size[::-1], np.float64)
        outside = np.where(high - low < side, np.maximum(-low, 0) - np.maximum(high - side, 0), 0)
        return [(float(x), float(y)) for x, y in shift + outside]

    def _box(self, source: NDArray[np.float32], poses: NDArray[np.float32]) -> NDArray[np.float32]:
        """A box that holds the person, and most of the driver's poses on that person, in the network's proportions."""
        person = person_boxes(source)[0].astype(np.float64)
        reach = _REACH * (person[2:] - person[:2])
        moved = person_boxes(retarget(poses, self.skeleton, self._driver, self._source, bones=self._bones)).astype(np.float64)
        low, high = np.quantile(moved[:, :2], _USUAL[0], axis=0), np.quantile(moved[:, 2:], _USUAL[1], axis=0)
        low = np.clip(low, person[:2] - reach, person[:2])
        high = np.clip(high, person[2:], person[2:] + reach)
        box: NDArray[np.float32] = fit_aspect(np.concatenate([low, high])[None], self.network_size[1] / self.network_size[0])[0]
        return box

    def _body(self, keypoints: NDArray[np.float32]) -> NDArray[np.uint8]:
        """What bodies cover, (n, h, w) at the network's size."""
        body = Poses(keypoints, None, None, self.skeleton).convert("coco18").keypoints  # type: ignore[arg-type]
        return pose_mask(body, self.network_size, radius=max(1, round(_MASK * self.network_size[0])))[:, 0]
