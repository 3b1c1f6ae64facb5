"""Mistakes that make poses useless although their file is in order: exchanged axes, shares in place of pixels, another picture.

Each has an error of its own, which says what was found and how to mend it. A joint or two outside of the picture are none: people
are cut off by its edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from posert.errors import OutOfFrameError, SwappedAxesError, UnscaledKeypointsError
from posert.skeleton import convert_keypoints
from posert.types import Poses

_MARGIN = 0.1  # of the picture's sides: an estimator may place a joint a little outside
_SHARES = 1.5  # coordinates below it are shares of a side, unless the person is a dot
_FEWEST = 3  # people, from which on "nobody stands" says something
_MOST = 0.8  # share of the people who must look wrong for it

Size = tuple[int, int]


def check_plausible(poses: Poses, sizes: Sequence[Size | None], what: Sequence[str], order: str = "x, y") -> None:
    """Refuse poses that are not in pixels of their pictures.

    Args:
        poses: P people.
        sizes: (height, width) in pixels of each person's picture, or None where it is not known; P of them.
        what: how to name each person in an error, P of them.
        order: in which the file's format has the coordinates, for the errors.

    Raises:
        UnscaledKeypointsError: three joints or more, all within 1.5 pixels of the corner.
        SwappedAxesError: three joints of somebody or more lie outside of the picture, all of them inside with x and y exchanged,
            and the person would stand then; or, whatever the pictures are, four of five people lie with their feet to the
            right, three at least.
        OutOfFrameError: most joints of somebody lie outside of the picture: more than a tenth of its side beyond an edge, or
            left of it or above where its size is not known.
    """
    lying = _lies_to_the_right(poses)
    for number, person in enumerate(poses.keypoints):
        points = person[person[:, 2] > 0, :2].astype(np.float64)
        if len(points):
            _check_scale(points, what[number])
            _check_frame(points, sizes[number], what[number], order, lies=bool(lying[number] > 0))
    known = lying[~np.isnan(lying)]
    if len(known) >= _FEWEST and known.mean() >= _MOST:
        lie = f"{int(known.sum())} of {len(known)} people lie with their feet to the right, and would stand otherwise"
        raise SwappedAxesError(f"{what[0].split(',')[0]}: x and y are exchanged: {lie}; this format has {order}")


def _lies_to_the_right(poses: Poses) -> NDArray[np.float64]:
    """1 for people who lie with their feet to the right, 0 for others, NaN where it cannot be seen, (P,).

    Exchanged axes turn everybody who stands into such a person; people who do lie have their feet on either side.
    """
    body = convert_keypoints(poses.keypoints, poses.skeleton, "body25").astype(np.float64)
    torso = body[:, 8, :2] - body[:, 1, :2]
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(torso).any(1), np.nan, torso[:, 0] > 2 * np.abs(torso[:, 1]))


def _check_scale(points: NDArray[np.float64], name: str) -> None:
    largest = float(np.abs(points).max())
    if largest <= _SHARES and len(np.unique(points, axis=0)) >= 3:
        raise UnscaledKeypointsError(
            f"{name}: the coordinates look like shares of the picture's sides: the largest of {len(points)} joints is "
            f"{largest:.3g}; pixels are needed, so multiply x by the picture's width and y by its height"
        )


def _check_frame(points: NDArray[np.float64], size: Size | None, name: str, order: str, *, lies: bool) -> None:
    inside = _inside(points, size)
    most_outside = 2 * inside.sum() < len(points)
    exchanged = size is not None and (~inside).sum() >= 3 and bool(_inside(points[:, ::-1], size).all())
    if not most_outside and not (exchanged and lies):
        return
    outside = f"{int((~inside).sum())} of {len(points)} joints lie outside of the picture"
    example = ", ".join(f"{value:.6g}" for value in points[np.argmin(inside)])
    if size is None:
        raise OutOfFrameError(
            f"{name}: {outside}, left of it or above (one at x, y = {example}); coordinates are pixels from its top left corner"
        )
    frame = f"{size[1]} x {size[0]} pixels"
    if exchanged:
        raise SwappedAxesError(
            f"{name}: x and y are exchanged: {outside} of {frame}, and inside with the axes exchanged; this format has {order}"
        )
    raise OutOfFrameError(
        f"{name}: {outside} of {frame} (one at x, y = {example}); are they pixels of another size of it? Scale them"
    )


def _inside(points: NDArray[np.float64], size: Size | None) -> NDArray[np.bool_]:
    if size is None:
        return np.asarray((points >= 0).all(1))
    sides = np.array(size[::-1])
    return np.asarray(((points >= -_MARGIN * sides) & (points <= (1 + _MARGIN) * sides)).all(1))
