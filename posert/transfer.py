"""`Transfer`: people and poses in, the same people in those poses out."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.engine import Engine, check_place, open_for
from posert.errors import InputError
from posert.estimator import Estimator
from posert.geometry import check_keypoints, fit_aspect, person_boxes, to_box
from posert.images import Color, check_color, check_images, whole_boxes
from posert.people import find_people
from posert.redrawing import Drawn, Redrawing, Sources, each, open_redrawing
from posert.redrawing.replayed import Cut, replay_all, replay_drawing
from posert.stopwatch import Stopwatch
from posert.tensors import is_tensor, reversed_channels
from posert.types import Image, Images, Poses, TransferBatch, TransferResult
from posert.warmup import check_batch_sizes, check_image_size, grey_images

_SAME_ASPECT = 0.02


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
        trust_plans: bool = False,
    ) -> None:
        """Open a model.

        Args:
            engine: a zoo name such as ``"pg2-s"``, the path of a `.posert` file, or an open `posert.Engine`, which stays open
                when the pipeline is closed.
            estimator: finds the person in source images that are not in the network's proportions and come without a pose: a
                `posert.Estimator`, or what one is made from. None is ``"cpm-s"``. It is opened when first needed.
            backend: see `posert.Engine.open`; also for the estimator if it is opened here.
            device: the same.
            trust_plans: the same.

        Raises:
            InputError: the model is not for transfer.
            PosertError: see `posert.Engine.open`.
        """
        self.engine, self._owned = open_for("transfer", engine, backend, device, trust_plans)
        self._estimator = estimator
        self._choice: dict[str, Any] = {"backend": backend, "device": device, "trust_plans": trust_plans}
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
                self._own_estimator = Estimator(given, **({} if isinstance(given, Engine) else self._choice))
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
            segmentation, part_masks, background, warp_parts, foreground, composite; or graph for all of them (docs/gpu.md).

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
        redrawing, manifest = self._redrawing(), self.engine.manifest

        def draw(part: slice, drawn: Drawn) -> None:
            cut = self._cut(images[part], boxes[part], None if joints is None else joints[part], color)
            poses = partial(redrawing.poses, target[part], cut.joints)
            if not replay_all(cut, poses, redrawing, manifest, drawn, watch):
                redrawing.draw(cut.prepare(redrawing, manifest, watch), poses(watch), drawn, watch)

        return self._draw(draw, len(target), color, watch, _like(images))

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
        cut = self._cut(images, boxes, joints, color)
        return PreparedSource(self, cut.prepare(self._redrawing(), self.engine.manifest, watch), cut, color, _like(images))

    def warmup(self, batch_sizes: Iterable[int] | None = None, *, image_size: tuple[int, int] | None = None) -> None:
        """Run grey pictures through all steps for each batch size, so that the first real run is as fast as the next ones.

        On a GPU also pictures that are tensors, until the CUDA graphs of all steps, and of those after `prepare`, are captured
        (docs/gpu.md).

        Args:
            batch_sizes: at least 1 each; None takes the model's own.
            image_size: height and width of the tensors that will come, since a graph is for images of one size; None takes
                that of the network's input.

        Raises:
            InputError: a batch size, a height or a width is not a positive integer.
        """
        manifest, image_size = self.engine.manifest, check_image_size(image_size)
        for count in check_batch_sizes(manifest.batch_sizes if batch_sizes is None else batch_sizes):
            for grey in grey_images(self.engine, count, image_size):
                places = np.random.default_rng(0).uniform(0.25, 0.75, (count, len(manifest.skeleton), 3))
                joints = (places * (*grey.shape[2:0:-1], 1)).astype(np.float32)  # so that nobody is looked for in grey
                pose = Poses(joints, skeleton=manifest.skeleton)
                self.run(TransferBatch(grey, joints, pose))
                if is_tensor(grey):
                    self.prepare(grey, pose).run(joints)

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

    def _cut(self, images: list[Image], boxes: NDArray[np.float32], joints: NDArray[np.float32] | None, color: Color) -> Cut:
        """Sources that are to be cut out of their images."""
        return Cut(images, boxes, joints, "rgb" if color == self.engine.manifest.preprocess.channels else "bgr")

    def _draw(
        self, draw: Callable[[slice, Drawn], None], count: int, color: Color, watch: Stopwatch, like: Any
    ) -> TransferResult:
        """Run the networks on all people, batch after batch.

        Args:
            draw: draws the people of one batch.
            count: of all people.
            color: channel order of the result.
            watch: adds up the steps.
            like: one of the sources' images: the result is a tensor where it is one.
        """
        manifest = self.engine.manifest
        largest = manifest.batch_sizes[-1]
        drawn = Drawn.empty(count, manifest.preprocess.size, self._redrawing().has_coarse, like)
        for start in range(0, count, largest):
            part = slice(start, min(start + largest, count))
            draw(part, drawn.part(part))
        images, coarse = drawn.images, drawn.coarse
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

    def __init__(self, transfer: Transfer, sources: Sources, cut: Cut, color: Color, like: Any) -> None:
        """Use `Transfer.prepare`."""
        self._like = like
        self.boxes, self._joints = cut.boxes, cut.joints
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
        redrawing, manifest, watch = self._transfer._redrawing(), self._transfer.engine.manifest, Stopwatch()

        def draw(part: slice, drawn: Drawn) -> None:
            sources = each(self._sources, index[part])
            poses = partial(redrawing.poses, points[part], self._joints_of(index[part]))
            if not replay_drawing(sources, poses, redrawing, manifest, drawn, watch):
                redrawing.draw(sources, poses(watch), drawn, watch)

        return self._transfer._draw(draw, len(points), self._color, watch, self._like)

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
        redrawing, watch = self._transfer._redrawing(), Stopwatch()
        poses = redrawing.poses(points, self._joints_of(index), watch)
        found = redrawing.explain(each(self._sources, index), poses, watch)
        return {name: self._levels(values) for name, values in found.items()}

    def _joints_of(self, index: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """The joints of the source of each pose, if they are needed."""
        return None if self._joints is None else self._joints[index]

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
