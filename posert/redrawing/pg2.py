"""PG2: the picture and discs at the target's joints through one network (specs pg2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.engine import Session
from posert.manifest import Manifest
from posert.ops import pose_mask, rasterize_discs, to_uint8
from posert.redrawing import Drawn, Poses, Sources
from posert.stopwatch import Stopwatch
from posert.tensors import beside, empty, on_host


class PG2Redrawing:
    """See `posert.redrawing.Redrawing`."""

    needs_joints = False

    def __init__(self, manifest: Manifest, session: Session) -> None:
        """Prepare nothing but what is kept between calls: the network's input, with the discs that it holds."""
        self.manifest, self.session = manifest, session
        self.has_coarse = "coarse" in {tensor.name for tensor in manifest.network("generator").outputs}
        self._input, self._discs = self._buffers(0)

    def prepare(self, pictures: NDArray[np.float32], joints: NDArray[np.float32] | None, watch: Stopwatch) -> dict[str, Any]:
        """The pictures themselves."""
        return {"pictures": pictures}

    def poses(self, target: NDArray[np.float32], joints: NDArray[np.float32] | None, watch: Stopwatch) -> dict[str, Any]:
        """The target's joints themselves."""
        return {"target": target}

    def backgrounds(self, sources: Sources) -> None:
        """None: one network draws all."""
        return None

    def draw(self, sources: Sources, poses: Poses, drawn: Drawn, watch: Stopwatch) -> None:
        """Run both stages."""
        post = self.manifest.postprocess
        outputs = self._run(sources["pictures"], poses["target"], watch)[1]
        with watch.step("to_uint8"):
            to_uint8(outputs["image"], out=drawn.images)
            if drawn.coarse is not None:
                to_uint8(outputs["coarse"], out=drawn.coarse)
        with watch.step("mask"):
            size = self.manifest.preprocess.size
            joints = beside(poses["target"], drawn.mask)
            pose_mask(joints, size, radius=post.mask_radius, closing=post.mask_closing, out=drawn.mask[:, None])

    def explain(self, sources: Sources, poses: Poses, watch: Stopwatch) -> dict[str, NDArray[np.float32]]:
        """The source, the discs of all joints, the first stage, what the second adds, and the result."""
        planes, outputs = self._run(sources["pictures"], poses["target"], watch)
        planes, outputs = on_host(planes), {name: on_host(one) for name, one in outputs.items()}
        found = {"source": planes[:, :3].copy(), "pose": np.repeat(planes[:, 3:].max(1, keepdims=True), 3, 1)}
        if self.has_coarse:
            found |= {"coarse": outputs["coarse"], "difference": outputs["image"] - outputs["coarse"]}
        return found | {"image": outputs["image"]}

    def _run(self, pictures: Any, target: Any, watch: Stopwatch) -> tuple[Any, dict[str, Any]]:
        """The network's input, which the next run overwrites, and its outputs."""
        count, pre = len(target), self.manifest.preprocess
        if not isinstance(pictures, np.ndarray):  # torch keeps the memory itself, in the order of the stream
            with watch.step("rasterize"):
                batch = empty((count, 3 + len(self.manifest.skeleton), *pre.size), "float32", pictures)
                batch[:, :3] = pictures
                rasterize_discs(beside(target, pictures), pre.size, pre.radius, out=batch[:, 3:])
            with watch.step("network"):
                return batch, self.session.run("generator", {"input": batch})
        if len(self._input) < count:
            self._input, self._discs = self._buffers(count)
        batch, discs = self._input[:count], self._discs[:count]
        with watch.step("rasterize"):
            batch[:, :3] = pictures
            rasterize_discs(target, pre.size, pre.radius, previous=discs, out=batch[:, 3:])
            discs[:] = target
        with watch.step("network"):
            return batch, self.session.run("generator", {"input": batch})

    def _buffers(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Input (n, 3 + K, H, W): the picture, then one plane a joint; and the joints (n, K, 3) whose discs the planes hold."""
        joints = len(self.manifest.skeleton)
        planes = np.full((count, 3 + joints, *self.manifest.preprocess.size), -1, np.float32)
        return planes, np.full((count, joints, 3), np.nan, np.float32)
