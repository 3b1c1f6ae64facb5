"""`posert transfer`: a person, re-drawn in the pose of another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posert.commands.console import DEFAULT_MAX_PIXELS, Backend, Device, MaxPixels, say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from posert.types import Image, Poses, TransferResult

GRID_HEIGHT = 384
"""Height in pixels of the pictures in a grid."""


def run(
    source: Annotated[Path, typer.Option(metavar="IMAGE", help="A picture of the person to be re-drawn.")],
    pose: Annotated[
        Path, typer.Option(metavar="IMAGE|FILE.json", help="The pose: a picture of one person, or COCO or OpenPose JSON.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The picture to write: .png, .jpg, .webp or .bmp.")
    ],
    model: Annotated[str, typer.Option(metavar="NAME|FILE", help="A transfer model; see 'posert models'.")] = "pg2-s",
    estimator: Annotated[str, typer.Option(metavar="NAME|FILE", help="The model that finds the poses.")] = "cpm-s",
    grid: Annotated[
        bool, typer.Option("--grid", help="Write source, pose, first stage and result side by side, enlarged.")
    ] = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    backend: Backend = None,
    device: Device = None,
) -> None:
    """Re-draw the person of one picture in the pose of another.

    \b
    From a picture:  posert transfer --source me.jpg --pose you.jpg -o new.png
    From a file:     posert transfer --source me.jpg --pose you.json -o new.png
    Every step:      posert transfer --source me.jpg --pose you.jpg --grid -o all.png

    The result has the size that the model draws at. Of several people in a
    JSON file, the one with the highest total score is taken.
    """
    from posert.commands.pictures import read_picture
    from posert.media.files import check_writable
    from posert.media.images import check_image_name, write_image

    check_image_name(output)
    check_writable(output)
    picture = read_picture(source, max_pixels=max_pixels)
    pose_picture = None if pose.suffix.lower() == ".json" else read_picture(pose, max_pixels=max_pixels)

    from posert.commands.people import require_people
    from posert.estimator import Estimator
    from posert.people import find_people
    from posert.transfer import Transfer, odd_images

    finder = Estimator(estimator, backend=backend, device=device)
    transfer = Transfer(model, estimator=finder, backend=backend, device=device)
    target = _read_pose(pose) if pose_picture is None else require_people(find_people(finder, [pose_picture]), [str(pose)])
    source_pose = None
    if odd_images([picture], transfer.engine.manifest.preprocess.size):
        source_pose = require_people(find_people(finder, [picture]), [str(source)])
    prepared = transfer.prepare([picture], source_pose)
    result = prepared.run(target)
    drawn = result.images[0]
    height, width = drawn.shape[:2]
    write_image(output, _side_by_side((picture, prepared.boxes), (pose_picture, target), result) if grid else drawn)
    say(f"wrote {output}" + ("" if grid else f" ({width} x {height} pixels)"))


def _read_pose(path: Path) -> Poses:
    """The best person of a JSON file, framed by a box around the joints."""
    from posert.formats import best_person, read_poses
    from posert.geometry import person_boxes
    from posert.types import Poses

    person = best_person(read_poses(path))
    return Poses(person.keypoints, [0], person_boxes(person.keypoints), person.skeleton)  # type: ignore[arg-type]


def _side_by_side(source: tuple[Image, NDArray[np.float32]], target: tuple[Image | None, Poses], result: TransferResult) -> Image:
    from posert.commands.figures import drawn_figure, figure
    from posert.draw import picture_grid

    height, width = result.images.shape[1:3]
    size = GRID_HEIGHT, round(GRID_HEIGHT * width / height)
    cells = {"source": figure(*source, size), "pose": drawn_figure(*target, size)}
    if result.coarse is not None:
        cells["first stage"] = result.coarse[0]
    cells["result"] = result.images[0]
    return picture_grid([list(cells.values())], size, columns=list(cells))
