"""MPII Human Pose (Andriluka et al., CVPR 2014) in the layout it is published in, and as the JSON files that the field uses.

    mpii_human_pose_v1_u12_1.mat    a struct `RELEASE`: annolist(i).image.name, annolist(i).annorect(j) with x1, y1, x2, y2 of the
                                    head, annopoints.point(k) with x, y, id, and scale, objpos; img_train(i) = 1 where labels are
    valid.json                      a list of people: image, joints, joints_vis, center, scale; head rectangles beside it in
                                    gt_valid.mat, `headboxes_src` (2, 2, N)
    mpii_annotations.json           a list of people: img_paths, joint_self (16 x 3), objpos, scale_provided, isValidation;
                                    head rectangles beside it in mpii_headboxes.npy (2, 2, N)

Coordinates count from 1 in all of them. Pictures lie in images/, or beside the annotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.evaluation.dataset import PoseDataset, unlabelled_as_missing
from posert.evaluation.lsp import read_mat
from posert.paths import path_kind
from posert.skeleton import get_skeleton

JOINTS = 16
HEAD_SHARE = 0.6
"""PCKh measures in 0.6 times the diagonal of the head's rectangle."""

_PERSON_HEIGHT = 200
"""MPII's scale is a person's height in units of so many pixels."""

_LOWERED = 15
"""MPII's centres are lowered by so many pixels times the scale, so that a square around them holds the feet."""


@dataclass(frozen=True)
class Person:
    """One annotated person, in MPII's own coordinates, which count from 1.

    Attributes:
        image: file name.
        joints: float64 (16, 2): x, y; NaN where there is no label.
        head: diagonal of the head's rectangle in pixels; NaN where there is none.
        centre: x, y, or None.
        scale: height in units of 200 pixels, or None.
    """

    image: str
    joints: NDArray[np.float64]
    head: float
    centre: tuple[float, float] | None
    scale: float | None

    def box(self) -> list[float]:
        """The square that the data set's centre and scale stand for, before any margin: x0, y0, x1, y1, edges; NaN without."""
        if self.centre is None or self.scale is None or not self.scale > 0 or min(self.centre) < 0:
            return [np.nan] * 4
        half = _PERSON_HEIGHT * self.scale / 2
        x, y = self.centre[0] - 0.5, self.centre[1] + _LOWERED * self.scale - 0.5  # counted from 0, and from edges
        return [x - half, y - half, x + half, y + half]


def load_mpii(root: str | Path, annotations: str | Path | None = None) -> PoseDataset:
    """Read MPII Human Pose.

    Args:
        root: folder with the annotation, and with the pictures in ``images`` or beside it.
        annotations: the annotation; by default the first of the known names in `root`, in ``annot`` or in ``annotations``.

    Returns:
        The annotated pictures in the order of the file. Their own boxes are squares of the person's height, from the published
        centre and scale.

    Raises:
        InputError: a file is missing or not in one of the layouts.
        MissingDependency: SciPy is not installed, and the annotation is a .mat file.
    """
    from posert.evaluation.mpii_json import read_people

    root = Path(root)
    file = Path(annotations) if annotations is not None else _find(root)
    people = list(_read_release(file)) if file.suffix.lower() == ".mat" else read_people(file)
    if not people:
        raise InputError(f"{str(file)!r} holds nobody with labelled joints; is it the test part, whose labels are not public?")
    return _dataset(root, file, people)


_KNOWN = ("mpii_human_pose_v1_u12_1.mat", "valid.json", "mpii_annotations.json")


def _find(root: Path) -> Path:
    for folder in (root, root / "annot", root / "annotations"):
        for name in _KNOWN:
            if path_kind(folder / name) == "file":
                return folder / name
    raise InputError(f"{str(root)!r} is not MPII: none of {', '.join(_KNOWN)} lies in it; name the annotation with --annotations")


def _dataset(root: Path, file: Path, people: Sequence[Person]) -> PoseDataset:
    names = list(dict.fromkeys(person.image for person in people))
    number = {name: i for i, name in enumerate(names)}
    people = sorted(people, key=lambda person: number[person.image])  # stable: people keep their order within a picture
    folder = next((f for f in (root / "images", root, file.parent) if path_kind(f / names[0]) == "file"), None)
    if folder is None:
        raise InputError(f"there is no picture {names[0]!r} in {str(root / 'images')!r} or beside the annotation")
    joints = np.stack([person.joints for person in people])
    heads = np.array([person.head for person in people])
    notes = []
    if (missing := int(np.isnan(heads).sum())) == len(people):
        notes.append("the annotation has no head rectangles, so PCKh cannot be had: PCK is measured in torsos")
    elif missing:
        notes.append(f"{missing} of {len(people)} people have no head rectangle and are not measured")
    return PoseDataset(
        "mpii",
        get_skeleton("mpii16"),
        tuple(folder / name for name in names),
        unlabelled_as_missing(joints - 1, np.asarray(np.isfinite(joints).all(-1))),
        np.array([number[person.image] for person in people], np.int64),
        tuple(names),
        boxes=np.array([person.box() for person in people], np.float32),
        head_sizes=None if missing == len(people) else HEAD_SHARE * heads,
        notes=tuple(notes),
    )


def _read_release(path: Path) -> Iterable[Person]:
    """The people of the published .mat file that have labelled joints."""
    if path_kind(path) != "file":
        raise InputError(f"there is no file {str(path)!r}")
    release: Any = read_mat(path, struct_as_record=False, squeeze_me=True).get("RELEASE")
    if release is None or not hasattr(release, "annolist"):
        raise InputError(f"{str(path)!r} holds no struct RELEASE with annolist; MPII's mpii_human_pose_v1_u12_1.mat is needed")
    for number, entry in enumerate(_many(release.annolist), start=1):
        for rectangle in _many(getattr(entry, "annorect", None)):
            try:
                person = _release_person(str(entry.image.name), rectangle)
            except (AttributeError, TypeError, ValueError, IndexError) as error:
                raise InputError(f"{str(path)!r}: annolist({number}) is not in the published layout: {error}") from error
            if person is not None:
                yield person


def _release_person(image: str, rectangle: Any) -> Person | None:
    points = _many(getattr(getattr(rectangle, "annopoints", None), "point", None))
    if not points:
        return None
    joints = np.full((JOINTS, 2), np.nan)
    for point in points:
        if not 0 <= int(point.id) < JOINTS:
            raise ValueError(f"a joint has the id {int(point.id)}; 0 to {JOINTS - 1} are known")
        joints[int(point.id)] = float(point.x), float(point.y)
    corners = [_number(getattr(rectangle, name, None)) for name in ("x1", "y1", "x2", "y2")]
    head = np.nan if None in corners else float(np.hypot(corners[2] - corners[0], corners[3] - corners[1]))  # type: ignore[operator]
    place = getattr(rectangle, "objpos", None)
    x, y = (_number(getattr(place, axis, None)) for axis in "xy")
    return Person(image, joints, head, None if x is None or y is None else (x, y), _number(getattr(rectangle, "scale", None)))


def _many(value: Any) -> list[Any]:
    """What MATLAB stores as an array of structs, or as the struct itself where there is one, or as nothing."""
    if value is None:
        return []
    return [entry for entry in np.atleast_1d(value).ravel().tolist() if hasattr(entry, "_fieldnames")]


def _number(value: Any) -> float | None:
    """A number, or None for what MATLAB leaves empty."""
    return None if value is None or np.size(value) != 1 else float(np.asarray(value).item())
