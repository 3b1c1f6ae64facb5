"""`posert transfer` into a video: a person, re-drawn in the motion of another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from posert.commands.console import progress, say
from posert.commands.motion import open_motion
from posert.commands.people import require_people
from posert.commands.pictures import read_picture
from posert.commands.transfer_plan import Choices, open_models
from posert.draw import draw_poses
from posert.errors import InputError
from posert.flicker import Flicker
from posert.media.files import check_writable
from posert.media.video_writer import VideoWriter, check_video_name
from posert.prefetch import prefetch
from posert.reenactment import Drawn, Reenactment
from posert.skeleton import Skeleton
from posert.smoothing import TimedPose, check_strength, fill_gaps, smooth
from posert.types import Image, Poses

LARGEST_SIDE = 1920
"""In pixels: a larger source picture is scaled down, so that what plays videos can play the result."""

GRID_HEIGHT = 512
BATCH = 8
MEASURED = 16
"""Frames, spread over the video, by which the driver is measured before it is followed."""


def run(source: Path, driver: Path, output: Path, choices: Choices) -> None:
    """Write a video of the person of a picture in the motion of the person of a video, or of files of poses.

    Frames are read, looked at, drawn and written one after the other, in threads that are at most some frames apart, so memory
    does not depend on the length of the video.
    """
    if choices.explain is not None:
        raise InputError("--explain is for one pose; name a picture with -o, and a pose that is not a video")
    check_video_name(output)
    check_writable(output)
    check_strength(choices.smoothing)
    picture = _scaled(read_picture(source, max_pixels=choices.max_pixels))
    models = open_models(choices, picture)
    motion = open_motion(driver, models, choices)
    source_pose = require_people(models.find([picture]), [str(source)])
    poses = Poses(motion.sample(MEASURED), None, None, motion.skeleton)  # type: ignore[arg-type]
    if not (poses.keypoints[..., 2] > 0).any():
        raise InputError(f"no person was found in {len(poses)} frames of {str(driver)!r}; poses of one person are needed")
    reenactment = Reenactment(models.transfer, picture, source_pose, poses, bones=choices.retarget, paste=choices.paste)
    shown, flicker = _Shown(picture, reenactment, motion.skeleton, choices.grid), Flicker()
    steady = smooth(fill_gaps(motion.poses()), choices.smoothing)
    with (
        VideoWriter(output, shown.size, motion.rate, sound_of=motion.sound_of) as writer,
        progress("frames") as bar,
        closing(prefetch(steady, 2 * BATCH)) as ahead,
    ):
        task = bar.add_task("re-drawing", total=motion.count)
        for batch in _batches(ahead):
            for (time, _), image in zip(batch, shown.draw(batch, flicker), strict=True):
                writer.write(image, time)
                bar.advance(task)
        if shown.kept == shown.count:
            raise InputError(f"no person was found in any of the {shown.count} frames of {str(driver)!r}")
    _report(output, shown, flicker, writer.sound)


def _report(output: Path, shown: _Shown, flicker: Flicker, sound: str) -> None:
    height, width = shown.size
    say(f"wrote {output} ({shown.count} frames of {width} x {height} pixels, sound: {sound})")
    if shown.kept:
        say(f"nobody was found in {shown.kept} of {shown.count} frames: the picture before was kept")
    say(f"flicker {flicker.mean:.2f} grey levels (what the poses' motion does not explain between frames, mean absolute)")


@dataclass
class _Shown:
    """The frames of the result: what is drawn, or what was drawn last where nobody was found.

    Attributes:
        count: frames so far.
        kept: of these, how many repeat the one before, or show the source where there is none.
    """

    picture: Image
    reenactment: Reenactment
    skeleton: Skeleton
    grid: bool
    count: int = 0
    kept: int = 0

    def __post_init__(self) -> None:
        height, width = self.reenactment.size
        first = self.picture if self.picture.shape[:2] == (height, width) else self.reenactment.window.cut((height, width))
        self._last = self._side_by_side(first, None, 0) if self.grid else first
        self.size: tuple[int, int] = self._last.shape[:2]

    def draw(self, batch: list[TimedPose], flicker: Flicker) -> Iterator[Image]:
        """One image for each pose, in their order."""
        present = [number for number, (_, keypoints) in enumerate(batch) if (keypoints[:, 2] > 0).sum() > 1]
        drawn: Drawn | None = None
        if present:
            keypoints = np.stack([batch[number][1] for number in present])
            drawn = self.reenactment.draw(Poses(keypoints, None, None, self.skeleton))  # type: ignore[arg-type]
        at = dict(zip(present, range(len(present)), strict=True))
        for number in range(len(batch)):
            self.count += 1
            if drawn is None or number not in at:
                self.kept += 1
            else:
                place = at[number]
                flicker.add(drawn.pictures[place], drawn.targets[place])
                image = drawn.images[place]
                self._last = self._side_by_side(image, drawn, place) if self.grid else image
            yield self._last

    def _side_by_side(self, image: Image, drawn: Drawn | None, place: int) -> Image:
        """The source's window, the pose and the result, equally high."""
        height, width = self.reenactment.network_size
        size = GRID_HEIGHT, round(GRID_HEIGHT * width / height)
        pose = np.full((*size, 3), 255, np.uint8)
        if drawn is not None:
            scale = size[0] / height
            points = drawn.targets[place : place + 1].copy()
            points[..., :2] = (points[..., :2] + 0.5) * scale - 0.5
            pose = draw_poses(pose, Poses(points, [0], None, self.reenactment.skeleton))  # type: ignore[arg-type]
        scaled = round(image.shape[1] * GRID_HEIGHT / image.shape[0]), GRID_HEIGHT
        parts = [self.reenactment.window.cut(size), pose, np.asarray(cv2.resize(image, scaled, interpolation=cv2.INTER_AREA))]
        return np.concatenate(parts, axis=1, dtype=np.uint8)


def _batches(poses: Iterator[TimedPose]) -> Iterator[list[TimedPose]]:
    while batch := list(islice(poses, BATCH)):
        yield batch


def _scaled(picture: Image) -> Image:
    """A picture that is no larger than a video should be."""
    scale = LARGEST_SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
