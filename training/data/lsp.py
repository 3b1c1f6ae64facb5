"""Leeds Sports Pose and its extended set (Johnson and Everingham, BMVC 2010 and CVPR 2011), in their published layouts.

    lsp    images/im0001.jpg    joints.mat, `joints` (3, 14, N): x, y counted from 1, 1 = occluded; every joint is annotated
    lspet  images/im00001.jpg   joints.mat, `joints` (14, 3, N): x, y, 1 = visible; where it is 0, x and y mean nothing

Files are kept encoded in memory and decoded when asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from numpy.typing import NDArray

from posert.errors import InputError
from posert.skeleton import convert_keypoints

NETWORK_LABELS = "movenet_thunder_coco17.npz"


@dataclass(frozen=True)
class PosePictures:
    """Pictures of one person each, with joints in cpm14 order.

    Attributes:
        files: encoded pictures.
        keypoints: float32 (N, 14, 3): x, y in pixels counted from 0, score 1; unlabelled joints are (NaN, NaN, 0).
    """

    files: list[bytes]
    keypoints: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Decode one picture: uint8 (H, W, 3), RGB."""
        decoded = cv2.imdecode(np.frombuffer(self.files[index], np.uint8), cv2.IMREAD_COLOR)
        if decoded is None:
            raise InputError(f"picture {index} cannot be decoded")
        return cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]

    def part(self, start: int, stop: int) -> PosePictures:
        """Pictures `start` to `stop`, counted from 0, the last excluded."""
        return PosePictures(self.files[start:stop], self.keypoints[start:stop])

    def boxes(self) -> NDArray[np.float32]:
        """The tight box around each person's joints, (N, 4): x0, y0, x1, y1."""
        xy = self.keypoints[..., :2]
        return np.concatenate([np.nanmin(xy, 1), np.nanmax(xy, 1) + 1], 1)


def _read(root: Path, digits: int, shape: tuple[int | None, ...]) -> tuple[list[bytes], NDArray[np.float64]]:
    annotation = root / "joints.mat"
    if not annotation.is_file():
        raise InputError(f"{root} does not hold {annotation.name}; expected the published layout: {annotation.name} and images/")
    joints = scipy.io.loadmat(str(annotation)).get("joints")
    if joints is None or joints.ndim != 3 or any(want not in (None, got) for want, got in zip(shape, joints.shape, strict=True)):
        raise InputError(f"{annotation}: expected `joints` of shape {shape}, got {None if joints is None else joints.shape}")
    files = []
    for number in range(1, joints.shape[2] + 1):
        path = root / "images" / f"im{number:0{digits}}.jpg"
        try:
            files.append(path.read_bytes())
        except OSError as error:
            raise InputError(f"{path} cannot be read, but {annotation.name} annotates it: {error}") from error
    return files, joints.astype(np.float64)


def _to_cpm14(xy: NDArray[np.float64], labelled: NDArray[np.bool_]) -> NDArray[np.float32]:
    keypoints = np.concatenate([xy, labelled[..., None]], -1, dtype=np.float64).astype(np.float32)
    return convert_keypoints(keypoints, "lsp14", "cpm14")


def load_lsp(root: Path | str) -> PosePictures:
    """Read Leeds Sports Pose.

    Raises:
        InputError: `root` is not in the published layout.
    """
    files, joints = _read(Path(root), 4, (3, 14, None))
    xy = joints[:2].transpose(2, 1, 0) - 1
    return PosePictures(files, _to_cpm14(xy, np.ones(xy.shape[:2], bool)))


def load_lspet(root: Path | str, *, trust: float | None = 0.55) -> PosePictures:
    """Read Leeds Sports Pose Extended.

    Args:
        root: folder with ``images`` and ``joints.mat``.
        trust: the crowd's labels are noisy. Where the file ``movenet_thunder_coco17.npz`` lies beside them, limb joints that
            this network found with a score above `trust` replace the crowd's. None keeps the crowd's.

    Raises:
        InputError: `root` is not in the published layout.
    """
    root = Path(root)
    files, joints = _read(root, 5, (14, 3, None))
    keypoints = _to_cpm14(joints[:, :2].transpose(2, 0, 1), joints[:, 2].T > 0)
    labels = root / NETWORK_LABELS
    if trust is not None and labels.is_file():
        with np.load(labels) as archive:
            network = convert_keypoints(archive["keypoints"].astype(np.float32), "coco17", "cpm14")
        better = network[..., 2] > trust
        better[:, :2] = False  # head top and neck are derived, not found
        keypoints[better] = network[better]
        keypoints[..., 2] = keypoints[..., 2] > 0
    return PosePictures(files, keypoints)
