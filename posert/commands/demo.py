"""`posert demo`: both pipelines on embedded pictures, in one command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from posert.commands.console import DEFAULT_MAX_PIXELS, Backend, Device, TrustPlans, print_table, progress, say

if TYPE_CHECKING:
    from posert.types import Image, Poses, TransferResult

EXAMPLES = Path(__file__).parent.parent / "examples"
GRID = "transfer.png"
HEIGHT = 192
"""Of the pictures in the grid, in pixels; they are as wide as the model's proportions want."""


def run(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FOLDER", help="Where the pictures go.")] = Path(
        "posert-demo"
    ),
    model: Annotated[str, typer.Option(metavar="NAME|FILE", help="A transfer model.")] = "unseen-s",
    estimator: Annotated[str, typer.Option(metavar="NAME|FILE", help="An estimation model.")] = "cpm-s",
    backend: Backend = None,
    device: Device = None,
    trust_plans: TrustPlans = False,
) -> None:
    """Find the joints of eight example people, and re-draw four of them in the poses of the other four.

    \b
    Pictures into ./posert-demo:  posert demo
    Pictures elsewhere:           posert demo -o pictures
    The other model:              posert demo --model pg2-s
    """
    from posert.commands.people import require_people
    from posert.commands.pictures import read_picture
    from posert.estimator import Estimator
    from posert.media.files import check_folder_writable, staged_folder
    from posert.media.images import list_images
    from posert.people import find_people
    from posert.transfer import Transfer

    check_folder_writable(output)
    paths = list_images(EXAMPLES)
    images = [read_picture(path, max_pixels=DEFAULT_MAX_PIXELS) for path in paths]
    names = [path.stem for path in paths]
    times: list[tuple[str, int, float]] = []
    with progress() as bar:
        task = bar.add_task("loading the models", total=4)
        start = time.perf_counter()
        where: dict[str, Any] = {"backend": backend, "device": device, "trust_plans": trust_plans}
        finder = Estimator(estimator, **where)
        transfer = Transfer(model, estimator=finder, **where)
        times.append(("load the models", 2, time.perf_counter() - start))
        bar.update(task, advance=1, description="finding joints")
        start = time.perf_counter()
        poses = require_people(find_people(finder, images), names)
        times.append(("find a person and their joints", len(images), time.perf_counter() - start))
        bar.update(task, advance=1, description="re-drawing")
        sources = [i for i, name in enumerate(names) if name.startswith("source-")]
        targets = [i for i, name in enumerate(names) if name.startswith("pose-")]
        start = time.perf_counter()
        prepared = transfer.prepare([images[s] for s in sources], poses[sources])
        target = poses[targets * len(sources)]
        result = prepared.run(target, np.repeat(np.arange(len(sources)), len(targets)))
        times.append(("re-draw a person in a pose", len(target), time.perf_counter() - start))
        bar.update(task, advance=1, description="writing")
        with staged_folder(output) as folder:
            written = _write(folder, (names, images, poses), (sources, targets, prepared.boxes), result)
    rows = [(what, str(count), f"{seconds:.2f} s", f"{1000 * seconds / count:.1f} ms") for what, count, seconds in times]
    print_table("", ("step", "times", "together", "each"), rows)
    say(f"The grid: {(output / GRID).resolve()}\nSkeletons and joints beside it: {', '.join(written)}")


def _write(
    folder: Path,
    found: tuple[list[str], list[Image], Poses],
    grid: tuple[list[int], list[int], NDArray[np.float32]],
    result: TransferResult,
) -> list[str]:
    """Write the grid, the skeletons and the joints; returns the names of what lies beside the grid."""
    import cv2

    from posert.commands.figures import drawn_figure, figure
    from posert.draw import draw_poses, picture_grid
    from posert.formats import ImageInfo, coco_document, write_json
    from posert.media.images import write_image
    from posert.types import Poses

    names, images, poses = found
    sources, targets, boxes = grid
    cell = HEIGHT, round(HEIGHT * result.images.shape[2] / result.images.shape[1])
    for name, image, person in zip(names, images, poses, strict=True):
        twice = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        keypoints = person.keypoints.copy()
        keypoints[..., :2] = 2 * keypoints[..., :2] + 0.5  # pixel centres are at integers
        write_image(folder / f"{name}.png", draw_poses(twice, Poses(keypoints, person.image_index, None, person.skeleton)))  # type: ignore[arg-type]
    write_json(
        folder / "poses.json",
        coco_document(poses, [ImageInfo(f"{n}.jpg", *i.shape[1::-1]) for n, i in zip(names, images, strict=True)]),
    )
    rows: list[list[Image | None]] = [[None, *(drawn_figure(images[t], poses[t], cell) for t in targets)]]
    for row, s in enumerate(sources):
        drawn = result.images[row * len(targets) : (row + 1) * len(targets)]
        rows.append([figure(images[s], boxes[row : row + 1], cell), *drawn])
    columns = ["", *(names[t].replace("pose-", "pose: ") for t in targets)]
    captions = ["", *(names[s].replace("source-", "source: ") for s in sources)]
    write_image(folder / GRID, picture_grid(rows, cell, columns=columns, rows=captions))
    return [*(f"{name}.png" for name in names), "poses.json"]
