"""The log priors of 11 layers for 8 people at 256 x 256."""

from collections.abc import Callable

import numpy as np
import pytest
from poses import standing_cpm14

from posert import ops

PEOPLE, SIDE = 8, 256


def posert(keypoints: np.ndarray, out: np.ndarray) -> None:
    ops.limb_priors(keypoints, (SIDE, SIDE), out=out)


def numpy_loop(keypoints: np.ndarray, out: np.ndarray) -> None:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    for points, planes in zip(keypoints[..., :2], out, strict=True):
        for part, joints in enumerate(ops.UNSEEN_PARTS, start=1):
            half = len(joints) // 2
            start, end = points[list(joints[:half])].mean(0), points[list(joints[half:])].mean(0)
            length = np.linalg.norm(end - start)
            (ux, uy), (cx, cy) = (end - start) / length, (start + end) / 2
            along, across = ux * (x - cx) + uy * (y - cy), ux * (y - cy) - uy * (x - cx)
            deviation = 11 if half == 1 else 13
            mask = np.exp(-(along**2) / (2 * max(5, length**2 / 1.5)) - across**2 / (2 * deviation**2))
            planes[part] = mask / (mask.max() + 1e-6)
        planes[0] = 1 - planes[1:].max(0)
        np.log(planes + np.float32(1e-10), out=planes)


def torch_batched(keypoints: np.ndarray, out: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    points = torch.from_numpy(keypoints[..., :2])
    pairs = [(joints[: len(joints) // 2], joints[len(joints) // 2 :]) for joints in ops.UNSEEN_PARTS]
    start, end = (torch.stack([points[:, list(pair[i])].mean(1) for pair in pairs], 1) for i in (0, 1))
    length = (end - start).norm(dim=-1, keepdim=True)
    (ux, uy), (cx, cy) = (value[..., None, None].unbind(2) for value in ((end - start) / length, (start + end) / 2))
    axis = torch.arange(SIDE, dtype=torch.float32)
    x, y = axis[None, :] - cx, axis[:, None] - cy
    deviation = torch.tensor([11.0] * 9 + [13.0])[:, None, None]
    variance = (length[..., None] ** 2 / 1.5).clamp(min=5)
    mask = torch.exp(-((ux * x + uy * y) ** 2) / (2 * variance) - (ux * y - uy * x) ** 2 / (2 * deviation**2))
    mask = mask / (mask.amax((2, 3), keepdim=True) + 1e-6)
    priors = torch.cat([1 - mask.amax(1, keepdim=True), mask], 1)
    torch.log(priors + 1e-10, out=torch.from_numpy(out))


def only_write(keypoints: np.ndarray, out: np.ndarray) -> None:
    out.fill(-1)


PEERS: dict[str, Callable[[np.ndarray, np.ndarray], None]] = {
    "posert": posert,
    "NumPy loop": numpy_loop,
    "torch batched": torch_batched,
    "only write it all (ndarray.fill)": only_write,
}


@pytest.mark.parametrize("peer", PEERS)
def test_limb_priors(peer: str, timed):
    keypoints = standing_cpm14(PEOPLE)
    out = np.full((PEOPLE, 11, SIDE, SIDE), np.nan, np.float32)
    PEERS[peer](keypoints, out)
    if "only write" not in peer:
        expected = ops.limb_priors(keypoints, (SIDE, SIDE), backend="reference")
        np.testing.assert_allclose(np.exp(out), np.exp(expected), atol=2e-6)
    timed("limb_priors", peer, lambda: PEERS[peer](keypoints, out), out.nbytes)
