"""Eleven layers of 8 people at 256 x 256, from one pose to another: masks as they are for people who stand."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from poses import standing_cpm14

from posert import ops

PEOPLE, SIDE = 8, 256


class Inputs:
    def __init__(self) -> None:
        keypoints = standing_cpm14(2 * PEOPLE)
        source, target = keypoints[:PEOPLE], keypoints[PEOPLE:]
        self.image = np.random.default_rng(0).uniform(-1, 1, (PEOPLE, 3, SIDE, SIDE)).astype(np.float32)
        self.masks = ops.part_masks(np.zeros((PEOPLE, 11, SIDE, SIDE), np.float32), source)
        self.transforms = ops.part_transforms(target, source)
        self.expected = ops.warp_parts(self.image, self.masks, self.transforms, backend="reference")
        self.out = np.empty_like(self.expected)


def posert(data: Inputs) -> None:
    ops.warp_parts(data.image, data.masks, data.transforms, out=data.out)


def opencv_loop(data: Inputs) -> None:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for image, masks, matrices, layers in zip(data.image, data.masks, data.transforms, data.out, strict=True):
        pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
        for mask, matrix, layer in zip(masks, matrices, layers, strict=True):
            warped = cv2.warpAffine(pixels * mask[..., None], matrix, (SIDE, SIDE), flags=flags)
            layer[...] = warped.transpose(2, 0, 1)


def torch_grid_sample(data: Inputs) -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    image, masks, matrices = (torch.from_numpy(array) for array in (data.image, data.masks, data.transforms))
    layers = functional.pad((masks[:, :, None] * image[:, None]).flatten(0, 1), (1, 1, 1, 1), mode="reflect")
    axis = torch.arange(SIDE, dtype=torch.float32)
    points = torch.stack([axis.expand(SIDE, SIDE), axis[:, None].expand(SIDE, SIDE), torch.ones(SIDE, SIDE)], -1)
    grid = (points @ matrices.flatten(0, 1)[:, None].transpose(-1, -2) + 1) / (SIDE + 1) * 2 - 1
    warped = functional.grid_sample(layers, grid, padding_mode="border", align_corners=True)
    torch.from_numpy(data.out).copy_(warped.view(data.out.shape))


def only_write(data: Inputs) -> None:
    data.out.fill(-1)


PEERS: dict[str, Callable[[Inputs], None]] = {
    "posert": posert,
    "cv2.warpAffine + NumPy": opencv_loop,
    "torch grid_sample": torch_grid_sample,
    "only write it all (ndarray.fill)": only_write,
}


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return Inputs()


@pytest.mark.parametrize("peer", PEERS)
def test_warp_parts(peer: str, inputs: Inputs, timed):
    inputs.out.fill(np.nan)
    PEERS[peer](inputs)
    if "only write" not in peer:
        difference = np.abs(inputs.out - inputs.expected)
        # OpenCV counts in 32nds of a pixel, and beyond the frame it has 0 where K7 repeats the border.
        assert difference.max() < (1e-5 if peer == "posert" else 1e-3) or peer.startswith("cv2")
        assert difference.mean() < (5e-3 if peer.startswith("cv2") else 1e-5)
    timed("warp_parts", peer, lambda: PEERS[peer](inputs), inputs.image.nbytes + inputs.masks.nbytes + inputs.out.nbytes)
