"""PG2: the picture and discs at the target's joints through one network (specs pg2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.engine import Session
from posert.manifest import Manifest
from posert.ops import pose_mask, rasterize_discs, to_uint8
from posert.redrawing import Drawn
from posert.stopwatch import Stopwatch
from posert.tensors import beside, empty, on_host, taken


class PG2Redrawing:
    """See `posert.redrawing.Redrawing`."""

    needs_joints = False

    def __init__(self, manifest: Manifest, session: Session) -> None:
        """Prepare nothing but what is kept between calls: the network's input, with the discs that it holds."""
        self.manifest, self.session = manifest, session
        self.has_coarse = "coarse" in {tensor.name for tensor in manifest.network("generator").outputs}
        self._input, self._discs = self._buffers(0)

    def prepare(self, pictures: NDArray[np.float32], joints: NDArray[np.float32] | None, watch: Stopwatch) -> NDArray[np.float32]:
        """The pictures themselves."""
        return pictures

    def backgrounds(self, sources: NDArray[np.float32]) -> None:
        """None: one network draws all."""
        return None

    def draw(
        self,
        sources: NDArray[np.float32],
        index: NDArray[np.int64],
        target: NDArray[np.float32],
        drawn: Drawn,
        watch: Stopwatch,
    ) -> None:
        """Run both stages."""
        post = self.manifest.postprocess
        outputs = self._run(sources, index, target, watch)[1]
        with watch.step("to_uint8"):
            to_uint8(outputs["image"], out=drawn.images)
            if drawn.coarse is not None:
                to_uint8(outputs["coarse"], out=drawn.coarse)
        with watch.step("mask"):
            size = self.manifest.preprocess.size
            joints = beside(target, drawn.mask)
            pose_mask(joints, size, radius=post.mask_radius, closing=post.mask_closing, out=drawn.mask[:, None])

    def explain(
        self, sources: NDArray[np.float32], index: NDArray[np.int64], target: NDArray[np.float32], watch: Stopwatch
    ) -> dict[str, NDArray[np.float32]]:
        """The source, the discs of all joints, the first stage, what the second adds, and the result."""
        planes, outputs = self._run(sources, index, target, watch)
        sources, planes, outputs = on_host(sources), on_host(planes), {name: on_host(one) for name, one in outputs.items()}
        found = {"source": sources[index], "pose": np.repeat(planes[:, 3:].max(1, keepdims=True), 3, 1)}
        if self.has_coarse:
            found |= {"coarse": outputs["coarse"], "difference": outputs["image"] - outputs["coarse"]}
        return found | {"image": outputs["image"]}

    def _run(
        self, sources: Any, index: NDArray[np.int64], target: NDArray[np.float32], watch: Stopwatch
    ) -> tuple[Any, dict[str, Any]]:
        """The network's input, which the next run overwrites, and its outputs."""
        count, pre = len(target), self.manifest.preprocess
        if not isinstance(sources, np.ndarray):  # torch keeps the memory itself, in the order of the stream
            with watch.step("rasterize"):
                batch = empty((count, 3 + len(self.manifest.skeleton), *pre.size), "float32", sources)
                batch[:, :3] = taken(sources, index)
                rasterize_discs(beside(target, sources), pre.size, pre.radius, out=batch[:, 3:])
            with watch.step("network"):
                return batch, self.session.run("generator", {"input": batch})
        if len(self._input) < count:
            self._input, self._discs = self._buffers(count)
        batch, discs = self._input[:count], self._discs[:count]
        with watch.step("rasterize"):
            batch[:, :3] = sources[index]
            rasterize_discs(target, pre.size, pre.radius, previous=discs, out=batch[:, 3:])
            discs[:] = target
        with watch.step("network"):
            return batch, self.session.run("generator", {"input": batch})

    def _buffers(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Input (n, 3 + K, H, W): the picture, then one plane a joint; and the joints (n, K, 3) whose discs the planes hold."""
        joints = len(self.manifest.skeleton)
        planes = np.full((count, 3 + joints, *self.manifest.preprocess.size), -1, np.float32)
        return planes, np.full((count, joints, 3), np.nan, np.float32)
