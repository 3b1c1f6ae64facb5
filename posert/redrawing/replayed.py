"""Re-drawing from CUDA graphs: all between pictures and results, or all after what is kept of the sources, in one launch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.manifest import Manifest
from posert.ops import crop_resize
from posert.ops.crop_resize import usable_boxes
from posert.redrawing import Drawn, Poses, Redrawing, Sources
from posert.stopwatch import Stopwatch
from posert.tensors import alike
from posert.types import Image

MakePoses = Callable[[Stopwatch], Poses]
"""Makes the poses of a batch; see `Redrawing.poses`."""


@dataclass(frozen=True)
class Cut:
    """Source people in their images.

    Attributes:
        images: N checked images of any sizes; or a tensor of all, (N, H, W, 3).
        boxes: float32 (N, 4): what of each image the network sees, as x0, y0, x1, y1 in pixels. An array, or a tensor beside it.
        joints: float32 (N, K, 3), in the network's pixels, likewise; None where they are not needed.
        channels: channel order that the network sees if the images are taken for RGB, ``"rgb"`` or ``"bgr"``.
    """

    images: Sequence[Image]
    boxes: NDArray[np.float32]
    joints: NDArray[np.float32] | None
    channels: str

    def prepare(self, redrawing: Redrawing, manifest: Manifest, watch: Stopwatch) -> dict[str, Any]:
        """Cut the people out, and do what depends on them alone."""
        pre = manifest.preprocess
        with watch.step("crop"):
            pictures, _ = crop_resize(
                self.images, self.boxes, pre.size, pre.mean, pre.scale, fill=pre.fill, channels=self.channels
            )
        return redrawing.prepare(pictures, self.joints, watch)


def replay_all(cut: Cut, poses: MakePoses, redrawing: Redrawing, manifest: Manifest, drawn: Drawn, watch: Stopwatch) -> bool:
    """Cut sources out, prepare them and draw them in poses from one CUDA graph, if there is one.

    There may be one for images on the device, all of one size, as many as a batch of the bundle has.

    Args:
        cut: the sources.
        poses: one of each.
        redrawing: of the calling thread.
        manifest: of the model.
        drawn: written.
        watch: measures the step graph.

    Returns:
        Whether it was done.
    """
    fits = alike(cut.images) and len(cut.images) in manifest.batch_sizes
    if not fits or not usable_boxes(cut.boxes).all():  # of tensors no box is refused
        return False

    def work(given: Mapping[str, Any]) -> dict[str, Any]:
        people = Cut(given["images"], given["boxes"], given.get("joints"), cut.channels)
        sources = people.prepare(redrawing, manifest, Stopwatch())
        return _drawn(redrawing, manifest, sources, given)

    graph = Stopwatch()
    with graph.step("graph"):
        known = {} if cut.joints is None else {"joints": cut.joints}
        inputs = {"images": list(cut.images), "boxes": cut.boxes, **known, **poses(Stopwatch())}
        found = redrawing.session.replay(("transfer", cut.channels), inputs, work, drawn.by_name())
    if found is not None:
        watch.add(graph)
    return found is not None


def replay_drawing(
    sources: Sources, poses: MakePoses, redrawing: Redrawing, manifest: Manifest, drawn: Drawn, watch: Stopwatch
) -> bool:
    """Draw prepared sources, one a pose, from one CUDA graph, if there is one; arguments and result as of `replay_all`."""
    pictures = sources["pictures"]
    if isinstance(pictures, np.ndarray) or len(pictures) not in manifest.batch_sizes:
        return False

    def work(given: Mapping[str, Any]) -> dict[str, Any]:
        return _drawn(redrawing, manifest, given, given)

    graph = Stopwatch()
    with graph.step("graph"):
        inputs = {**sources, **poses(Stopwatch())}
        found = redrawing.session.replay("transfer of prepared sources", inputs, work, drawn.by_name())
    if found is not None:
        watch.add(graph)
    return found is not None


def _drawn(redrawing: Redrawing, manifest: Manifest, sources: Sources, poses: Poses) -> dict[str, Any]:
    """Draw into fresh memory."""
    pictures = sources["pictures"]
    drawn = Drawn.empty(len(pictures), manifest.preprocess.size, redrawing.has_coarse, pictures)
    redrawing.draw(sources, poses, drawn, Stopwatch())
    return drawn.by_name()
