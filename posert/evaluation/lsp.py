"""Leeds Sports Pose and its extended set (Johnson and Everingham, BMVC 2010 and CVPR 2011), in their published layouts.

lsp    images/im0001.jpg    joints.mat, `joints` (3, 14, N): x, y counted from 1, 1 = occluded; every joint is labelled
lspet  images/im00001.jpg   joints.mat, `joints` (14, 3, N): x, y, 1 = visible; where it is 0, x and y mean nothing
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.evaluation.dataset import PoseDataset, unlabelled_as_missing
from posert.formats.matlab import read_mat
from posert.paths import path_kind
from posert.skeleton import get_skeleton


def read_joints(root: str | Path, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """The array `joints` in a folder's ``joints.mat``.

    Args:
        root: the folder.
        shape: what is expected; None fits any number.

    Raises:
        InputError: there is no such file or array, or its shape is another.
        MissingDependency: SciPy is not installed.
    """
    file = Path(root) / "joints.mat"
    if path_kind(file) != "file":
        raise InputError(f"{str(root)!r} does not hold joints.mat; the published layout is needed: joints.mat and images/")
    joints = read_mat(file).get("joints")
    wanted = " x ".join("N" if side is None else str(side) for side in shape)
    found = getattr(joints, "shape", None)
    if found is None or len(found) != len(shape) or any(w not in (None, f) for w, f in zip(shape, found, strict=True)):
        raise InputError(f"{str(file)!r}: 'joints' of shape {wanted} is needed, got shape {found}")
    try:
        return np.asarray(joints, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{str(file)!r}: 'joints' must hold numbers: {error}") from error


def picture_files(root: str | Path, count: int, digits: int) -> tuple[Path, ...]:
    """images/im0001.jpg and so on.

    Raises:
        InputError: one is not there.
    """
    files = tuple(Path(root) / "images" / f"im{number:0{digits}}.jpg" for number in range(1, count + 1))
    for file in files:
        if path_kind(file) != "file":
            raise InputError(f"there is no file {str(file)!r}, but joints.mat has {count} pictures")
    return files


def load_lsp(root: str | Path) -> PoseDataset:
    """Read Leeds Sports Pose.

    Raises:
        InputError: `root` is not in the published layout.
        MissingDependency: SciPy is not installed.
    """
    joints = read_joints(root, (3, 14, None))
    xy = joints[:2].transpose(2, 1, 0) - 1
    return _dataset("lsp", root, unlabelled_as_missing(xy, np.ones(xy.shape[:2], np.bool_)), 4)


def load_lspet(root: str | Path) -> PoseDataset:
    """Read Leeds Sports Pose Extended, with the labels as they were published.

    Raises:
        InputError: `root` is not in the published layout.
        MissingDependency: SciPy is not installed.
    """
    joints = read_joints(root, (14, 3, None))
    keypoints = unlabelled_as_missing(joints[:, :2].transpose(2, 0, 1), joints[:, 2].T > 0)
    notes = ("LSPET's labels are crowd work and noisy; joints that they call invisible are not measured.",)
    return _dataset("lspet", root, keypoints, 5, notes)


def _dataset(
    name: str, root: str | Path, keypoints: NDArray[np.float32], digits: int, notes: tuple[str, ...] = ()
) -> PoseDataset:
    files = picture_files(root, len(keypoints), digits)
    ids = tuple(file.name for file in files)
    return PoseDataset(name, get_skeleton("lsp14"), files, keypoints, np.arange(len(files)), ids, notes=notes)
