"""Closing of 32 images of 256 x 256: body masks with the 5 x 5 square of PG2, and grey images with larger ones."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from poses import standing

from posert import ops

PEOPLE, SIDE = 32, 256


def posert(images: np.ndarray, size: int, out: np.ndarray) -> None:
    ops.closing(images, size, out=out)


def opencv(images: np.ndarray, size: int, out: np.ndarray) -> None:
    square = np.ones((size, size), np.uint8)
    for image, result in zip(images, out, strict=True):
        cv2.morphologyEx(image, cv2.MORPH_CLOSE, square, dst=result)


def torch_pool(images: np.ndarray, size: int, out: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    pool = torch.nn.functional.max_pool2d
    dilated = pool(torch.from_numpy(images)[:, None].float(), size, 1, size // 2)
    torch.from_numpy(out)[:, None] = (-pool(-dilated, size, 1, size // 2)).to(torch.uint8)


def scipy_filters(images: np.ndarray, size: int, out: np.ndarray) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    dilated = ndimage.maximum_filter(images, (1, size, size), mode="constant", cval=0)
    ndimage.minimum_filter(dilated, (1, size, size), mode="constant", cval=255, output=out)


PEERS: dict[str, Callable[[np.ndarray, int, np.ndarray], None]] = {
    "posert": posert,
    "cv2.morphologyEx": opencv,
    "torch max_pool2d": torch_pool,
    "SciPy": scipy_filters,
}


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("group", ["closing 5x5, masks", "closing 21x21, masks", "closing 5x5, grey", "closing 21x21, grey"])
def test_closing(group: str, peer: str, timed):
    size = int(group.split()[1].split("x")[0])
    images = np.random.default_rng(0).integers(0, 256, (PEOPLE, SIDE, SIDE), dtype=np.uint8)
    if group.endswith("masks"):
        images = ops.pose_mask(standing(PEOPLE), (SIDE, SIDE), closing=1)[:, 0]
    out = np.full_like(images, 99)
    PEERS[peer](images, size, out)
    np.testing.assert_array_equal(out, ops.closing(images, size, backend="reference"))
    timed(group, peer, lambda: PEERS[peer](images, size, out), images.nbytes + out.nbytes)
