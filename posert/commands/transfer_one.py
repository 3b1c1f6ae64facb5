"""`posert transfer` for one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from posert.commands.console import say
from posert.commands.figures import drawn_figure, figure
from posert.commands.people import require_people
from posert.commands.pictures import read_picture
from posert.commands.transfer_plan import Choices, open_models
from posert.draw import picture_grid
from posert.formats import best_person, read_pose_file
from posert.formats.pose_files import kind_of
from posert.geometry import person_boxes
from posert.media.files import check_folder_writable, check_writable, staged_folder
from posert.media.images import check_image_name, write_image
from posert.reenactment import Reenactment
from posert.transfer import odd_images
from posert.types import Poses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from posert.types import Image, TransferResult

GRID_HEIGHT = 384
"""Height in pixels of the pictures in a grid."""


def run(source: Path, pose: Path, output: Path, choices: Choices) -> None:
    """Write the person of one picture in one pose."""
    check_image_name(output)
    check_writable(output)
    if choices.explain is not None:
        check_folder_writable(choices.explain)
    picture = read_picture(source, max_pixels=choices.max_pixels)
    pose_pictures = [read_picture(pose, max_pixels=choices.max_pixels)] if kind_of(pose) == "picture" else []
    file = None if pose_pictures else read_pose_file(pose, check=choices.check_poses)
    models = open_models(choices, picture)
    target = require_people(models.find(pose_pictures), [str(pose)]) if file is None else _framed(best_person(file.poses))
    transfer = models.transfer
    odd = bool(odd_images([picture], transfer.engine.manifest.preprocess.size))
    paste = odd if choices.paste is None else choices.paste
    needed = odd or paste or transfer.needs_joints
    source_pose = require_people(models.find([picture]), [str(source)]) if needed else None
    if source_pose is None or choices.grid or not paste:
        prepared, framed = transfer.prepare([picture], source_pose), target
        result = prepared.run(target)
        shown = (pose_pictures[0] if pose_pictures else None, target)
        drawn = _side_by_side((picture, prepared.boxes), shown, result) if choices.grid else result.images[0]
    else:
        reenactment = Reenactment(transfer, picture, source_pose, target, bones=choices.retarget, paste=paste)
        pasted = reenactment.draw(target)
        drawn, prepared = pasted.images[0], reenactment.prepared
        framed = Poses(pasted.targets, target.image_index, None, reenactment.skeleton)
    if choices.explain is not None:
        _explain(choices.explain, prepared.explain(framed))
    write_image(output, drawn)
    seen = "" if file is None else f"; the pose is from {file}"
    say(f"wrote {output} ({drawn.shape[1]} x {drawn.shape[0]} pixels{seen})")


def _explain(folder: Path, steps: dict[str, Image]) -> None:
    """Write what lies between source and result, numbered in its order."""
    with staged_folder(folder) as staged:
        for number, (name, pictures) in enumerate(steps.items(), start=1):
            write_image(staged / f"{number:02}-{name.replace(' ', '-')}.png", pictures[0])
    say(f"wrote {len(steps)} steps to {folder}")


def _framed(person: Poses) -> Poses:
    """A person, framed by a box around the joints."""
    return Poses(person.keypoints, person.image_index, person_boxes(person.keypoints), person.skeleton)


def _side_by_side(source: tuple[Image, NDArray[np.float32]], target: tuple[Image | None, Poses], result: TransferResult) -> Image:
    height, width = result.images.shape[1:3]
    size = GRID_HEIGHT, round(GRID_HEIGHT * width / height)
    cells = {"source": figure(*source, size), "pose": drawn_figure(*target, size)}
    if result.coarse is not None:
        cells["first stage"] = result.coarse[0]
    cells["result"] = result.images[0]
    return picture_grid([list(cells.values())], size, columns=list(cells))
