"""`posert transfer` into a folder: every source in every pose, resumable, with a manifest."""

from __future__ import annotations

import hashlib
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray

from posert.commands.console import progress, say
from posert.commands.pictures import read_picture
from posert.commands.transfer_plan import Choices, Models, open_models
from posert.commands.transfer_poses import Problem, Wanted, list_poses, read_targets
from posert.errors import InputError
from posert.media.files import check_folder_writable
from posert.media.images import list_images, write_image
from posert.pairs import Made, PairBatch, PairManifest, draw_pairs, rounded
from posert.paths import path_kind
from posert.skeleton import Skeleton
from posert.transfer import odd_images
from posert.types import Image, Poses

SOURCES = 8
"""How many sources are in memory at a time."""

POSES = 64
"""How many pictures are drawn before they are written and listed."""


def run(source: Path, pose: Path, output: Path, choices: Choices) -> None:
    """Write every person of `source` in every pose of `pose` into the folder `output`.

    What cannot be used is left out and told at the end, with exit status 1; the rest is made.
    """
    given = {"--grid": choices.grid, "--paste": bool(choices.paste), "--explain": choices.explain is not None}
    given["--rate"] = choices.rate is not None
    if any(given.values()):
        option = next(option for option, there in given.items() if there)
        raise InputError(f"{option} is for a single result; name a picture or a video with -o")
    folders = {os.path.realpath(path) for path in (source, pose)}
    if os.path.realpath(output) in folders:
        raise InputError(f"{str(output)!r} holds what the pictures are made from; write them into another folder")
    check_folder_writable(output)
    sources = list_images(source) if path_kind(source) == "folder" else [source]
    files = list_poses(pose)
    models = open_models(choices, _first_picture(sources, choices))
    settings = _settings(choices, models)
    problems: list[Problem] = []
    wanted = read_targets(files, models, choices, problems)
    if not wanted:
        raise InputError(f"none of the {len(files)} files of poses can be used; the first: {problems[0].reason}")
    output.mkdir(parents=True, exist_ok=True)
    manifest = PairManifest(output, fresh=choices.redo)
    present = {file for file in manifest.made if path_kind(output / file) == "file"}
    work = _Work(models, choices, settings, wanted, _Names(sources, len(wanted)), present, problems)
    manifest.check(work.planned(sources), settings)
    missing = sum(len(work.absent(path)) for path in sources)
    written = 0
    with progress("pictures") as bar:
        task = bar.add_task("re-drawing", total=missing)
        for batch, pairs in work.batches(sources):
            pictures, boxes = draw_pairs(models.transfer, batch)
            made = [work.made(*pair, boxes[number]) for pair, number in zip(pairs, batch.source_index, strict=True)]
            for picture, entry in zip(pictures, made, strict=True):
                write_image(output / entry.file, picture)
            manifest.append(made)
            written += len(made)
            bar.advance(task, len(made))
    say(f"wrote {written} pictures to {output}; {len(sources) * len(wanted) - missing} were there already")
    if problems:
        print(f"{len(problems)} inputs could not be used:", *problems, sep="\n  ", file=sys.stderr)
        raise typer.Exit(1)


def _first_picture(sources: Sequence[Path], choices: Choices) -> Image:
    """The first source that can be read; sources of a folder are taken to be alike.

    Raises:
        InputError: none can be read; the reason is the first one's.
    """
    reasons = []
    for path in sources:
        try:
            return read_picture(path, max_pixels=choices.max_pixels)
        except InputError as error:
            reasons.append(error)
    raise reasons[0]


def _settings(choices: Choices, models: Models) -> dict[str, str]:
    """What decides about the pictures besides source and pose."""
    engines = {"model": models.transfer.engine, "estimator": models.finder.engine}
    if models.detector is not None:
        engines["detector"] = models.detector.engine
    return {
        name: f"{engine.manifest.name} sha256:{hashlib.sha256(engine.path.read_bytes()).hexdigest()}"
        for name, engine in engines.items()
    }


class _Names:
    """File names: 0002_c1s1_000451_03_pose007.jpg, so that what reads Market-1501 reads them."""

    def __init__(self, sources: Sequence[Path], poses: int) -> None:
        self._stems = Counter(path.stem for path in sources)
        self._digits = max(3, len(str(poses - 1)))

    def of(self, source: Path, pose: int) -> str:
        """The name of one result; a.jpg and a.png do not share one."""
        return f"{source.stem if self._stems[source.stem] == 1 else source.name}_pose{pose:0{self._digits}}.jpg"


@dataclass(frozen=True, eq=False)
class _Work:
    """What is to be made.

    Attributes:
        names: of the results.
        present: of these, what is there already.
        problems: sources that cannot be used are added.
    """

    models: Models
    choices: Choices
    settings: dict[str, str]
    wanted: Sequence[Wanted]
    names: _Names
    present: set[str]
    problems: list[Problem]

    def planned(self, sources: Sequence[Path]) -> Iterator[tuple[str, str, str, str]]:
        """Name, source, file of the pose and person of every result."""
        for path in sources:
            for j, wanted in enumerate(self.wanted):
                yield self.names.of(path, j), str(path), str(wanted.file), wanted.person

    def absent(self, source: Path) -> list[int]:
        """The poses in which a source is still to be drawn."""
        return [j for j in range(len(self.wanted)) if self.names.of(source, j) not in self.present]

    def batches(self, sources: Sequence[Path]) -> Iterator[tuple[PairBatch, list[tuple[Path, int]]]]:
        """Batches, each with the source's path and the pose's number of its pictures."""
        paths = [path for path in sources if self.absent(path)]
        for start in range(0, len(paths), SOURCES):
            read = [source for path in paths[start : start + SOURCES] if (source := self._read(path)) is not None]
            for alike in ([s for s in read if s.pose is None], [s for s in read if s.pose is not None]):
                yield from self._of(alike)

    def made(self, source: Path, pose: int, seen: NDArray[np.float32]) -> Made:
        """The manifest's entry of a picture, of whose source this box was seen."""
        wanted, file = self.wanted[pose], self.names.of(source, pose)
        return Made(file, str(source), str(wanted.file), wanted.person, rounded(seen), rounded(wanted.box), self.settings)

    def _of(self, sources: list[_Source]) -> Iterator[tuple[PairBatch, list[tuple[Path, int]]]]:
        """The batches of sources that all have a pose, or all have none."""
        pairs = [(number, j) for number, source in enumerate(sources) for j in self.absent(source.path)]
        for start in range(0, len(pairs), POSES):
            part = pairs[start : start + POSES]
            used = sorted({number for number, _ in part})
            keypoints = [pose.keypoints for number in used if (pose := sources[number].pose) is not None]
            poses = _poses(np.concatenate(keypoints), None, self.models.finder.skeleton) if keypoints else None
            boxes = np.stack([self.wanted[j].box for _, j in part])
            skeleton = self.models.skeleton
            targets = _poses(np.stack([self.wanted[j].keypoints for _, j in part]), boxes, skeleton)
            index = np.array([used.index(number) for number, _ in part], np.int64)
            batch = PairBatch([sources[number].image for number in used], poses, targets, index)
            yield batch, [(sources[number].path, j) for number, j in part]

    def _read(self, path: Path) -> _Source | None:
        """A source; None, and a problem more, where it cannot be used."""
        try:
            image = read_picture(path, max_pixels=self.choices.max_pixels)
            transfer = self.models.transfer
            if not transfer.needs_joints and not odd_images([image], transfer.engine.manifest.preprocess.size):
                return _Source(path, image, None)
            pose = self.models.find([image])
            if not (pose.keypoints[..., 2] > 0).any():
                raise InputError(f"no person was found in {str(path)!r}; use a picture of one person")
            return _Source(path, image, pose)
        except InputError as error:
            self.problems.append(Problem(path, str(error)))
            return None


@dataclass(frozen=True, eq=False)
class _Source:
    """A picture, and the person in it where the model needs to know."""

    path: Path
    image: Image
    pose: Poses | None


def _poses(keypoints: NDArray[np.float32], boxes: NDArray[np.float32] | None, skeleton: Skeleton) -> Poses:
    return Poses(keypoints, np.arange(len(keypoints)), boxes, skeleton)
