"""The people of MPII Human Pose (Andriluka et al., CVPR 2014) in its published MATLAB file; `mpii_json` has the JSON files.

A struct `RELEASE`: annolist(i).image.name, annolist(i).annorect(j) with x1, y1, x2, y2 of the head, annopoints.point(k) with x,
y, id, and scale, objpos. Coordinates count from 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.formats.matlab import read_mat
from posert.paths import path_kind

JOINTS = 16

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


def read_release(path: Path) -> Iterable[Person]:
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
