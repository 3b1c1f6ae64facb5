"""A batch of images and the boxes in it, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.geometry import check_boxes
from posert.tensors import is_tensor
from posert.types import Image, Images

Color = Literal["rgb", "bgr"]


def check_images(images: Any, name: str = "images") -> list[Image]:
    """Return a batch of images as a list of views.

    Args:
        images: uint8 (N, H, W, 3), or a list of uint8 (H, W, 3) of any sizes, at least 1 x 1. N may be 0. Arrays, or CUDA
            tensors: all on one device, which become torch's and stay where they are.
        name: what to call it in an error.

    Raises:
        InputError: wrong type, dtype or rank, or an image without pixels; the message names the image.
    """
    wanted = f"{name} must be uint8 (N, H, W, 3), or a list of uint8 (H, W, 3)"
    if is_tensor(images) or (isinstance(images, (list, tuple)) and any(map(is_tensor, images))):
        images = _on_one_device(images, wanted)
    if not isinstance(images, (np.ndarray, list, tuple)) and not is_tensor(images):
        images = _as_array(images, wanted)
    if not isinstance(images, list | tuple) and images.ndim == 3 and images.shape[-1] == 3:
        raise InputError(f"{wanted}; got one array of shape {tuple(images.shape)}: for a single image give image[None]")
    if not isinstance(images, list | tuple) and images.ndim != 4:
        raise InputError(f"{wanted}; got an array of shape {tuple(images.shape)}")
    result = []
    for index, image in enumerate(images):
        array = image if isinstance(image, np.ndarray) or is_tensor(image) else _as_array(image, f"{wanted}; image {index}")
        dtype = str(array.dtype).removeprefix("torch.")
        if dtype != "uint8" or array.ndim != 3 or array.shape[2] != 3:
            raise InputError(f"{wanted}; image {index} is {dtype} of shape {tuple(array.shape)}")
        if 0 in array.shape:
            raise InputError(f"image {index} of {name} has no pixels: its shape is {tuple(array.shape)}")
        result.append(array)
    return result


def _on_one_device(images: Any, wanted: str) -> Any:
    """CUDA tensors as torch's: one of all images, or a list.

    Raises:
        InputError: some are arrays, or they lie on several devices.
    """
    from posert.ops._tensors import tensor

    if not isinstance(images, list | tuple):
        return tensor(images)
    if not all(map(is_tensor, images)):
        raise InputError(f"{wanted}; some are CUDA tensors and some are not: give one kind")
    tensors = [tensor(image) for image in images]
    devices = sorted({str(image.device) for image in tensors})
    if len(devices) > 1:
        raise InputError(f"{wanted}, on one device; they lie on {' and '.join(devices)}")
    return tensors


def _as_array(value: Any, wanted: str) -> NDArray[Any]:
    if not hasattr(value, "__array__"):
        raise InputError(f"{wanted}; got {type(value).__name__}")
    try:
        return np.asarray(value)
    except Exception as error:  # a tensor of another library, on a device, raises what it likes
        raise InputError(
            f"{wanted}; got {type(value).__name__}, which NumPy cannot read ({error}): bring it to the CPU"
        ) from error


def check_color(color: str) -> Color:
    """Return the channel order of the caller's images.

    Raises:
        InputError: it is neither "rgb" nor "bgr".
    """
    if color not in ("rgb", "bgr"):
        raise InputError(f"color must be 'rgb' or 'bgr', got {color!r}")
    return color  # type: ignore[return-value]


def whole_boxes(images: Images) -> NDArray[np.float32]:
    """The box of each whole image, float32 (N, 4)."""
    boxes = np.zeros((len(images), 4), np.float32)
    for index, image in enumerate(images):
        boxes[index, 2:] = image.shape[1], image.shape[0]
    return boxes


def assign_boxes(images: Sequence[Image], boxes: Any) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return all boxes of a batch, image after image, and the image of each.

    Args:
        images: N checked images.
        boxes: x0, y0, x1, y1 in pixels. None: each image is one person; (N, 4): one box an image; or a list of N arrays
            (n_i, 4), any number for each image.

    Returns:
        Boxes, float32 (P, 4), and image indices, int64 (P,), ascending.

    Raises:
        InputError: wrong shapes or numbers, or a box without area or wholly outside its image; the message names image and box.
    """
    if boxes is None:
        return whole_boxes(images), np.arange(len(images))
    groups = _groups(boxes, len(images))
    for index, (image, group) in enumerate(zip(images, groups, strict=True)):
        check_inside(group, image.shape[:2], f"image {index}")
    counts = [len(group) for group in groups]
    joined = np.concatenate([np.zeros((0, 4), np.float32), *groups])
    return joined, np.repeat(np.arange(len(images)), counts)


def check_inside(boxes: NDArray[np.float32], size: tuple[int, ...], name: str) -> None:
    """Refuse boxes that have no part inside of their image.

    Args:
        boxes: checked, (n, 4).
        size: height and width of the image in pixels.
        name: of the image, for the error.

    Raises:
        InputError: a box lies wholly outside.
    """
    height, width = size
    inside = (boxes[:, 0] < width) & (boxes[:, 1] < height) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
    if not inside.all():
        worst = int(np.argmin(inside))
        raise InputError(
            f"{name}, box {worst}: {boxes[worst].tolist()} lies outside the image of {width} x {height} pixels; "
            f"boxes are x0, y0, x1, y1 in pixels of the image"
        )


def _groups(boxes: Any, count: int) -> list[NDArray[np.float32]]:
    """The boxes of each image, checked."""
    wanted = (
        f"boxes must be None, one x0, y0, x1, y1 for each of the {count} images, or a list with an (n, 4) array for each image"
    )
    try:
        entries = [np.asarray(entry) for entry in boxes]
    except (TypeError, ValueError) as error:
        raise InputError(f"{wanted}; {error}") from error
    if len(entries) != count:
        raise InputError(f"{wanted}; got {len(entries)}")
    ranks = {entry.ndim for entry in entries if entry.size}
    if len(ranks) > 1:
        raise InputError(f"{wanted}; got a mixture of both")
    groups = []
    for index, entry in enumerate(entries):
        try:
            groups.append(check_boxes(entry[None] if entry.shape == (4,) else entry))
        except InputError as error:
            raise InputError(f"image {index}, {error}") from error
    return groups
