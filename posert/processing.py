"""What happens before and after a network, as a bundle's manifest says it (docs/bundle.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from posert.fields import check_count, check_list, check_number, check_object, check_text, refuse

LARGEST_SIDE = 1 << 16
"""Most pixels a side of a network's input or output."""

_METHODS = ("argmax", "quarter", "softargmax", "upsampled")


@dataclass(frozen=True)
class Preprocess:
    """How an image becomes a network's input.

    Attributes:
        size: height and width in pixels.
        mean: subtracted from a value of 0..255, one a channel, in the network's channel order.
        scale: multiplied with the difference, one a channel.
        channels: the network's channel order.
        fill: value of 0..255 of what lies outside the image, or None: the border is repeated.
        box_scale: how much a person's box is enlarged about its centre (estimation).
        radius: of the discs that the pose is drawn with, in network pixels (transfer).
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    channels: Literal["rgb", "bgr"]
    fill: float | None = None
    box_scale: float = 1.0
    radius: int = 4

    @classmethod
    def parse(cls, value: Any, task: str) -> Preprocess:
        """Check `preprocess`."""
        extra = ("fill", "box_scale") if task == "estimation" else ("fill", "radius")
        entry = check_object(value, "preprocess", ("size", "mean", "scale", "channels"), extra)
        size = check_list(entry["size"], "preprocess.size", 2, 2)
        height, width = (check_count(side, "preprocess.size", 1, LARGEST_SIDE) for side in size)
        channels: Any = check_text(entry["channels"], "preprocess.channels", choices=("rgb", "bgr"))
        mean, scale = (_three(entry[key], f"preprocess.{key}") for key in ("mean", "scale"))
        if 0 in scale:
            refuse("preprocess.scale", "numbers other than 0", entry["scale"])
        fill = None if entry.get("fill") is None else check_number(entry["fill"], "preprocess.fill", 0, 255)
        box_scale = check_number(entry.get("box_scale", 1.0), "preprocess.box_scale", 0.1, 10)
        radius = check_count(entry.get("radius", 4), "preprocess.radius", 0, 1024)
        return cls((height, width), mean, scale, channels, fill, box_scale, radius)


@dataclass(frozen=True)
class Decoding:
    """How heatmaps and part affinity fields become people (specs paf, K12 to K14); the defaults are OpenPose's.

    Attributes:
        decoder: ``"openpose"``, or ``"cvpr17"``: peaks as `posert.separate_peaks` has them, ten samples a limb and no exception
            for short ones, as in the paper's own code.
        threshold: smallest value of a joint's peak, exclusive.
        sample_threshold: smallest component of the field along a limb where a sample of it is accepted, exclusive.
        accepted_fraction: share of accepted samples that a limb needs, exclusive.
        length_limit: share of the input's height beyond which a limb loses score, as in the paper's own code, or None.
        min_joints: smallest number of joints of a person.
        min_person_score: smallest sum of a person's joint and limb scores, for each joint.
    """

    decoder: str = "openpose"
    threshold: float = 0.05
    sample_threshold: float = 0.05
    accepted_fraction: float = 0.95
    length_limit: float | None = None
    min_joints: int = 3
    min_person_score: float = 0.4

    @classmethod
    def parse(cls, entry: dict[str, Any]) -> Decoding:
        """Check the keys of `postprocess` that belong to it; what is left out is as the decoder has it."""
        usual = DECODERS[check_text(entry.get("decoder", cls.decoder), "postprocess.decoder", choices=tuple(DECODERS))]
        threshold = check_number(entry.get("threshold", usual.threshold), "postprocess.threshold", 1e-6, 1)
        sample = check_number(entry.get("sample_threshold", usual.sample_threshold), "postprocess.sample_threshold", -1, 1)
        fraction = check_number(entry.get("accepted_fraction", usual.accepted_fraction), "postprocess.accepted_fraction", 0, 1)
        limit = entry.get("length_limit", usual.length_limit)
        if limit is not None:
            limit = check_number(limit, "postprocess.length_limit", 0.01, 100)
        joints = check_count(entry.get("min_joints", usual.min_joints), "postprocess.min_joints", 1, 1024)
        score = check_number(entry.get("min_person_score", usual.min_person_score), "postprocess.min_person_score", 0, 100)
        return cls(usual.decoder, threshold, sample, fraction, limit, joints, score)


DECODERS = {
    "openpose": Decoding(),
    "cvpr17": Decoding("cvpr17", threshold=0.1, accepted_fraction=0.8, length_limit=0.5, min_person_score=0.2),
}
"""What each decoder's authors use."""


@dataclass(frozen=True)
class Postprocess:
    """How a network's output becomes a result.

    Attributes:
        stride: network pixels a heatmap cell (estimation).
        method: how one person's joints are read from heatmaps, a method of `posert.ops.decode_heatmaps` (estimation).
        calibration: slope and intercept of `posert.scores.calibrated`, which turns heights of peaks into scores (estimation).
        min_score: of each joint of the skeleton, the score below which it is missing (estimation of one person).
        decoding: how everybody's joints are read from heatmaps and fields (estimation of paf).
        mask_radius, mask_closing: of the pose mask, in network pixels (transfer of pg2, specs K2).
        part_power: of `posert.ops.part_masks` (transfer of unseen).
    """

    stride: int = 8
    method: str = "quarter"
    calibration: tuple[float, float] = (1.0, 0.0)
    min_score: tuple[float, ...] = ()
    decoding: Decoding = Decoding()
    mask_radius: int = 4
    mask_closing: int = 5
    part_power: int = 1

    @classmethod
    def parse(cls, value: Any, paper: str, joints: tuple[str, ...]) -> Postprocess:
        """Check `postprocess` of a paper's model with these joints."""
        if paper == "paf":
            options = ["calibration", *(option.name for option in fields(Decoding))]
            entry = check_object(value, "postprocess", ("stride",), options)
            stride = check_count(entry["stride"], "postprocess.stride", 1, 64)
            return cls(stride, calibration=_calibration(entry), decoding=Decoding.parse(entry))
        if paper == "unseen":
            entry = check_object(value, "postprocess", (), ("part_power",))
            return cls(part_power=check_count(entry.get("part_power", 1), "postprocess.part_power", 1, 16))
        if paper != "pg2":
            entry = check_object(value, "postprocess", ("stride", "method"), ("calibration", "min_score"))
            stride = check_count(entry["stride"], "postprocess.stride", 1, 64)
            method = check_text(entry["method"], "postprocess.method", choices=_METHODS)
            return cls(stride, method, _calibration(entry), _of_each_joint(entry.get("min_score", 0.0), joints))
        entry = check_object(value, "postprocess", ("mask_radius", "mask_closing"))
        closing = check_count(entry["mask_closing"], "postprocess.mask_closing", 1, 255)
        if closing % 2 == 0:
            refuse("postprocess.mask_closing", "an odd number", closing)
        return cls(mask_radius=check_count(entry["mask_radius"], "postprocess.mask_radius", 0, 1024), mask_closing=closing)


def _calibration(entry: dict[str, Any]) -> tuple[float, float]:
    """Slope and intercept; without any, scores stay as they are."""
    listed = check_list(entry.get("calibration", [1.0, 0.0]), "postprocess.calibration", 2, 2)
    slope, intercept = (check_number(v, "postprocess.calibration", -100, 100) for v in listed)
    if slope <= 0:
        refuse("postprocess.calibration[0]", "a slope above 0", slope)
    return slope, intercept


def _of_each_joint(value: Any, joints: tuple[str, ...]) -> tuple[float, ...]:
    """A number for all joints, or an object with those of some; the others' is 0."""
    where = "postprocess.min_score"
    if not isinstance(value, dict):
        return (check_number(value, where, 0, 1),) * len(joints)
    entry = check_object(value, where, (), joints)
    return tuple(check_number(entry.get(joint, 0.0), f"{where}.{joint}", 0, 1) for joint in joints)


def _three(value: Any, where: str) -> tuple[float, float, float]:
    values = value if isinstance(value, list) else [value] * 3
    a, b, c = (check_number(v, where) for v in check_list(values, where, 3, 3))
    return a, b, c
