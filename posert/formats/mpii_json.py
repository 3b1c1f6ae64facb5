"""MPII Human Pose as JSON, the two kinds of file that most programs read: lists of people.

valid.json               image, joints, joints_vis, center, scale; heads in gt_valid.mat, `headboxes_src`
mpii_annotations.json    img_paths, joint_self (16 x 3), objpos, scale_provided, isValidation; heads in mpii_headboxes.npy
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.formats.matlab import read_mat
from posert.formats.mpii import JOINTS, Person
from posert.formats.values import numbers, read_json, records
from posert.paths import path_kind


def read_people(path: str | Path) -> list[Person]:
    """The people in one of the JSON files; of ``mpii_annotations.json`` the validation part.

    Raises:
        InputError: the file is neither, or its head rectangles do not fit it; the message says where.
        MissingDependency: SciPy is not installed, and head rectangles lie in a .mat file.
    """
    return parse_people(read_json(path), Path(path))


def parse_people(document: Any, path: Path) -> list[Person]:
    """As `read_people`, for a JSON document that is already loaded from `path`."""
    entries = records(document, repr(str(path)))
    heads = _head_sizes(path, len(entries))
    people = []
    for number, entry in enumerate(entries):
        what = f"{str(path)!r}: person {number}"
        if "joints" in entry:
            people.append(_listed(entry, heads[number], what))
        elif "joint_self" in entry:
            if entry.get("isValidation", 1):
                people.append(_prepared(entry, heads[number], what))
        else:
            raise InputError(f"{what} has neither joints (as in valid.json) nor joint_self (as in mpii_annotations.json)")
    return [person for person in people if np.isfinite(person.joints).any()]


def _listed(entry: dict[str, Any], head: float, what: str) -> Person:
    """A person of valid.json; joints_vis is 1 where a joint is labelled."""
    joints = _table(entry["joints"], 2, f"{what}: joints")
    labelled = numbers(entry.get("joints_vis"), f"{what}: joints_vis")
    if len(labelled) != JOINTS:
        raise InputError(f"{what}: joints_vis must be {JOINTS} numbers, got {len(labelled)}")
    joints[labelled <= 0] = np.nan
    return Person(_name(entry.get("image"), what), joints, head, *_place(entry.get("center"), entry.get("scale"), what))


def _prepared(entry: dict[str, Any], head: float, what: str) -> Person:
    """A person of mpii_annotations.json; a joint without a label is 0, 0, 0."""
    table = _table(entry["joint_self"], 3, f"{what}: joint_self")
    joints = np.where(np.asarray((table[:, :2] > 0).any(1))[:, None], table[:, :2], np.nan)
    place = _place(entry.get("objpos"), entry.get("scale_provided"), what)
    return Person(_name(entry.get("img_paths"), what), joints, head, *place)


def _table(value: Any, columns: int, what: str) -> NDArray[np.float64]:
    if not isinstance(value, list) or len(value) != JOINTS:
        raise InputError(f"{what} must be {JOINTS} rows of {columns} numbers")
    rows = [numbers(row, what) for row in value]
    if any(len(row) != columns for row in rows):
        raise InputError(f"{what} must be {JOINTS} rows of {columns} numbers")
    return np.stack(rows)


def _name(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise InputError(f"{what} needs the file name of its picture")
    return value


def _place(centre: Any, scale: Any, what: str) -> tuple[tuple[float, float] | None, float | None]:
    if centre is None or scale is None:
        return None, None
    x_y, size = numbers(centre, f"{what}: centre"), numbers([scale], f"{what}: scale")
    if len(x_y) != 2:
        raise InputError(f"{what}: its centre must be x, y, got {len(x_y)} numbers")
    return (float(x_y[0]), float(x_y[1])), float(size[0])


def _head_sizes(path: Path, count: int) -> NDArray[np.float64]:
    """Diagonals of the head rectangles (count,), from the file beside the annotation; NaN without such a file."""
    matlab, numpy_file = path.with_name(f"gt_{path.stem}.mat"), path.with_name("mpii_headboxes.npy")
    corners: Any = None
    if path_kind(matlab) == "file":
        file, corners = matlab, read_mat(matlab).get("headboxes_src")
    elif path_kind(numpy_file) == "file":
        try:
            file, corners = numpy_file, np.load(numpy_file, allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise InputError(f"{str(numpy_file)!r} cannot be read: {error}") from error
    else:
        return np.full(count, np.nan)
    corners = np.asarray(corners)
    if corners.shape != (2, 2, count) or corners.dtype.kind not in "iuf":
        raise InputError(f"{str(file)!r}: head rectangles of shape (2, 2, {count}) are needed, one a person; got {corners.shape}")
    return np.asarray(np.hypot(*(corners[1].astype(np.float64) - corners[0])))
