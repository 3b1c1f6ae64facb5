"""Where the motion of a video comes from: another video, a folder with a file for each frame, or one file with all poses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from posert.commands.console import progress
from posert.commands.pictures import read_picture
from posert.commands.transfer_plan import Choices, Models
from posert.commands.transfer_poses import list_poses
from posert.errors import InputError
from posert.formats.pose_files import PoseFile, kind_of, read_pose_file
from posert.media.video import VideoReader, spread
from posert.prefetch import prefetch
from posert.skeleton import Skeleton
from posert.smoothing import TimedPose

RATE = 25.0
"""Frames a second where files do not say."""

FASTEST = 240.0
_AHEAD = 8


class Motion(Protocol):
    """One person's poses, frame after frame.

    Attributes:
        skeleton: of the poses.
        rate: frames a second.
        count: of frames, or None where it is not known.
        sound_of: a video whose sound belongs to them.
    """

    skeleton: Skeleton
    rate: float
    count: int | None
    sound_of: Path | None

    def sample(self, count: int) -> NDArray[np.float32]:
        """Poses of up to `count` frames from all of the motion, (n, K, 3); all joints are missing where nobody is."""

    def poses(self) -> Iterator[TimedPose]:
        """The pose of every frame; all joints are missing where nobody is."""


def open_motion(path: Path, models: Models, choices: Choices) -> Motion:
    """Find out what the motion is to be taken from, and check it.

    Args:
        path: a video, a folder of pictures or of files of poses, or a file of poses of more than one picture.
        models: find the joints in pictures.
        choices: limit, rate and what else is asked for.

    Raises:
        InputError: nothing can be taken from there, or a rate is given for a video, which has its own.
    """
    kind = kind_of(path)
    if kind == "video":
        if choices.rate is not None:
            raise InputError(f"--rate is for poses from files, and the video {str(path)!r} has a rate of its own; leave it out")
        return VideoMotion(path, models, choices)
    rate = RATE if choices.rate is None else choices.rate
    if not 0 < rate <= FASTEST:
        raise InputError(f"--rate must be above 0 and at most {FASTEST:g} frames a second, got {rate:g}")
    if kind == "folder":
        files = list_poses(path)
        kinds = {kind_of(file) for file in files}
        if len(kinds) > 1 or "video" in kinds:
            held = " and ".join(sorted(f"{name}s" for name in kinds))
            raise InputError(
                f"{str(path)!r} holds {held}; for a video, a folder must hold either a picture or a file of poses for each "
                "frame, in the order of their names, and nothing else that poses are read from"
            )
        if "picture" in kinds:
            return PictureMotion(files[: choices.limit], models, rate, choices.max_pixels)
        return FileMotion(_read_frames(files[: choices.limit], models, choices), models.skeleton, rate)
    if kind == "pose file":
        file = read_pose_file(path, check=choices.check_poses)
        if len(file.pictures) > 1:
            return FileMotion(_best(file, models.skeleton)[: choices.limit], models.skeleton, rate)
    raise InputError(f"a video needs the poses of many frames, and {str(path)!r} is a {kind} with one; name a picture with -o")


class VideoMotion:
    """The person of a video, followed through it; see `Motion`."""

    def __init__(self, path: Path, models: Models, choices: Choices) -> None:
        """Check the video.

        Raises:
            InputError: see `posert.media.video.VideoReader`.
            MissingDependency: PyAV is not installed.
        """
        self._reader = VideoReader(path, max_pixels=choices.max_pixels)
        self._models, self._limit = models, choices.limit
        self.skeleton, self.rate = models.finder.skeleton, self._reader.rate
        self.sound_of: Path | None = path
        known = self._reader.count
        self.count: int | None = known if choices.limit is None else min(choices.limit, known or choices.limit)

    def sample(self, count: int) -> NDArray[np.float32]:
        """See `Motion.sample`."""
        return _alone(self._models, self._reader.sample(count, self._limit))

    def poses(self) -> Iterator[TimedPose]:
        """See `Motion.poses`; frames are decoded in a thread, some frames ahead."""
        tracker = self._models.tracker()
        for frame in prefetch(self._reader.frames(self._limit), _AHEAD):
            yield frame.time, tracker.update(frame.image)


class PictureMotion:
    """The person of a row of pictures, one for each frame; see `Motion`."""

    sound_of: Path | None = None

    def __init__(self, files: Sequence[Path], models: Models, rate: float, max_pixels: float) -> None:
        """Keep the names: pictures are read when their turn comes."""
        self._files, self._models, self._max_pixels = files, models, max_pixels
        self.skeleton, self.rate = models.finder.skeleton, rate
        self.count: int | None = len(files)

    def sample(self, count: int) -> NDArray[np.float32]:
        """See `Motion.sample`."""
        return _alone(self._models, [self._read(self._files[place]) for place in spread(len(self._files), count)])

    def poses(self) -> Iterator[TimedPose]:
        """See `Motion.poses`."""
        tracker = self._models.tracker()
        for number, image in enumerate(prefetch(map(self._read, self._files), _AHEAD)):
            yield number / self.rate, tracker.update(image)

    def _read(self, file: Path) -> NDArray[np.uint8]:
        return read_picture(file, max_pixels=self._max_pixels)


class FileMotion:
    """Poses that are known already; see `Motion`."""

    sound_of: Path | None = None

    def __init__(self, frames: NDArray[np.float32], skeleton: Skeleton, rate: float) -> None:
        """Keep them.

        Args:
            frames: (F, K, 3).
            skeleton: with K joints.
            rate: frames a second.
        """
        self._frames, self.skeleton, self.rate = frames, skeleton, rate
        self.count: int | None = len(frames)

    def sample(self, count: int) -> NDArray[np.float32]:
        """See `Motion.sample`: all of them, since they cost nothing."""
        return self._frames

    def poses(self) -> Iterator[TimedPose]:
        """See `Motion.poses`."""
        for number, keypoints in enumerate(self._frames):
            yield number / self.rate, keypoints


def _alone(models: Models, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The person of each picture, whoever was in the others."""
    return np.stack([models.tracker().update(image) for image in images])


def _read_frames(files: Sequence[Path], models: Models, choices: Choices) -> NDArray[np.float32]:
    """The best person of each file, (F, K, 3); all are read before any work begins.

    Raises:
        InputError: a file cannot be used, or has the poses of several pictures.
    """
    frames = []
    with progress("files") as bar:
        for file in bar.track(files, description="reading poses"):
            read = read_pose_file(file, check=choices.check_poses, empty=True)
            if len(read.pictures) > 1:
                raise InputError(
                    f"{str(file)!r} has the poses of {len(read.pictures)} pictures, where each file is to be a frame; "
                    "name the file itself with --pose if its pictures are the frames"
                )
            frames.append(_best(read, models.skeleton))
    return np.concatenate(frames)


def _best(file: PoseFile, skeleton: Skeleton) -> NDArray[np.float32]:
    """The person with the highest total score of each picture of a file, (pictures, K, 3); joints missing where nobody is."""
    found = np.full((max(len(file.pictures), 1), len(skeleton), 3), (np.nan, np.nan, 0), np.float32)
    people = file.best_people()
    found[file.poses.image_index[people]] = file.poses[people].convert(skeleton).keypoints
    return found
