"""`Estimator`: images and boxes in, people's joints out."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import numpy as np

from posert.detection import Detection, Detector
from posert.engine import Engine, Session, check_place, open_for
from posert.errors import InputError
from posert.images import Color, assign_boxes, check_color, check_images, whole_boxes
from posert.scales import check_scales
from posert.scores import calibrated
from posert.skeleton import Skeleton, get_skeleton
from posert.stopwatch import Stopwatch
from posert.tensors import empty, is_tensor
from posert.types import Image, Images, Poses
from posert.warmup import check_batch_sizes, check_image_size, grey_images

FIND_EVERYBODY = ("paf",)
"""Papers whose models look at whole images."""


class Estimator:
    """Finds people's joints: one person's in each box of each image, or, with part affinity fields (``"paf-s"``), everybody's in
    the whole of each image. Threads may share it.

    Attributes:
        engine: the engine that runs the network.
        finds_everybody: whether it looks at whole images and takes no boxes.
        finds_people: whether it needs no boxes: it finds everybody, or has a detector.
        flip_test: whether every person is looked at twice, the second time mirrored, and the heatmaps are averaged: a little
            more accurate, twice the time.
        scales: at which every person, or image, is looked at; the heatmaps are averaged.
        rotation_test: whether every person is looked at turned by 90, 180 and 270 degrees besides, and the surest look counts:
            for people who lie or are upside down, four times the time.
        skeleton: the joints of the results.
    """

    def __init__(
        self,
        engine: str | os.PathLike[str] | Engine,
        *,
        backend: str | None = None,
        device: str | None = None,
        trust_plans: bool = False,
        flip_test: bool = False,
        scales: float | Iterable[float] = 1.0,
        rotation_test: bool = False,
        skeleton: str | Skeleton | None = None,
        detector: str | os.PathLike[str] | Detector | None = None,
    ) -> None:
        """Open a model.

        Args:
            engine: a zoo name such as ``"cpm-s"``, the path of a `.posert` file, or an open `posert.Engine`, which stays open
                when the estimator is closed.
            backend: see `posert.Engine.open`.
            device: see `posert.Engine.open`.
            trust_plans: see `posert.Engine.open`; of the detector, too, if it is opened here.
            flip_test: average with a second, mirrored look.
            scales: average looks at these sizes of the person, in 0.25..4 of the one that the model is made for, such as
                ``(0.9, 1.0, 1.1)``; each costs as much time as a whole run. Of a model that finds everybody: sizes of the
                image, 1 where it fits the network's input; larger ones are seen in tiles, for small people in large images.
            rotation_test: look at people turned by quarter turns too, and keep the surest look of each.
            skeleton: joints wanted, such as ``"coco18"``; None = the model's own. Joints that the model does not find and that
                do not follow from others (`posert.skeleton.convert_keypoints`) are missing.
            detector: says where the people are when `run` is given no boxes: the name or path of a model that finds everybody,
                such as ``"paf-s"``, or a function that takes the list of images as `run` was given them and returns a list of
                arrays (n_i, 4) of tight boxes, x0, y0, x1, y1 in pixels.

        Raises:
            InputError: the model is not for estimation, or finds everybody and was given a rotation test or a detector;
                the skeleton is unknown; the detector is neither a function nor a model that finds everybody.
            PosertError: see `posert.Engine.open`.
        """
        self.flip_test, self.rotation_test = bool(flip_test), bool(rotation_test)
        self.scales = check_scales(scales)
        wanted = None if skeleton is None else get_skeleton(skeleton)
        self.engine, self._owned = open_for("estimation", engine, backend, device, trust_plans)
        self.skeleton = wanted or self.engine.manifest.skeleton
        self.finds_everybody = self.engine.manifest.paper in FIND_EVERYBODY
        self._detection: Detection | None = None
        self.finds_people = self.finds_everybody or detector is not None
        try:
            chosen = {"the detector": detector is not None, "rotation_test": self.rotation_test}
            if self.finds_everybody and any(chosen.values()):
                option = next(name for name, given in chosen.items() if given)
                raise InputError(f"{self.engine.manifest.name!r} finds everybody in whole images; leave {option} out")
            if detector is not None:
                self._detection = Detection(detector, backend=backend, device=device, trust_plans=trust_plans)
        except BaseException:
            self.close()
            raise
        self._local = threading.local()

    def __repr__(self) -> str:
        return f"Estimator({self.engine!r}, flip_test={self.flip_test})"

    def __enter__(self) -> Estimator:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened here."""
        if self._detection is not None:
            self._detection.close()
        if self._owned:
            self.engine.close()

    @property
    def stage_ms(self) -> dict[str, float]:
        """Milliseconds that each step of the calling thread's latest `run` took: detect, crop, network, decode.

        Where crop, network and decoding are one CUDA graph, they are one step, graph; decode is then the wait for the joints.
        """
        return dict(getattr(self._local, "stage_ms", {}))

    def run(self, images: Images, boxes: Any = None, *, color: Color = "rgb") -> Poses:
        """Find the joints of every person in every image.

        All people of all images go through the network together, in batches as large as the model allows; how they are grouped
        makes no difference to the result.

        Args:
            images: uint8 (N, H, W, 3), or a list of N uint8 arrays (H, W, 3) of any sizes. N may be 0. CUDA tensors on the
                engine's device are looked at where they lie; only maps or joints come to the host (docs/gpu.md).
            boxes: where the people are, as x0, y0, x1, y1 in pixels with edges: (0, 0, W, H) is the whole image. None: where the
                detector says; without one, each image is one person. (N, 4): one box for each image; a list of N arrays
                (n_i, 4): any number for each image. Boxes may reach beyond the image, but must not lie wholly outside. They
                should enclose the person tightly: the model adds its own margin. A model that finds everybody takes no boxes.
            color: channel order of the images, ``"rgb"`` or ``"bgr"``.

        Returns:
            The people, image after image in the order of the boxes, in fresh memory: joints in pixels of their image (centres at
            integers), scores in [0, 1]; `image_index` says which image, `boxes` holds the boxes as they were given.
            Of a model that finds everybody: any number for each image, the surest first, with boxes around their joints
            (`posert.geometry.person_boxes`).

        Raises:
            InputError: images or boxes cannot be used; the message names which. Nothing has been run then.
            ExecutionError: the network failed.
        """
        from posert.top_down import Looks, People, find_in_boxes

        color = check_color(color)
        arrays = check_images(images)
        check_place(self.engine, arrays)
        watch = Stopwatch()
        self._local.stage_ms = watch.stage_ms
        if self.finds_everybody:
            return self._find_everybody(arrays, boxes, color, watch)
        if boxes is None and self._detection is not None:
            with watch.step("detect"):
                boxes = self._detection.find(arrays, color)
        given, index = assign_boxes(arrays, boxes)
        manifest = self.engine.manifest
        post, margin = manifest.postprocess, 1.0 if boxes is None else manifest.preprocess.box_scale
        people, looks = People(arrays, given, index, margin, color), Looks(self.flip_test, self.scales, self.rotation_test)
        keypoints, occlusion = find_in_boxes(people, manifest, self._workspace, watch, looks)
        keypoints[..., 2] = calibrated(keypoints[..., 2], *post.calibration)
        keypoints[keypoints[..., 2] < np.array(post.min_score, np.float32)] = (np.nan, np.nan, 0)
        return Poses(keypoints, index, given, manifest.skeleton, occlusion).convert(self.skeleton)

    def warmup(self, batch_sizes: Iterable[int] | None = None, *, image_size: tuple[int, int] | None = None) -> None:
        """Run grey images through all steps for each batch size, so that the first real run is as fast as the next ones.

        On a GPU also images that are tensors, until the CUDA graphs of all steps are captured (docs/gpu.md).

        Args:
            batch_sizes: at least 1 each; None takes the model's own.
            image_size: height and width of the tensors that will come, since a graph is for images of one size; None takes
                that of the network's input.

        Raises:
            InputError: a batch size, a height or a width is not a positive integer.
        """
        image_size = check_image_size(image_size)
        for count in check_batch_sizes(self.engine.manifest.batch_sizes if batch_sizes is None else batch_sizes):
            for grey in grey_images(self.engine, count, image_size):
                if self._detection is not None and not is_tensor(grey):
                    self._detection.warmup(list(grey))
                self.run(grey, None if self.finds_everybody else whole_boxes(grey))

    def _find_everybody(self, images: list[Image], boxes: Any, color: Color, watch: Stopwatch) -> Poses:
        """Find all people of all images."""
        from posert.bottom_up import find_everybody

        manifest = self.engine.manifest
        if boxes is not None:
            raise InputError(
                f"{manifest.name!r} finds everybody in an image and takes no boxes; leave them out, or cut the images"
            )
        looks: Any = {"color": color, "flip_test": self.flip_test, "scales": self.scales}
        poses = find_everybody(images, manifest, self._workspace, watch, **looks)
        poses.keypoints[..., 2] = calibrated(poses.keypoints[..., 2], *manifest.postprocess.calibration)
        return poses.convert(self.skeleton)

    def _workspace(self, count: int, image: Any) -> tuple[Session, Any]:
        """The calling thread's session, and its input buffer for `count` people, beside the image."""
        local, size = self._local, self.engine.manifest.preprocess.size
        if not hasattr(local, "session"):
            local.session = self.engine.session()
        if not isinstance(image, np.ndarray):  # torch keeps the memory itself, in the order of the stream
            return local.session, empty((count, 3, *size), "float32", image)
        if len(getattr(local, "buffer", ())) < count:
            local.buffer = np.empty((count, 3, *size), np.float32)
        return local.session, local.buffer[:count]
