"""`posert estimate`: pictures in, joints out, as JSON or as drawn skeletons."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from posert.commands.console import (
    DEFAULT_MAX_PIXELS,
    Backend,
    Device,
    FlipTest,
    Json,
    MaxPixels,
    RotationTest,
    Scales,
    TrustPlans,
    print_json,
    progress,
    read_scales,
    say,
)
from posert.errors import InputError
from posert.paths import path_kind

if TYPE_CHECKING:
    from posert.commands.boxes import Boxes
    from posert.estimator import Estimator
    from posert.formats import ImageInfo
    from posert.types import Image, Poses

BATCH = 32
BATCH_PIXELS = 64e6
"""Pictures are read until there are so many, or they have so many pixels; then the network runs."""

_Source = Annotated[Path, typer.Argument(metavar="IMAGE|FOLDER", help="A picture, or a folder of pictures.")]
_Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="PATH", help="NAME.json, NAME.png (or .jpg, .webp), or a folder.")
]
_BOXES = "Where the people are, in pixels; without it one person is looked for in each picture, or everybody with paf-s."
_Boxes = Annotated[str | None, typer.Option(metavar="FILE.json|X0,Y0,X1,Y1", help=_BOXES)]
_Model = Annotated[str, typer.Option(metavar="NAME|FILE", help="An estimation model; see 'posert models'.")]
_KIND = "Kind of JSON; coco unless told otherwise."
_DETECTOR = "A model that finds everybody, such as paf-s: says where the people are that --model looks at."
_Detector = Annotated[str | None, typer.Option(metavar="NAME|FILE", help=_DETECTOR)]
_Kind = Annotated[str | None, typer.Option("--format", metavar="coco|openpose", help=_KIND)]
_SKELETON = "Convert to these joints (coco17, coco18, mpii16, ...); default: the model's own."
_Skeleton = Annotated[str | None, typer.Option(metavar="NAME", help=_SKELETON)]


def run(
    source: _Source,
    output: _Output = None,
    boxes: _Boxes = None,
    model: _Model = "cpm-s",
    detector: _Detector = None,
    kind: _Kind = None,
    skeleton: _Skeleton = None,
    flip_test: FlipTest = False,
    scales: Scales = "1",
    rotation_test: RotationTest = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    backend: Backend = None,
    device: Device = None,
    trust_plans: TrustPlans = False,
    as_json: Json = False,
) -> None:
    """Find people's joints in one picture or in a folder of pictures.

    \b
    Joints, as COCO JSON:     posert estimate me.jpg -o me.json
    A drawn skeleton:         posert estimate me.jpg -o drawn.png
    Everybody:                posert estimate us.jpg --model paf-s -o drawn.png
    Everybody, more closely:  posert estimate us.jpg --detector paf-s -o drawn.png
    Some people of many:      posert estimate us.jpg --boxes us.json -o drawn.png
    A folder into one file:   posert estimate photos -o photos.json
    A folder of skeletons:    posert estimate photos -o drawn
    A folder for OpenPose:    posert estimate photos --format openpose -o poses
    Into another program:     posert estimate me.jpg --json | jq .annotations

    A folder as output gets one file for each picture: a drawn skeleton, or
    with --format openpose a JSON file.

    A file of boxes holds a list of \\[x0, y0, x1, y1] in pixels for a single
    picture, an object from file names to such lists, or COCO annotations.
    """
    if boxes is not None and detector is not None:
        raise InputError("--boxes and --detector both say where the people are; give one of them")
    job = _plan(source, output, kind, as_json=as_json)
    from posert.commands.boxes import check_boxes_inside, read_boxes
    from posert.estimator import Estimator
    from posert.formats import write_json
    from posert.media.files import staged_folder
    from posert.media.images import check_image

    given = None if boxes is None else read_boxes(boxes, [path.name for path in job.pictures])
    for number, path in enumerate(job.pictures):  # all of them, before the first is worked on
        size = check_image(path, max_pixels=max_pixels)
        if given is not None:
            check_boxes_inside(given[number], size, path.name)
    looks: dict[str, Any] = {"flip_test": flip_test, "scales": read_scales(scales), "rotation_test": rotation_test}
    where: dict[str, Any] = {"backend": backend, "device": device, "trust_plans": trust_plans}
    estimator = Estimator(model, skeleton=skeleton, detector=detector, **where, **looks)
    everyone: list[tuple[ImageInfo, Poses]] = []
    with nullcontext() if job.folder is None else staged_folder(job.folder) as folder:
        for path, image, poses in _estimate(estimator, job.pictures, given, max_pixels):
            everyone.append((_info(path, image), poses))
            if job.each is not None:
                target = job.each[path]
                _write_one(target if folder is None else folder / target.name, image, poses)
    if job.json_file is not None:
        write_json(job.json_file, _document(job, everyone))
    if as_json:
        print_json(_document(job, everyone))
    else:
        _report(job, everyone)


@dataclass(frozen=True)
class _Job:
    """What to read and what to write, checked before any work.

    Attributes:
        pictures: the files to read.
        kind: of the JSON.
        json_file: where all poses go, or None.
        each: file to write for each picture, or None.
        folder: to be created for them, or None.
    """

    pictures: list[Path]
    kind: Literal["coco", "openpose"]
    json_file: Path | None = None
    each: dict[Path, Path] | None = None
    folder: Path | None = None


def _plan(source: Path, output: Path | None, kind: str | None, *, as_json: bool) -> _Job:
    from posert.media.files import check_folder_writable, check_writable
    from posert.media.images import WRITABLE, list_images

    if kind not in (None, "coco", "openpose"):
        raise InputError(f"--format must be coco or openpose, got {kind!r}")
    chosen: Literal["coco", "openpose"] = "openpose" if kind == "openpose" else "coco"
    several = path_kind(source) == "folder"
    pictures = list_images(source) if several else [source]
    if chosen == "openpose" and several and (as_json or (output is not None and output.suffix.lower() == ".json")):
        raise InputError("OpenPose's format holds one picture a file: name a folder with -o, or use --format coco")
    if output is None:
        if not as_json:
            raise InputError("nothing would be written: name a file or folder with -o, or use --json")
        return _Job(pictures, chosen)
    suffix, is_folder = output.suffix.lower(), path_kind(output) == "folder"
    if suffix == ".json" and not is_folder:
        check_writable(output)
        return _Job(pictures, chosen, json_file=output)
    if suffix in WRITABLE and not is_folder:
        if several:
            raise InputError(
                f"a folder of pictures cannot become the single picture {str(output)!r}: name a folder, or a .json file"
            )
        if kind is not None:
            raise InputError(f"--format {kind} is for JSON, but {str(output)!r} is a picture; leave it out")
        check_writable(output)
        _keep_apart(pictures, [output])
        return _Job(pictures, chosen, each={source: output})
    if suffix and not is_folder:
        raise InputError(f"what is {str(output)!r} to be? Use .json for poses, {', '.join(WRITABLE)} for a picture, or a folder")
    if kind == "coco":
        raise InputError("COCO's format holds all pictures in one file: name it with -o NAME.json")
    check_folder_writable(output)
    each = {path: output / name for path, name in _names(pictures, "_keypoints.json" if kind == "openpose" else ".png").items()}
    _keep_apart(pictures, list(each.values()))
    return _Job(pictures, chosen, each=each, folder=output)


def _names(pictures: list[Path], ending: str) -> dict[Path, str]:
    """A file name for each picture's result; a.jpg and a.png do not share one."""
    stems = Counter(path.stem for path in pictures)
    return {path: (path.stem if stems[path.stem] == 1 else path.name) + ending for path in pictures}


def _keep_apart(pictures: list[Path], outputs: list[Path]) -> None:
    overwritten = {os.path.realpath(path) for path in pictures} & {os.path.realpath(path) for path in outputs}
    if overwritten:
        raise InputError(f"{min(overwritten)!r} would be overwritten by its own result; write it elsewhere")


def _estimate(
    estimator: Estimator, pictures: list[Path], boxes: list[Boxes] | None, max_pixels: float
) -> Iterator[tuple[Path, Image, Poses]]:
    """Each picture with its people, read and run a batch at a time, with a progress bar where there are several."""
    from posert.people import find_people

    with progress() as bar:
        task = bar.add_task("estimating", total=len(pictures), visible=len(pictures) > 1)
        done = 0
        for images in _batches(pictures, max_pixels):
            part = slice(done, done + len(images))
            paths, done = pictures[part], done + len(images)
            try:
                if boxes is not None:
                    poses = estimator.run(images, boxes[part])
                else:
                    poses = estimator.run(images) if estimator.finds_people else find_people(estimator, images)
            except InputError as error:
                raise InputError(_with_names(str(error), paths)) from error
            for number, (path, image) in enumerate(zip(paths, images, strict=True)):
                yield path, image, poses[poses.image_index == number]
                bar.advance(task)


def _with_names(message: str, pictures: list[Path]) -> str:
    """A message about a batch, with file names in place of "image 0" and so on."""
    names = {f"image {number}": repr(path.name) for number, path in enumerate(pictures)}
    return re.sub(r"\bimage \d+\b", lambda found: names.get(found[0], found[0]), message)


def _batches(pictures: list[Path], max_pixels: float) -> Iterator[list[Image]]:
    """All pictures, in lists that fit into memory."""
    from posert.commands.pictures import read_picture

    images: list[Image] = []
    for path in pictures:
        images.append(read_picture(path, max_pixels=max_pixels))
        if len(images) >= BATCH or sum(image.size for image in images) >= 3 * BATCH_PIXELS:
            yield images
            images = []
    if images:
        yield images


def _info(path: Path, image: Image) -> ImageInfo:
    from posert.formats import ImageInfo

    return ImageInfo(path.name, image.shape[1], image.shape[0])


def _write_one(target: Path, image: Image, poses: Poses) -> None:
    from posert.draw import draw_poses
    from posert.formats import openpose_document, write_json
    from posert.media.images import write_image

    if target.suffix.lower() == ".json":
        write_json(target, openpose_document(poses))
    else:
        write_image(target, draw_poses(image, poses))


def _document(job: _Job, everyone: list[tuple[ImageInfo, Poses]]) -> dict[str, Any]:
    """All poses as one document of the job's format."""
    import numpy as np

    from posert.formats import coco_document, openpose_document
    from posert.types import Poses

    if job.kind == "openpose" and len(everyone) == 1:
        return openpose_document(everyone[0][1])
    counts = [len(poses) for _, poses in everyone]
    boxes = [poses.boxes for _, poses in everyone]
    joined = Poses(
        np.concatenate([poses.keypoints for _, poses in everyone]),
        np.repeat(np.arange(len(everyone)), counts),
        np.concatenate([box for box in boxes if box is not None]) if all(box is not None for box in boxes) else None,
        everyone[0][1].skeleton,
    )
    return coco_document(joined, [info for info, _ in everyone])


def _report(job: _Job, everyone: list[tuple[ImageInfo, Poses]]) -> None:
    people = sum(len(poses) for _, poses in everyone)
    found = (
        f"{people} {'person' if people == 1 else 'people'} in {len(everyone)} {'picture' if len(everyone) == 1 else 'pictures'}"
    )
    if job.folder is not None:
        say(f"{found}; wrote {len(everyone)} files to {job.folder}")
    else:
        say(f"{found}; wrote {job.json_file or next(iter((job.each or {}).values()))}")
