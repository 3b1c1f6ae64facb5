"""`posert transfer`: a person, re-drawn in the pose of another; many of them; or in the motion of a video."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posert.commands.console import DEFAULT_MAX_PIXELS, Backend, Device, MaxPixels, TrustPlans
from posert.errors import InputError

if TYPE_CHECKING:
    from posert.commands.transfer_plan import Choices

_Source = Annotated[
    Path, typer.Option("--source", "--sources", metavar="IMAGE|FOLDER", help="A picture of the person to be re-drawn, or many.")
]
_POSE = "The pose: a picture or video of one person, a .json, .csv or .mat file of poses, or a folder of such files."
_Pose = Annotated[Path, typer.Option("--pose", "--poses", metavar="FILE|FOLDER", help=_POSE)]
_OUTPUT = "What to write: a picture (.png, .jpg, .webp, .bmp), a video (.mp4), or a folder for many pictures."
_Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE|FOLDER", help=_OUTPUT)]
_MODEL = "Who draws; see 'posert models'. By default pg2-s for small crops of pedestrians, twice as high as wide, else unseen-s."
_Model = Annotated[str | None, typer.Option(metavar="NAME|FILE", help=_MODEL, show_default=False)]
_Estimator = Annotated[str, typer.Option(metavar="NAME|FILE", help="The model that finds the joints.")]
_DETECTOR = "The model that says where people are; 'none' leaves that to the estimator, in pictures that one person fills."
_Detector = Annotated[str, typer.Option(metavar="NAME|FILE|none", help=_DETECTOR)]
_Grid = Annotated[bool, typer.Option("--grid", help="Source, pose, first stage if there is one, and result side by side.")]
_EXPLAIN = "Also write what lies between source and result into this folder: the model's layers, masks and stages."
_Explain = Annotated[Path | None, typer.Option(metavar="FOLDER", help=_EXPLAIN, show_default=False)]
_PASTE = "Put the person back into the whole source picture; by default where that is not in the model's proportions."
_Paste = Annotated[bool | None, typer.Option("--paste/--no-paste", help=_PASTE, show_default=False)]
_RETARGET = "In photographs and videos: keep the source's proportions, or take over those of the poses."
_Retarget = Annotated[bool, typer.Option("--retarget/--no-retarget", help=_RETARGET)]
_SMOOTHING = "Of a video's joints: 0 is none, larger is steadier and slower."
_Smoothing = Annotated[float, typer.Option(metavar="NUMBER", help=_SMOOTHING)]
_LIMIT = "Stop after so many frames of a video, or poses of a folder."
_Limit = Annotated[int | None, typer.Option(metavar="N", help=_LIMIT, show_default=False)]
_RATE = "Frames a second of a video whose poses come from files; 25 if left out."
_Rate = Annotated[float | None, typer.Option(metavar="NUMBER", help=_RATE, show_default=False)]
_CHECKS = "Refuse files of poses whose coordinates are not pixels of their pictures."
_Checks = Annotated[bool, typer.Option("--check-poses/--no-check-poses", help=_CHECKS)]
_Redo = Annotated[bool, typer.Option("--redo", help="Make all pictures of a folder anew, also those that are listed as made.")]


def run(
    source: _Source,
    pose: _Pose,
    output: _Output,
    model: _Model = None,
    estimator: _Estimator = "cpm-s",
    detector: _Detector = "paf-s",
    grid: _Grid = False,
    explain: _Explain = None,
    paste: _Paste = None,
    retarget: _Retarget = True,
    smoothing: _Smoothing = 1.0,
    limit: _Limit = None,
    rate: _Rate = None,
    check_poses: _Checks = True,
    redo: _Redo = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    backend: Backend = None,
    device: Device = None,
    trust_plans: TrustPlans = False,
) -> None:
    """Re-draw a person in the pose of another: one picture, many, or a video.

    \b
    From a picture:   posert transfer --source me.jpg --pose you.jpg -o new.png
    From a file:      posert transfer --source me.jpg --pose you.json -o new.png
    Every step:       posert transfer --source me.jpg --pose you.jpg --grid -o all.png
    How it was made:  posert transfer --source me.jpg --pose you.jpg --explain steps -o new.png
    As in a video:    posert transfer --source me.jpg --pose dance.mp4 -o out.mp4
    Its first second: posert transfer --source me.jpg --pose dance.mp4 --limit 30 -o out.mp4
    OpenPose's files: posert transfer --source me.jpg --pose frames --rate 30 -o out.mp4
    Everybody in all: posert transfer --source people --poses poses -o out

    Files of poses: COCO and OpenPose JSON (18 or 25 joints), MPII (.mat, .json),
    PATN (.csv). Of several people the one with the highest total score is taken.

    A photograph stays as it is around the person (--no-paste writes what the
    model draws alone). A folder gets pictures at the model's size, named after
    source and pose, and manifest.jsonl, which says what was made from what; the
    same command goes on where it was stopped.
    """
    from posert.commands.transfer_plan import Choices

    if limit is not None and limit < 1:
        raise InputError(f"--limit must be at least 1, got {limit}")
    named = None if detector == "none" else detector
    looks = (model, estimator, named, grid, explain, paste, retarget, smoothing)
    choices = Choices(*looks, limit, rate, check_poses, redo, max_pixels, backend, device, trust_plans)
    _start(source, pose, output, choices)


def _start(source: Path, pose: Path, output: Path, choices: Choices) -> None:
    """Find out which kind of work it is, and do it."""
    from posert.commands import transfer_many, transfer_one, transfer_video
    from posert.formats.pose_files import kind_of
    from posert.media.video_writer import WRITABLE as VIDEOS
    from posert.paths import path_kind

    many = path_kind(output) == "folder" or not output.suffix
    if many:
        transfer_many.run(source, pose, output, choices)
        return
    if choices.redo:
        raise InputError("--redo is for a folder of results, and a single one is always made anew; leave it out")
    for name, path in (("--source", source), ("--pose", pose)):
        if os.path.realpath(path) == os.path.realpath(output):
            raise InputError(f"{str(output)!r} is what {name} names, and would be overwritten; write the result elsewhere")
    if path_kind(source) == "folder":
        raise InputError(
            f"--source is the folder {str(source)!r}, so a folder is needed for the results, and not {str(output)!r}"
        )
    kind = kind_of(pose)
    if kind == "video" or output.suffix.lower() in VIDEOS:
        transfer_video.run(source, pose, output, choices)
        return
    if kind == "folder":
        raise InputError(
            f"--pose is the folder {str(pose)!r}, so a video or a folder is needed for the results, and not {str(output)!r}"
        )
    for option, value in (("--limit", choices.limit), ("--rate", choices.rate)):
        if value is not None:
            raise InputError(f"{option} is for more than one pose, and one picture takes one; leave it out")
    transfer_one.run(source, pose, output, choices)
