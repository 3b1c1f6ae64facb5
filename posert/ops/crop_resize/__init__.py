"""Cut boxes out of images, resize and normalise them into one network batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.ops import _check, _tensors
from posert.ops._dispatch import implementation

MAX_COORDINATE = 1e9


def crop_resize(
    images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
    boxes: ArrayLike,
    size: tuple[int, int],
    mean: float | Sequence[float],
    scale: float | Sequence[float],
    *,
    image_index: ArrayLike | None = None,
    flip: bool | ArrayLike = False,
    fill: float | None = None,
    channels: str = "rgb",
    out: NDArray[np.float32] | None = None,
    backend: str | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut P boxes out of N images and resize each to one normalised network input, in one pass.

    Output pixel u of a box (x0, y0, x1, y1) samples x = x0 + (u + 0.5) * (x1 - x0) / width - 0.5, and likewise in y: bilinear,
    half-pixel, no antialias. The value is ``(sample - mean) * scale`` in float32, subtracted before it is multiplied.

    Args:
        images: uint8 (N, H, W, 3), or N arrays (H_i, W_i, 3) of any sizes. Rows may be strided; anything else is copied first.
            A list of CUDA tensors cannot be recorded in a CUDA graph.
        boxes: (P, 4): x0, y0, x1, y1 in pixels, as edges: (0, 0, W, H) is the whole image. May reach beyond the image.
        size: (height, width) of the output in pixels.
        mean: one number or one for each output channel, in grey levels 0..255.
        scale: one number or one for each output channel.
        image_index: integers (P,): the image of each box. Default: box p belongs to image p.
        flip: mirror the output left to right; one bool for all or (P,).
        fill: grey level outside the image, blended bilinearly at its edge; None repeats the edge pixels.
        channels: "rgb" keeps the channel order of the images, "bgr" reverses it.
        out: float32 (P, 3, height, width) to write into; its last three dimensions must be packed, as in ``buffer[:, :3]``.
        backend: "native", "triton", "reference" or None (the fastest for the inputs).

    Returns:
        The batch, float32 (P, 3, height, width), and the transforms, float32 (P, 2, 3): ``[[sx, 0, tx], [0, sy, ty]]`` takes
        centre-based output pixels (u, v, 1) to centre-based image pixels (x, y). A flip is part of it: sx is then negative.
        The values of CUDA tensors are not checked: a box, or an image_index, that would be refused in an array gives NaN in
        its item of both.

    Raises:
        InputError: an argument has the wrong type, shape or range; a box is not finite, has no area or lies beyond +-1e9; an
            image is empty.

    Source: specs R-2, R-4 and K-pre of pg2.
    """
    images = _images(images)
    box = _check.numbers(boxes, "boxes", "(P, 4)")
    box = box.reshape(0, 4) if box.shape == (0,) else box  # an empty list is no boxes
    _check_boxes(box)
    people = len(box)
    height, width = _check.size(size)
    index = _indices(image_index, people, len(images))
    flips = _flips(flip, people)
    means, scales = _triple(mean, "mean"), _triple(scale, "scale")
    if not isinstance(channels, str) or channels not in ("rgb", "bgr"):
        raise InputError(f"channels must be 'rgb' or 'bgr', got {channels!r}")
    level = None if fill is None else _check.real(fill, "fill")
    every_image = images if isinstance(images, list) else [images]
    inputs = [*every_image, box, *(value for value in (index, flips) if not isinstance(value, bool | None))]
    out = _check.output(out, (people, 3, height, width), np.float32, *inputs, means, scales)
    transforms = _check.output(None, (people, 2, 3), np.float32, *inputs)
    run = implementation("crop_resize", backend, *inputs).crop_resize
    run(images, box, index, flips, (*means.tolist(),), (*scales.tolist(),), level, channels == "bgr", (out, transforms))
    return out, transforms


def _images(images: Any) -> Any:
    """One array (N, H, W, 3) or a list of arrays (H, W, 3). Rows may be strided but their pixels follow each other."""
    array = images if isinstance(images, np.ndarray) else _tensors.tensor(images) if _tensors.is_tensor(images) else None
    if array is not None and array.ndim != 4:
        raise InputError(
            f"images must be uint8 (N, H, W, 3) or a list of (H, W, 3) arrays, got shape {tuple(array.shape)}; "
            f"one image is image[None]"
        )
    if array is not None:
        _check_image(array.dtype, tuple(array.shape[1:]), 0)
        return _check.array(array, "images", np.uint8, (None, None, None, 3), "(N, H, W, 3)", packed_dims=2)
    if not isinstance(images, Sequence) or isinstance(images, str | bytes):
        raise InputError(f"images must be uint8 (N, H, W, 3) or a list of (H, W, 3) arrays, got {type(images).__name__}")
    arrays: list[Any] = list(images)
    for position, image in enumerate(arrays):
        if not isinstance(image, np.ndarray) and not _tensors.is_tensor(image):
            raise InputError(f"image {position} must be uint8 of shape (H, W, 3), got {type(image).__name__}")
        image = image if isinstance(image, np.ndarray) else _tensors.tensor(image)
        _check_image(image.dtype, tuple(image.shape), position)
        arrays[position] = _check.array(image, "image", np.uint8, (None, None, 3), "(H, W, 3)", packed_dims=2)
    return arrays


def _check_image(dtype: Any, shape: tuple[int, ...], position: int) -> None:
    name = str(dtype).removeprefix("torch.")
    if name != "uint8" or len(shape) != 3 or shape[2] != 3:
        raise InputError(f"image {position} must be uint8 of shape (H, W, 3), got {name} of shape {shape}")
    if 0 in shape:
        raise InputError(f"image {position} is empty: shape {shape}")
    if max(shape) > _check.MAX_SIDE:
        raise InputError(f"image {position} has a side beyond {_check.MAX_SIDE} pixels: shape {shape}")


def usable_boxes(box: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which boxes (P, 4) can be cut out: finite, within +-1e9, of some area."""
    usable: NDArray[np.bool_] = (np.abs(box) <= MAX_COORDINATE).all(1) & (box[:, 2] > box[:, 0]) & (box[:, 3] > box[:, 1])
    return usable


def _check_boxes(box: NDArray[np.float32]) -> None:
    if box.ndim != 2 or box.shape[1] != 4:
        raise InputError(f"boxes must have shape (P, 4): x0, y0, x1, y1 of each person; got {box.shape}")
    if _tensors.is_tensor(box):
        return
    usable = usable_boxes(box)
    if not usable.all():
        bad = int(np.argmin(usable))
        raise InputError(f"box {bad} must be finite (within +-1e9) with x0 < x1 and y0 < y1, got {box[bad].tolist()}")


def _indices(image_index: Any, people: int, images: int) -> NDArray[np.int64] | None:
    if image_index is None:
        if people != images:
            raise InputError(f"{people} boxes for {images} images: pass image_index, the image of each box")
        return None
    wanted = f"image_index must be integers of shape ({people},), one a box"
    if _tensors.is_tensor(image_index):
        given = _tensors.tensor(image_index)
        integers: Any = _tensors.integers(given)
        if integers is None or integers.shape != (people,):
            raise InputError(f"{wanted}; got {_tensors.dtype_name(given)} of shape {tuple(given.shape)}")
        return integers  # type: ignore[no-any-return]
    index = _check.as_array(image_index, "image_index", f"integers of shape ({people},)")
    if index.shape == (0,) and people == 0:
        return np.zeros(0, np.int64)
    if index.shape != (people,) or index.dtype.kind not in "iu":
        raise InputError(f"{wanted}; got {index.dtype} of shape {index.shape}")
    if people and (int(index.min()) < 0 or int(index.max()) >= images):
        raise InputError(
            f"image_index must lie in 0..{images - 1} for {images} images, got {int(index.min())}..{int(index.max())}"
        )
    return _check.dense(index, np.int64)


def _flips(flip: Any, people: int) -> NDArray[np.bool_] | bool:
    """One bool for all boxes, or as many as there are."""
    on_device = _tensors.is_tensor(flip)
    flips: Any = _tensors.tensor(flip) if on_device else _check.as_array(flip, "flip", f"a bool or bools of shape ({people},)")
    name = str(flips.dtype).removeprefix("torch.")
    if name != "bool" or flips.shape not in ((), (people,)):
        raise InputError(f"flip must be a bool or bools of shape ({people},), got {name} of shape {tuple(flips.shape)}")
    if on_device:
        return flips.expand(people).contiguous()  # type: ignore[no-any-return]
    return bool(flips) if flips.ndim == 0 else _check.dense(flips)


def _triple(value: float | Sequence[float], name: str) -> NDArray[np.float32]:
    if _tensors.is_tensor(value):
        raise InputError(f"{name} must be one number or three of the host's, got a tensor; pass {name}.tolist()")
    array = _check.numbers(value, name, "(), one number, or (3,)")
    if array.shape not in ((), (1,), (3,)) or not np.isfinite(array).all():
        raise InputError(f"{name} must be one finite number or three, one for each output channel; got {value!r}")
    return np.ascontiguousarray(np.broadcast_to(array, 3))
