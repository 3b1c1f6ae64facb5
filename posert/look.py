"""One pass of an estimator's network over boxes of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert import tensors
from posert.engine import Session
from posert.images import Color
from posert.processing import Preprocess
from posert.stopwatch import Stopwatch
from posert.types import Image

Workspace = Callable[[int, Any], tuple[Session, Any]]
"""From a number of crops, and one of the images, to a session and its input buffer for so many: a tensor if the image is one."""


def look(
    images: Sequence[Image],
    boxes: NDArray[np.float32],
    pre: Preprocess,
    workspace: Workspace,
    watch: Stopwatch,
    *,
    color: Color,
    mirrored: bool = False,
    turns: int = 0,
    image_index: NDArray[np.int64] | None = None,
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    """Cut boxes out of images and run the network on them.

    Args:
        images: N checked images of any sizes.
        boxes: float32 (M, 4): x0, y0, x1, y1 in pixels of their image.
        pre: what the network takes.
        workspace: where it is run.
        watch: measures the steps crop and network.
        color: channel order of the images.
        mirrored: whether the crops are mirrored; the outputs are then those of mirrored images.
        turns: quarter turns by which the network sees the crops turned counter-clockwise; the outputs are turned back. An odd
            number needs boxes as wide as the network's input is high.
        image_index: int64 (M,): the image of each box; by default one box an image.

    Returns:
        The network's outputs by name, tensors where the images are, and float32 (M, 2, 3): from the outputs' pixels to image
        pixels.
    """
    from posert.ops import crop_resize

    session, buffer = workspace(len(boxes), images[0])
    options: dict[str, Any] = {
        "fill": pre.fill,
        "channels": "rgb" if color == pre.channels else "bgr",
        "image_index": image_index,
    }
    size = turned(pre.size, turns)
    with watch.step("crop"):
        crops = buffer if not turns else tensors.empty((*buffer.shape[:2], *size), "float32", buffer)
        _, transforms = crop_resize(images, boxes, size, pre.mean, pre.scale, flip=mirrored, out=crops, **options)
        if turns:
            buffer[...] = tensors.turned(crops, turns)
    with watch.step("network"):
        outputs = session.run("estimator", {"image": buffer})
    return {name: tensors.turned(maps, -turns) for name, maps in outputs.items()} if turns else outputs, transforms


def turned(size: tuple[int, int], turns: int) -> tuple[int, int]:
    """Rows and columns after quarter turns."""
    return (size[1], size[0]) if turns % 2 else size
