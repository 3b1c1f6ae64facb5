"""32 people of 200 to 400 pixels, one in each of 32 VGA photos, to one normalised batch of 256 x 256."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from posert import ops

PEOPLE, SIDE = 32, 256
MEAN = np.array([123.7, 116.3, 103.5], np.float32)
SCALE = np.array([0.0171, 0.0175, 0.0174], np.float32)


class Inputs:
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 256, (PEOPLE, 30, 40, 3), dtype=np.uint8)
        self.images = np.stack([cv2.resize(image, (640, 480), interpolation=cv2.INTER_CUBIC) for image in coarse])
        sides = rng.integers(200, 400, PEOPLE)
        left, top = rng.integers(0, 640 - sides), rng.integers(0, 480 - sides)
        self.boxes = np.stack([left, top, left + sides, top + sides], 1).astype(np.float32)
        self.transforms = ops.crop_resize(self.images, self.boxes, (SIDE, SIDE), 0, 1)[1]
        self.out = np.empty((PEOPLE, 3, SIDE, SIDE), np.float32)
        # Of each photo the box is read, and the batch is written.
        self.bytes_moved = int((3 * sides**2).sum()) + self.out.nbytes


def posert(data: Inputs) -> np.ndarray:
    return ops.crop_resize(data.images, data.boxes, (SIDE, SIDE), MEAN, SCALE, out=data.out)[0]


def warp_affine(data: Inputs) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for person, image in enumerate(data.images):
        warped = cv2.warpAffine(image, data.transforms[person], (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        data.out[person] = ((warped.astype(np.float32) - MEAN) * SCALE).transpose(2, 0, 1)
    return data.out


def resize_slice(data: Inputs) -> np.ndarray:
    for person, (x0, y0, x1, y1) in enumerate(data.boxes.astype(int)):
        resized = cv2.resize(data.images[person, y0:y1, x0:x1], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        data.out[person] = ((resized.astype(np.float32) - MEAN) * SCALE).transpose(2, 0, 1)
    return data.out


def torch_interpolate(data: Inputs) -> np.ndarray:
    torch = pytest.importorskip("torch")
    images, out = torch.from_numpy(data.images), torch.from_numpy(data.out)
    mean, scale = torch.from_numpy(MEAN)[:, None, None], torch.from_numpy(SCALE)[:, None, None]
    for person, (x0, y0, x1, y1) in enumerate(data.boxes.astype(int)):
        crop = images[person, y0:y1, x0:x1].permute(2, 0, 1)[None].float()
        resized = torch.nn.functional.interpolate(crop, (SIDE, SIDE), mode="bilinear", align_corners=False)
        out[person] = (resized[0] - mean) * scale
    return data.out


PEERS: dict[str, Callable[[Inputs], np.ndarray]] = {
    "posert": posert,
    "cv2.warpAffine + NumPy": warp_affine,
    "cv2.resize of the slice + NumPy": resize_slice,
    "torch interpolate of the slice": torch_interpolate,
}


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return Inputs()


@pytest.mark.parametrize("peer", PEERS)
def test_crop_resize(peer: str, inputs: Inputs, timed):
    inputs.out.fill(np.nan)  # so that no peer passes by what the one before it left
    result = PEERS[peer](inputs).copy()
    expected, _ = ops.crop_resize(inputs.images, inputs.boxes, (SIDE, SIDE), MEAN, SCALE, backend="reference")
    # Peers that cut first see other pixels at the rim of the box, and OpenCV rounds to whole levels.
    assert np.abs(result - expected)[:, :, 2:-2, 2:-2].max() < 4 * SCALE.max()
    timed("crop_resize", peer, lambda: PEERS[peer](inputs), inputs.bytes_moved)
