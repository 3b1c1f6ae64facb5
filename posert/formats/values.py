"""Checks shared by the readers: JSON values that must be lists of finite numbers, records and texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.media.files import read_bytes

MISSING_JOINT = "; a missing joint is 0, 0, 0"
"""What to say to who writes NaN for the coordinates of a joint."""

_LARGEST = float(np.finfo(np.float32).max)


def read_json(path: str | Path, *, hint: str = "") -> Any:
    """The document in a JSON file; NaN and Infinity, which JSON does not have, are refused.

    Args:
        path: of the file.
        hint: ends the message about NaN and Infinity.

    Raises:
        InputError: the file cannot be read, or is not JSON.
    """

    def refuse(constant: str) -> None:
        raise InputError(f"{str(path)!r} holds {constant}, which is not a number in JSON{hint}")

    data = read_bytes(path)
    if not data.strip():
        raise InputError(f"{str(path)!r} is empty; a JSON file is needed")
    try:
        return json.loads(data, parse_constant=refuse)
    except InputError:
        raise
    except (ValueError, RecursionError) as error:  # also text that is not UTF-8
        raise InputError(f"{str(path)!r} is not JSON: {error}") from error


def numbers(value: Any, what: str, *, hint: str = "") -> NDArray[np.float64]:
    """A JSON list as float64, if it holds nothing but finite numbers that fit float32.

    Raises:
        InputError: it does not; `what` begins the message, and `hint` ends the one about NaN.
    """
    if not isinstance(value, list) or not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value):
        raise InputError(f"{what} must be a list of numbers")
    try:
        array = np.array([float(v) for v in value], np.float64)
    except OverflowError as error:
        raise InputError(f"{what} holds a number that is too large") from error
    if not (np.abs(array) <= _LARGEST).all():
        raise InputError(f"{what} holds NaN or a number that is too large{hint}")
    return array


def triples(value: Any, what: str, joints: int | None = None) -> NDArray[np.float64]:
    """A flat JSON list x0, y0, s0, x1, y1, s1, ... as float64 (K, 3).

    Raises:
        InputError: it is no such list, a third value is negative, or K is not `joints`.
    """
    flat = numbers(value, what, hint=MISSING_JOINT)
    if len(flat) % 3 or not len(flat) or (joints is not None and len(flat) != 3 * joints):
        wanted = f"3 x {joints} = {3 * joints}" if joints is not None else "a multiple of 3"
        raise InputError(f"{what} has {len(flat)} numbers; {wanted} are needed (x, y and score of each joint)")
    array = flat.reshape(-1, 3)
    if (array[:, 2] < 0).any():
        raise InputError(f"{what} holds a negative score or visibility; it must be 0 (missing) or more")
    return array


def as_keypoints(array: NDArray[np.float64]) -> NDArray[np.float32]:
    """Turn x, y, score (..., 3) as files have them, missing = score 0, into posert's keypoints, missing = (NaN, NaN, 0).

    OpenPose's scores exceed 1 by a little at times; they are lowered to 1.
    """
    keypoints = array.astype(np.float32)
    keypoints[..., 2] = np.minimum(keypoints[..., 2], 1)
    keypoints[keypoints[..., 2] <= 0] = (np.nan, np.nan, 0)
    return keypoints


def as_triples(keypoints: NDArray[np.float32]) -> list[list[float]]:
    """Turn keypoints (P, K, 3) into one flat list x, y, score, ... a person, missing = 0, 0, 0.

    Coordinates are rounded to thousandths of a pixel, scores to millionths; a score above 0 stays above 0.
    """
    values = np.nan_to_num(keypoints.astype(np.float64), nan=0.0)
    rounded = np.concatenate(
        [values[..., :2].round(3), np.maximum(values[..., 2:].round(6), 1e-6 * (values[..., 2:] > 0))], axis=-1
    )
    flat: list[list[float]] = rounded.reshape(len(rounded), 3 * rounded.shape[1]).tolist()
    return flat


def records(value: Any, what: str) -> list[dict[str, Any]]:
    """A JSON list of objects.

    Raises:
        InputError: it is something else; `what` begins the message.
    """
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise InputError(f"{what} must be a list of objects")
    return value
