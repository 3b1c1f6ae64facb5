"""One pass of an estimator's network over boxes of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from posert.engine import Session
from posert.images import Color
from posert.processing import Preprocess
from posert.stopwatch import Stopwatch
from posert.types import Image

Workspace = Callable[[int], tuple[Session, NDArray[np.float32]]]
"""From a number of crops to a session and its input buffer for so many."""


def look(
    images: Sequence[Image],
    boxes: NDArray[np.float32],
    pre: Preprocess,
    workspace: Workspace,
    watch: Stopwatch,
    *,
    color: Color,
    mirrored: bool = False,
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
        image_index: int64 (M,): the image of each box; by default one box an image.

    Returns:
        The network's outputs by name, and float32 (M, 2, 3): from network pixels to image pixels.
    """
    from posert.ops import crop_resize

    session, buffer = workspace(len(boxes))
    channels = "rgb" if color == pre.channels else "bgr"
    with watch.step("crop"):
        _, transforms = crop_resize(
            images,
            boxes,
            pre.size,
            pre.mean,
            pre.scale,
            fill=pre.fill,
            channels=channels,
            image_index=image_index,
            flip=mirrored,
            out=buffer,
        )
    with watch.step("network"):
        return session.run("estimator", {"image": buffer}), transforms
