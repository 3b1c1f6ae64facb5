"""All poses of a folder or file, for `posert transfer` into a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posert.commands.console import progress
from posert.commands.pictures import read_picture
from posert.commands.transfer_plan import Choices, Models
from posert.errors import BackendError, InputError
from posert.formats import read_pose_file
from posert.formats.pose_files import POSE_FILES, VIDEOS, kind_of
from posert.geometry import check_boxes, person_boxes
from posert.images import whole_boxes
from posert.media.images import READABLE
from posert.media.video import VideoReader
from posert.paths import path_kind
from posert.transfer import odd_images
from posert.types import Poses


@dataclass(frozen=True)
class Problem:
    """An input that could not be used, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        name = str(self.path)
        return self.reason if name in self.reason else f"{name}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Wanted:
    """One pose to draw.

    Attributes:
        file: that it is from.
        person: which of that file.
        keypoints: float32 (K, 3), in the transfer model's skeleton.
        box: float32 (4,): x0, y0, x1, y1, what becomes the picture.
    """

    file: Path
    person: str
    keypoints: NDArray[np.float32]
    box: NDArray[np.float32]


def list_poses(path: Path) -> list[Path]:
    """The files of a folder that poses can be taken from, in the order of their names; or the file itself.

    Raises:
        InputError: there is no such file or folder, or it holds none.
    """
    if kind_of(path) != "folder":
        return [path]
    endings = (*READABLE, *VIDEOS, *POSE_FILES)
    found = [p for p in sorted(path.iterdir()) if p.suffix.lower() in endings and not p.name.startswith(".")]
    found = [p for p in found if path_kind(p) == "file"]
    if not found:
        raise InputError(f"the folder {str(path)!r} holds nothing that poses are read from ({', '.join(endings)})")
    return found


def read_targets(files: Sequence[Path], models: Models, choices: Choices, problems: list[Problem]) -> list[Wanted]:
    """All poses of the files, in their order, up to the limit; files that cannot be used are added to the problems."""
    wanted: list[Wanted] = []
    with progress("files") as bar:
        task = bar.add_task("reading poses", total=len(files), visible=len(files) > 1)
        for file in files:
            rest = None if choices.limit is None else choices.limit - len(wanted)
            if rest == 0:
                break
            try:
                wanted.extend(islice(_read(file, models, choices, rest), rest))
            except (InputError, BackendError) as error:  # also a package that reading this file needs
                problems.append(Problem(file, str(error)))
            bar.advance(task)
    return wanted


def _read(file: Path, models: Models, choices: Choices, limit: int | None) -> Iterator[Wanted]:
    kind, skeleton = kind_of(file), models.skeleton
    if kind == "pose file":
        found = read_pose_file(file, check=choices.check_poses)
        for person in found.best_people():
            name = found.pictures[int(found.poses.image_index[person])]
            yield from _framed(file, name, found.poses[person].convert(skeleton), None)
    elif kind == "picture":
        picture = read_picture(file, max_pixels=choices.max_pixels)
        poses = models.find([picture]).convert(skeleton)
        if not (poses.keypoints[..., 2] > 0).any():
            raise InputError(f"no person was found in {str(file)!r}; use a picture of one person")
        # A picture in the network's proportions is taken whole, as a source is.
        whole = not odd_images([picture], models.transfer.engine.manifest.preprocess.size)
        yield from _framed(file, file.stem, poses, whole_boxes([picture])[0] if whole else None)
    else:
        reader, tracker = VideoReader(file, max_pixels=choices.max_pixels), models.tracker()
        people = 0
        for number, frame in enumerate(reader.frames(limit)):
            pose = Poses(tracker.update(frame.image)[None], None, None, models.finder.skeleton).convert(skeleton)  # type: ignore[arg-type]
            for target in _framed(file, f"frame {number}", pose, None):
                people += 1
                yield target
        if not people:
            raise InputError(f"no person was found in any frame of {str(file)!r}; use a video of one person")


def _framed(file: Path, person: str, pose: Poses, box: NDArray[np.float32] | None) -> Iterator[Wanted]:
    """The pose with a box around its joints, unless one is given; nothing where the model's skeleton has none of the joints."""
    if (pose.keypoints[..., 2] > 0).any():
        around = check_boxes(person_boxes(pose.keypoints))[0]  # joints may lie where no picture reaches
        yield Wanted(file, person, pose.keypoints[0], around if box is None else box)
