"""Many people in many poses: the work of one batch, and the record of what was made from what."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.media.files import read_bytes, write_bytes
from posert.paths import path_kind
from posert.transfer import Transfer
from posert.types import Images, Poses

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True, eq=False)
class PairBatch:
    """Sources, and the poses that each is to be drawn in.

    Attributes:
        sources: N pictures, uint8 (H, W, 3) each.
        source_poses: where the people are in them, N `Poses`; or None, where the model's own pipeline is to find them, or the
            pictures are in its proportions.
        targets: M poses with boxes: the box becomes the picture.
        source_index: int64 (M,): the source of each pose.
    """

    sources: Images
    source_poses: Poses | None
    targets: Poses
    source_index: NDArray[np.int64]


def draw_pairs(transfer: Transfer, batch: PairBatch) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw a batch. The result depends on the arguments alone, so batches may be drawn anywhere, in any order, more than once.

    Args:
        transfer: the model.
        batch: what to draw. What depends on a source alone is done once for all of its poses.

    Returns:
        The pictures, uint8 (M, h, w, 3), RGB, of the model's size; and the boxes, float32 (N, 4), of what it saw of the sources,
        x0, y0, x1, y1 in pixels.

    Raises:
        InputError: the batch cannot be used.
        ExecutionError: the network failed.
    """
    prepared = transfer.prepare(batch.sources, batch.source_poses)
    return prepared.run(batch.targets, batch.source_index).images, prepared.boxes


@dataclass(frozen=True)
class Made:
    """One line of a manifest: a picture, and what it was made from.

    Attributes:
        file: name of the picture in the folder.
        source: path of the source picture.
        pose: path of the file that the pose is from.
        person: which person of that file: the name of its picture, or of the frame, with a number where there are several.
        source_box: the part of the source that the network saw, x0, y0, x1, y1 in pixels.
        pose_box: what part of the pose's picture became the result, likewise.
        settings: what else decides about the result: models with the SHA-256 of their files.
    """

    file: str
    source: str
    pose: str
    person: str
    source_box: list[float]
    pose_box: list[float]
    settings: dict[str, str]


class PairManifest:
    """The file ``manifest.jsonl`` of a folder: one JSON object a line, appended when its picture is there.

    Attributes:
        made: what is listed, by the picture's name.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        """Read what is there; a last line that was cut off in the middle is dropped.

        Args:
            folder: that holds the manifest, or will.
            fresh: forget what is listed.

        Raises:
            InputError: a line is not one of a manifest; the message says which.
        """
        self.path = folder / MANIFEST
        self.made: dict[str, Made] = {}
        if path_kind(self.path) is None:
            return
        data = b"" if fresh else read_bytes(self.path)
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                made = Made(**json.loads(line))
                self.made[made.file] = made
            except (TypeError, ValueError, RecursionError) as error:
                raise InputError(
                    f"{str(self.path)!r}, line {number} is not what posert writes ({error}); repair it, or use another folder"
                ) from error
        if fresh or len(whole) != len(data):
            write_bytes(self.path, whole)

    def check(self, planned: Iterable[tuple[str, str, str, str]], settings: dict[str, str]) -> None:
        """Refuse to go on with other work than what is listed.

        Args:
            planned: file, source, pose and person of all pictures that are to be made.
            settings: of all of them.

        Raises:
            InputError: a listed picture was made from something else, or with other settings; the message says what differs.
        """
        way_out = "use --redo to make all of them anew, or another folder"
        for file, source, pose, person in planned:
            made = self.made.get(file)
            if made is None:
                continue
            for name, now, then in (("source", source, made.source), ("pose", pose, made.pose), ("person", person, made.person)):
                if now != then:
                    raise InputError(f"{file!r} in {str(self.path)!r} was made from {name} {then!r}, not {now!r}; {way_out}")
            for name in sorted(settings.keys() | made.settings.keys()):
                now, then = settings.get(name, "none"), made.settings.get(name, "none")
                if now != then:
                    raise InputError(f"{file!r} in {str(self.path)!r} was made with {name} {then}, not {now}; {way_out}")

    def append(self, made: Sequence[Made]) -> None:
        """List pictures that are there now; they are listed for good when this returns.

        Raises:
            InputError: the file cannot be written.
        """
        lines = "".join(json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in made)
        try:
            with open(self.path, "ab") as file:
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"cannot write {str(self.path)!r}: {error.strerror or error}") from error
        self.made.update({entry.file: entry for entry in made})


def rounded(box: NDArray[Any]) -> list[float]:
    """A box for a manifest, to thousandths of a pixel."""
    return [round(float(value), 3) for value in box]
