"""`Transfer`: people and poses in, the same people in those poses out."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.engine import Engine, check_place, open_for
from posert.errors import InputError
from posert.estimator import Estimator, check_batch_sizes
from posert.geometry import check_keypoints, fit_aspect, person_boxes, to_box
from posert.images import Color, check_color, check_images, whole_boxes
from posert.people import find_people
from posert.redrawing import Drawn, Redrawing, open_redrawing
from posert.stopwatch import Stopwatch
from posert.tensors import empty, reversed_channels
from posert.types import Image, Images, Poses, TransferBatch, TransferResult

_SAME_ASPECT = 0.02
_Sources = Callable[[slice], tuple[Any, NDArray[np.int64]]]
"""From a slice of the poses to their sources, prepared, and the index of each pose's source among them."""


class Transfer:
    """Re-draws people in other poses. Threads may share it.

    Attributes:
        engine: the engine that runs the network.
    """

    def __init__(
        self,
        engine: str | os.PathLike[str] | Engine,
        *,
        estimator: str | os.PathLike[str] | Engine | Estimator | None = None,
        backend: str | None = None,
        device: str | None = None,
    ) -> None:
        """Open a model.

        Args:
            engine: a zoo name such as ``"pg2-s"``, the path of a `.posert` file, or an open `posert.Engine`, which stays open
                when the pipeline is closed.
            estimator: finds the person in source images that are not in the network's proportions and come without a pose: a
                `posert.Estimator`, or what one is made from. None is ``"cpm-s"``. It is opened when first needed.
            backend: see `posert.Engine.open`; also for the estimator if it is opened here.
            device: the same.

        Raises:
            InputError: the model is not for transfer.
            PosertError: see `posert.Engine.open`.
        """
        self.engine, self._owned = open_for("transfer", engine, backend, device)
        self._estimator = estimator
        self._backend, self._device = backend, device
        self._own_estimator: Estimator | None = None
        self._lock = threading.Lock()
        self._local = threading.local()

    def __repr__(self) -> str:
        return f"Transfer({self.engine!r})"

    def __enter__(self) -> Transfer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the engine and the estimator if they were opened here."""
        with self._lock:
            if self._own_estimator is not None:
                self._own_estimator.close()
        if self._owned:
            self.engine.close()

    @property
    def estimator(self) -> Estimator:
        """What finds the person in a source image, opened when first asked for.

        Raises:
            PosertError: it cannot be opened; see `posert.Engine.open`.
        """
        if isinstance(self._estimator, Estimator):
            return self._estimator
        with self._lock:
            if self._own_estimator is None:
                given = "cpm-s" if self._estimator is None else self._estimator
                choice = (None, None) if isinstance(given, Engine) else (self._backend, self._device)
                self._own_estimator = Estimator(given, backend=choice[0], device=choice[1])
            return self._own_estimator

    @property
    def needs_joints(self) -> bool:
        """Whether the model must know the joints of every source, and not only of those that are to be cropped."""
        return self._redrawing().needs_joints

    def run(self, batch: TransferBatch | Mapping[str, Any], *, color: Color = "rgb") -> TransferResult:
        """Re-draw each source person in its target pose.

        A source image whose proportions are within 2 % of the network's is taken whole; of any other, a box around the person is
        cut out. A target with boxes is framed by them: the box, grown to the network's proportions, becomes the picture. A target
        without boxes is in pixels of the source image, and so lands where it is there.

        Args:
            batch: N source images, N target poses and, if known, N source poses; or a dict with those keys. N may be 0. Images
                that are CUDA tensors, on the engine's device, stay there, and give CUDA tensors (docs/gpu.md).
            color: channel order of the source images and of the result, ``"rgb"`` or ``"bgr"``.

        Returns:
            N pictures of the network's size, in fresh memory, with what each step took in milliseconds: locate (where an
            estimator was needed), crop, then of PG2 rasterize, network, to_uint8, mask, and of Unseen Poses rasterize,
            segmentation, part_masks, background, warp_parts, foreground, composite.

        Raises:
            InputError: images or poses cannot be used, or no person was found in a source image; the message names which.
            ExecutionError: the network failed.
        """
        batch, color = TransferBatch.of(batch), check_color(color)
        images = check_images(batch.source, "source")
        check_place(self.engine, images)
        keypoints, frames = self._frame(batch.target)
        watch = Stopwatch()
        boxes, joints = self._locate(images, batch.source_pose, color, watch)
        target = to_box(keypoints, boxes if frames is None else frames, self.engine.manifest.preprocess.size)

        def sources(part: slice) -> tuple[Any, NDArray[np.int64]]:
            prepared = self._prepare(images[part], boxes[part], None if joints is None else joints[part], color, watch)
            return prepared, np.arange(len(images[part]))

        return self._draw(sources, target, color, watch, _like(images))

    def prepare(self, source: Images, source_pose: Poses | None = None, *, color: Color = "rgb") -> PreparedSource:
        """Do once what depends on the source alone: find the person, cut it out, bring it into the network's range; of Unseen
        Poses also take it apart and fill the background.

        Args:
            source: N images, as in `posert.TransferBatch`.
            source_pose: N poses, as there.
            color: channel order of the source images, and of later results.

        Returns:
            A handle whose `run` takes poses.

        Raises:
            InputError: images or poses cannot be used, or no person was found in an image; the message names which.
        """
        images, color = check_images(source, "source"), check_color(color)
        check_place(self.engine, images)
        if source_pose is not None and (not isinstance(source_pose, Poses) or len(source_pose) != len(images)):
            raise InputError(
                f"source_pose must be None or posert.Poses with one pose for each of the {len(images)} source images"
            )
        watch = Stopwatch()
        boxes, joints = self._locate(images, source_pose, color, watch)
        return PreparedSource(self, self._prepare(images, boxes, joints, color, watch), boxes, color, _like(images))

    def warmup(self, batch_sizes: Iterable[int] | None = None) -> None:
        """Run a grey picture through all steps once for each batch size, so that the first real run is as fast as the next ones.

        Args:
            batch_sizes: at least 1 each; None takes the model's own.

        Raises:
            InputError: a batch size is not a positive integer.
        """
        manifest = self.engine.manifest
        for size in check_batch_sizes(manifest.batch_sizes if batch_sizes is None else batch_sizes):
            images = np.full((size, *manifest.preprocess.size, 3), 128, np.uint8)
            joints = np.ones((size, len(manifest.skeleton), 3), np.float32)  # so that nobody is looked for in grey
            self.run(TransferBatch(images, joints, Poses(joints, skeleton=manifest.skeleton)))

    def _locate(
        self, images: list[Image], pose: Poses | None, color: Color, watch: Stopwatch
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The part of each source image that the network sees, float32 (N, 4), and, where the model needs them, the joints in
        its pixels, float32 (N, K, 3).
        """
        size = self.engine.manifest.preprocess.size
        needs_joints = self._redrawing().needs_joints
        boxes, odd = whole_boxes(images), odd_images(images, size)
        wanted = list(range(len(images))) if needs_joints else odd
        if not wanted:
            return boxes, None if not needs_joints else np.zeros((0, len(self.engine.manifest.skeleton), 3), np.float32)
        if pose is None:
            with watch.step("locate"):
                pose = find_people(self.estimator, [images[i] for i in wanted], color=color)
            lost = [i for i, person in zip(wanted, pose.keypoints, strict=True) if not (person[:, 2] > 0).any()]
            if lost:
                raise InputError(f"no person found in source images {lost[:10]}; give source_pose, or crop them to the person")
        else:
            pose = pose[np.array(wanted)]
            empty = [i for i, person in zip(wanted, pose.keypoints, strict=True) if not (person[:, 2] > 0).any()]
            if empty:
                raise InputError(f"source_pose has no joints for images {empty[:10]}; the model must know where the person is")
        cut = np.isin(wanted, odd)
        boxes[odd] = fit_aspect(person_boxes(pose.keypoints[cut]), size[1] / size[0])
        return boxes, to_box(pose.convert(self.engine.manifest.skeleton).keypoints, boxes, size) if needs_joints else None

    def _frame(self, target: Poses | NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The target joints in the model's skeleton, (N, K, 3), and the boxes that become the pictures, if the target has any."""
        manifest = self.engine.manifest
        if not isinstance(target, Poses):
            return check_keypoints(target, len(manifest.skeleton)), None
        keypoints = target.convert(manifest.skeleton).keypoints
        height, width = manifest.preprocess.size
        return keypoints, None if target.boxes is None else fit_aspect(target.boxes, width / height)

    def _prepare(
        self,
        images: list[Image],
        boxes: NDArray[np.float32],
        joints: NDArray[np.float32] | None,
        color: Color,
        watch: Stopwatch,
    ) -> Any:
        """Cut the sources out, and do what depends on them alone."""
        from posert.ops import crop_resize

        pre = self.engine.manifest.preprocess
        channels = "rgb" if color == pre.channels else "bgr"
        with watch.step("crop"):
            pictures, _ = crop_resize(images, boxes, pre.size, pre.mean, pre.scale, fill=pre.fill, channels=channels)
        return self._redrawing().prepare(pictures, joints, watch)

    def _draw(self, sources: _Sources, target: NDArray[np.float32], color: Color, watch: Stopwatch, like: Any) -> TransferResult:
        """Run the networks on all people, batch after batch.

        Args:
            sources: gives the sources of each batch.
            target: (N, K, 3) in network pixels.
            color: channel order of the result.
            watch: adds up the steps.
            like: one of the sources' images: the result is a tensor where it is one.
        """
        manifest, redrawing = self.engine.manifest, self._redrawing()
        height, width = manifest.preprocess.size
        count, largest = len(target), manifest.batch_sizes[-1]
        images = empty((count, height, width, 3), "uint8", like)
        coarse = empty((count, height, width, 3), "uint8", like) if redrawing.has_coarse else None
        drawn = Drawn(images, coarse, empty((count, height, width), "uint8", like))
        for start in range(0, count, largest):
            part = slice(start, min(start + largest, count))
            prepared, index = sources(part)
            redrawing.draw(prepared, index, target[part], drawn.part(part), watch)
        if color != manifest.preprocess.channels:
            images = reversed_channels(images)
            coarse = None if coarse is None else reversed_channels(coarse)
        return TransferResult(images, coarse, drawn.mask, watch.stage_ms)

    def _redrawing(self) -> Redrawing:
        """The calling thread's own, with a session and buffers."""
        if not hasattr(self._local, "redrawing"):
            self._local.redrawing = open_redrawing(self.engine.manifest, self.engine.session())
        redrawing: Redrawing = self._local.redrawing
        return redrawing


def odd_images(images: list[Image], size: tuple[int, int]) -> list[int]:
    """Which images are not in the network's proportions, so that the person must be found in them.

    Args:
        images: of any sizes.
        size: height and width of the network's input.
    """
    aspect = size[1] / size[0]
    return [i for i, image in enumerate(images) if abs(image.shape[1] / image.shape[0] / aspect - 1) > _SAME_ASPECT]


def _like(images: list[Image]) -> Any:
    """One of the images, or an array if there are none."""
    return images[0] if images else np.zeros(0, np.uint8)


class PreparedSource:
    """N source people, ready to be drawn in any number of poses; from `Transfer.prepare`. Threads may share it.

    Attributes:
        boxes: float32 (N, 4): the part of each source image that is seen, as x0, y0, x1, y1 in pixels.
    """

    def __init__(self, transfer: Transfer, sources: Any, boxes: NDArray[np.float32], color: Color, like: Any) -> None:
        """Use `Transfer.prepare`."""
        self._like = like
        self.boxes = boxes
        self._transfer = transfer
        self._sources = sources
        self._color = color

    def __len__(self) -> int:
        return len(self.boxes)

    def run(self, target: Poses | NDArray[np.float32], source_index: ArrayLike | None = None) -> TransferResult:
        """Draw the source people in poses.

        Args:
            target: M poses, as in `posert.TransferBatch`.
            source_index: integers (M,): which source takes each pose. None: pose m goes to source m, or all to the only one.

        Returns:
            M pictures; see `Transfer.run`.

        Raises:
            InputError: the poses or indices cannot be used.
            ExecutionError: the network failed.
        """
        points, index = self._place(target, source_index)

        def sources(part: slice) -> tuple[Any, NDArray[np.int64]]:
            return self._sources, index[part]

        return self._transfer._draw(sources, points, self._color, Stopwatch(), self._like)

    def backgrounds(self) -> NDArray[np.uint8] | None:
        """The sources without their people, uint8 (N, H, W, 3) at the network's size; None of models that make no such thing."""
        found = self._transfer._redrawing().backgrounds(self._sources)
        return None if found is None else self._levels(found)

    def explain(self, target: Poses | NDArray[np.float32], source_index: ArrayLike | None = None) -> dict[str, Image]:
        """What happens between a source and a result, to look at.

        Args:
            target: M poses, as many as the largest batch at most.
            source_index: as of `run`.

        Returns:
            Pictures by name, uint8 (M, H, W, 3), in the order in which they come about; the last is ``"image"``, the result. Of
            PG2 the source, the pose, the first stage and what the second adds (grey is nothing); of Unseen Poses the source, its
            parts in colours, every part where the target pose has it (grey is nothing), foreground, mask and background.

        Raises:
            InputError: the poses or indices cannot be used, or are too many.
            ExecutionError: the network failed.
        """
        points, index = self._place(target, source_index)
        manifest = self._transfer.engine.manifest
        if len(points) > manifest.batch_sizes[-1]:
            raise InputError(f"at most {manifest.batch_sizes[-1]} poses can be explained at once, got {len(points)}")
        found = self._transfer._redrawing().explain(self._sources, index, points, Stopwatch())
        return {name: self._levels(values) for name, values in found.items()}

    def _levels(self, pictures: NDArray[np.float32]) -> Image:
        """Pictures (N, 3, H, W) in [-1, 1] as uint8 (N, H, W, 3), in the channel order of the sources."""
        from posert.ops import to_uint8

        levels = to_uint8(pictures)
        same = self._color == self._transfer.engine.manifest.preprocess.channels
        return levels if same else reversed_channels(levels)

    def _place(
        self, target: Poses | NDArray[np.float32], source_index: ArrayLike | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The poses in network pixels, (M, K, 3), and each one's source."""
        target = target if isinstance(target, Poses) else check_keypoints(target)
        index = self._index(len(target), source_index)
        keypoints, frames = self._transfer._frame(target)
        size = self._transfer.engine.manifest.preprocess.size
        return to_box(keypoints, self.boxes[index] if frames is None else frames, size), index

    def _index(self, poses: int, source_index: ArrayLike | None) -> NDArray[np.int64]:
        if source_index is None:
            if poses != len(self) and len(self) != 1:
                raise InputError(f"{len(self)} sources take {len(self)} poses, got {poses}; say which with source_index")
            return np.arange(poses) if len(self) == poses else np.zeros(poses, np.int64)
        index = np.asarray(source_index)
        integers = index.dtype.kind in "iu" or index.size == 0
        if index.shape != (poses,) or not integers or (poses and not 0 <= index.min() <= index.max() < len(self)):
            raise InputError(f"source_index must be {poses} integers in 0..{len(self) - 1}, one a pose; got shape {index.shape}")
        return index.astype(np.int64)
