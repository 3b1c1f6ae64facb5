"""What goes into the pipelines and what comes out: `Poses`, `TransferBatch`, `TransferResult`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.geometry import check_boxes, check_keypoints
from posert.skeleton import Skeleton, convert_keypoints, get_skeleton

Image = NDArray[np.uint8]
Images = NDArray[np.uint8] | Sequence[Image]


@dataclass(frozen=True, eq=False)
class Poses:
    """The joints of P people, with the image that each was found in.

    Attributes:
        keypoints: float32 (P, K, 3): x, y in pixels of the image (x right, y down, pixel centres at integers), score in [0, 1];
            a missing joint is (NaN, NaN, 0).
        image_index: int64 (P,): which image of the batch each person belongs to. Default: 0, 1, ..., P-1.
        boxes: float32 (P, 4): the region each person was looked for in, as x0, y0, x1, y1 in pixels, or None.
        skeleton: which joints these are, by name or as a `posert.Skeleton`.
        occlusion: float32 (P, K) in [0, 1]: how much each joint seems to be there but hidden; NaN where the model cannot say.
            None if it never says so; see `occluded`.

    Raises:
        InputError: shapes disagree, or a value is out of range.
    """

    keypoints: NDArray[np.float32]
    image_index: NDArray[np.int64] = field(default=None)  # type: ignore[arg-type]
    boxes: NDArray[np.float32] | None = None
    skeleton: Skeleton = "coco18"  # type: ignore[assignment]
    occlusion: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        skeleton = get_skeleton(self.skeleton)
        keypoints = check_keypoints(self.keypoints, len(skeleton))
        people = len(keypoints)
        index = np.arange(people) if self.image_index is None else _check_index(self.image_index, people)
        boxes = None if self.boxes is None else check_boxes(self.boxes)
        if boxes is not None and len(boxes) != people:
            raise InputError(f"boxes must be one a person: {people} people, {len(boxes)} boxes")
        occlusion = None if self.occlusion is None else _check_occlusion(self.occlusion, keypoints.shape[:2])
        checked = {"skeleton": skeleton, "keypoints": keypoints, "image_index": index, "boxes": boxes, "occlusion": occlusion}
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, key: Any) -> Poses:
        """Select people by an integer, a slice, a mask or an array of indices; the result is `Poses` again."""
        if isinstance(key, (bool, np.bool_)):
            raise TypeError("select people by numbers, a slice or one bool a person, not by a single bool")
        if isinstance(key, (int, np.integer)):
            if not -len(self) <= key < len(self):
                raise IndexError(f"person {key} of {len(self)}")
            key = slice(key, key + 1 or None)
        boxes = None if self.boxes is None else self.boxes[key]
        occlusion = None if self.occlusion is None else self.occlusion[key]
        return Poses(self.keypoints[key], self.image_index[key], boxes, self.skeleton, occlusion)

    def __iter__(self) -> Iterator[Poses]:
        return (self[person] for person in range(len(self)))

    def convert(self, skeleton: str | Skeleton) -> Poses:
        """The same people with the joints of another skeleton; see `posert.skeleton.convert_keypoints`."""
        target = get_skeleton(skeleton)
        occlusion = None
        if self.occlusion is not None:
            occlusion = np.full((len(self), len(target)), np.nan, np.float32)
            for k, name in enumerate(target.joints):
                if name in self.skeleton.joints:
                    occlusion[:, k] = self.occlusion[:, self.skeleton.joints.index(name)]
        keypoints = convert_keypoints(self.keypoints, self.skeleton, target)
        return Poses(keypoints, self.image_index, self.boxes, target, occlusion)

    @property
    def occluded(self) -> NDArray[np.bool_]:
        """Which joints are hidden, bool (P, K): `occlusion` is above 0.25, where about three in four are.

        All False where the model does not say. (Half the height of the joint's own heatmap, the rule of specs
        adversarial_posenet, section 6, cannot be used on scores, which are calibrated.)
        """
        if self.occlusion is None:
            return np.zeros(self.keypoints.shape[:2], bool)
        return np.nan_to_num(self.occlusion) > 0.25


def _check_occlusion(occlusion: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    array = np.asarray(occlusion, np.float32)
    if array.shape != shape:
        raise InputError(f"occlusion must be one a joint, of shape {shape}; got {array.shape}")
    if ((array < 0) | (array > 1)).any():
        raise InputError(f"occlusion must lie in [0, 1] or be NaN; got values from {np.nanmin(array)} to {np.nanmax(array)}")
    return array


def _check_index(index: Any, people: int) -> NDArray[np.int64]:
    try:
        array = np.asarray(index)
    except ValueError as error:
        raise InputError(f"image_index must be {people} integers >= 0, one a person: {error}") from error
    if array.shape != (people,) or (people and (not np.issubdtype(array.dtype, np.integer) or array.min() < 0)):
        raise InputError(f"image_index must be {people} integers >= 0, one a person; got {array.dtype} of shape {array.shape}")
    return array.astype(np.int64)


@dataclass(frozen=True, eq=False)
class TransferBatch:
    """N people and the pose that each is to be re-drawn in.

    Attributes:
        source: uint8 (N, H, W, 3), or a list of N images (H, W, 3) of any sizes, one person each.
        target: the wanted poses, N of them. `Poses` with `boxes` are framed by those boxes: the box becomes the picture that
            is drawn. `Poses` without boxes, or an array (N, K, 3) in the model's own skeleton, are in pixels of the source
            images.
        source_pose: where the person is in each source image, N `Poses`, in pixels of the source images. It decides what is
            cropped out of an image that does not have the network's proportions; without it an estimator finds the person.

    Raises:
        InputError: the three do not have the same length, or a pose is not one. The images are checked when the batch is run.
    """

    source: Images
    target: Poses | NDArray[np.float32]
    source_pose: Poses | None = None

    def __post_init__(self) -> None:
        target = self.target if isinstance(self.target, Poses) else check_keypoints(self.target)
        object.__setattr__(self, "target", target)
        if self.source_pose is not None and not isinstance(self.source_pose, Poses):
            raise InputError(f"source_pose must be posert.Poses or None, got {type(self.source_pose).__name__}")
        try:
            count = len(self.source)
        except TypeError as error:
            raise InputError(f"source must be a batch or a list of images, got {type(self.source).__name__}") from error
        if len(target) != count:
            raise InputError(f"target must hold one pose for each source image: {count} images, {len(target)} poses")
        if self.source_pose is not None and len(self.source_pose) != count:
            raise InputError(
                f"source_pose must hold one pose for each source image: {count} images, {len(self.source_pose)} poses"
            )

    @classmethod
    def of(cls, batch: TransferBatch | Mapping[str, Any]) -> TransferBatch:
        """The batch itself, or one made from a mapping with the keys source, target and, if wanted, source_pose."""
        if isinstance(batch, cls):
            return batch
        if not isinstance(batch, Mapping):
            raise InputError(f"a batch is a posert.TransferBatch or a dict with its fields, got {type(batch).__name__}")
        known = {"source", "target", "source_pose"}
        if not {"source", "target"} <= batch.keys() <= known:
            raise InputError(
                f"a batch needs the keys source and target (and may have source_pose), got {sorted(map(str, batch))}"
            )
        return cls(**batch)

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, eq=False)
class TransferResult:
    """What `Transfer.run` returns: arrays, or CUDA tensors where the source images were.

    Attributes:
        images: uint8 (N, H, W, 3): the re-posed people, at the network's size.
        coarse: uint8 (N, H, W, 3): the first stage's result, or None where the model has one stage.
        mask: uint8 (N, H, W): 1 where the target pose's body is expected (specs K2).
        stage_ms: milliseconds spent in each step, by name, in the order they ran.
    """

    images: Image
    coarse: Image | None
    mask: Image
    stage_ms: dict[str, float]

    def __len__(self) -> int:
        return len(self.images)
