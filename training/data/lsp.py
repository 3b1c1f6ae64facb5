"""Leeds Sports Pose and its extended set (Johnson and Everingham, BMVC 2010 and CVPR 2011), in their published layouts.

    lsp    images/im0001.jpg    joints.mat, `joints` (3, 14, N): x, y counted from 1, 1 = occluded; every joint is annotated
    lspet  images/im00001.jpg   joints.mat, `joints` (14, 3, N): x, y, 1 = visible; where it is 0, x and y mean nothing

Neither has the joints of the face. Where ``movenet_thunder_coco17.npz`` lies beside them (`keypoints`: (N, 17, 3), what that
network found), these come from there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.evaluation.lsp import picture_files, read_joints
from posert.media.files import read_bytes
from posert.skeleton import convert_keypoints
from training.data.people import BODY, FACE, SKELETON, PosePictures

NETWORK_LABELS = "movenet_thunder_coco17.npz"
SEEN, TURNED_AWAY = 0.5, 0.25  # scores above and below which a joint of the face counts as seen, and as turned away


def _read(root: Path, digits: int, shape: tuple[int | None, ...]) -> tuple[list[bytes], NDArray[np.float64]]:
    joints = read_joints(root, shape)
    return [read_bytes(file) for file in picture_files(root, joints.shape[2], digits)], joints


def _keypoints(xy: NDArray[np.float64], labelled: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The fourteen joints in the order of `SKELETON`, its face not labelled."""
    keypoints = np.concatenate([xy, labelled[..., None]], -1, dtype=np.float64).astype(np.float32)
    body = convert_keypoints(keypoints, "lsp14", "cpm14")
    face = np.full((len(body), len(SKELETON) - 14, 3), (np.nan, np.nan, 0), np.float32)
    return np.concatenate([body, face], 1)


def read_network_labels(root: Path, count: int) -> NDArray[np.float32] | None:
    """What MoveNet Thunder found, (N, 19, 3) in the order of `SKELETON`, or None without a file.

    Raises:
        InputError: the file holds something else.
    """
    path = root / NETWORK_LABELS
    if not path.is_file():
        return None
    with np.load(path) as archive:
        found = archive["keypoints"].astype(np.float32)
    if found.shape != (count, 17, 3):
        raise InputError(f"{path}: expected `keypoints` of shape {(count, 17, 3)}, got {found.shape}")
    return convert_keypoints(found, "coco17", SKELETON)


def read_settled(path: Path, count: int) -> NDArray[np.float32]:
    """The body's joints in a file of `training.relabel`, (N, 14, 3).

    Raises:
        InputError: it is none, or of another number of pictures.
    """
    try:
        settled: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as labels of training.relabel: {error}") from error
    if settled.shape != (count, 14, 3) or settled.dtype != np.float32:
        raise InputError(f"{path}: expected float32 of shape {(count, 14, 3)}, got {settled.dtype} of shape {settled.shape}")
    return settled


def _add_faces(keypoints: NDArray[np.float32], network: NDArray[np.float32] | None) -> NDArray[np.bool_]:
    """Label the joints of the face that the network is sure of; return those (N, 19) that it hardly saw."""
    absent = np.zeros(keypoints.shape[:2], bool)
    if network is not None:
        score = network[:, FACE, 2]
        face = np.where((score > SEEN)[..., None], network[:, FACE], keypoints[:, FACE])
        face[..., 2] = score > SEEN
        keypoints[:, FACE] = face
        absent[:, FACE] = score < TURNED_AWAY
    return absent


def load_lsp(root: Path | str) -> PosePictures:
    """Read Leeds Sports Pose.

    Args:
        root: folder with ``images`` and ``joints.mat``.

    Raises:
        InputError: `root` is not in the published layout.
    """
    root = Path(root)
    files, joints = _read(root, 4, (3, 14, None))
    xy, hidden = joints[:2].transpose(2, 1, 0) - 1, joints[2].T > 0
    keypoints = _keypoints(xy, np.ones(xy.shape[:2], bool))
    absent = _add_faces(keypoints, read_network_labels(root, len(files)))
    occluded = _keypoints(xy, hidden)[..., 2]
    occluded[:, FACE] = np.nan
    return PosePictures(files, keypoints, occluded, absent)


def load_lspet(root: Path | str, *, trust: float | None = 0.55, labels: Path | str | None = None) -> PosePictures:
    """Read Leeds Sports Pose Extended.

    Args:
        root: folder with ``images`` and ``joints.mat``.
        trust: the crowd's labels are noisy: limb joints that the network found with a score above `trust` replace them. None
            keeps the crowd's.
        labels: file of `training.relabel`: the body's joints are taken from there, and `trust` does not matter.

    Raises:
        InputError: `root` is not in the published layout, or `labels` are not of its pictures.
    """
    root = Path(root)
    files, joints = _read(root, 5, (14, 3, None))
    keypoints = _keypoints(joints[:, :2].transpose(2, 0, 1), joints[:, 2].T > 0)
    network = read_network_labels(root, len(files))
    if labels is not None:
        keypoints[:, BODY] = read_settled(Path(labels), len(files))
    elif network is not None and trust is not None:
        better = network[..., 2] > trust
        better[:, :2] = False  # head top and neck are derived, not found
        better[:, FACE] = False
        keypoints[better] = network[better]
        keypoints[..., 2] = keypoints[..., 2] > 0
    absent = _add_faces(keypoints, network)
    return PosePictures(files, keypoints, np.full(keypoints.shape[:2], np.nan, np.float32), absent)
