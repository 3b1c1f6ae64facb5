"""32 network outputs of 3 x 256 x 256 to 8-bit pictures."""

import numpy as np
import pytest

from posert import ops

SHAPE = (32, 3, 256, 256)


def numpy_way(images: np.ndarray, out: np.ndarray) -> None:
    out[...] = np.clip((images + 1) * 127.5, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def numpy_in_place(images: np.ndarray, out: np.ndarray) -> None:
    for image, picture in zip(images, out, strict=True):
        levels = image + np.float32(1)
        levels *= np.float32(127.5)
        picture[...] = np.clip(levels, 0, 255, out=levels).astype(np.uint8).transpose(1, 2, 0)


def torch_way(images: np.ndarray, out: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    levels = ((torch.from_numpy(images) + 1) * 127.5).clamp_(0, 255).to(torch.uint8)
    torch.from_numpy(out).copy_(levels.permute(0, 2, 3, 1))


PEERS = {
    "posert": lambda images, out: ops.to_uint8(images, out=out),
    "NumPy": numpy_way,
    "NumPy an image at a time": numpy_in_place,
    "torch": torch_way,
}


@pytest.mark.parametrize("peer", PEERS)
def test_to_uint8(peer: str, timed):
    images = np.random.default_rng(0).normal(0, 0.6, SHAPE).astype(np.float32)
    out = np.empty((SHAPE[0], *SHAPE[2:], 3), np.uint8)
    PEERS[peer](images, out)
    np.testing.assert_array_equal(out, ops.to_uint8(images, backend="reference"))
    timed("to_uint8", peer, lambda: PEERS[peer](images, out), images.nbytes + out.nbytes)
