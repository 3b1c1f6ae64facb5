"""The soft part masks of 8 people at 256 x 256: priors and softmax in one pass."""

from collections.abc import Callable

import numpy as np
import pytest
from poses import standing_cpm14
from test_limb_priors import numpy_loop, torch_batched

from posert import ops

PEOPLE, SIDE = 8, 256


def posert(logits: np.ndarray, keypoints: np.ndarray, out: np.ndarray) -> None:
    ops.part_masks(logits, keypoints, out=out)


def numpy_way(logits: np.ndarray, keypoints: np.ndarray, out: np.ndarray, power: int = 1) -> None:
    numpy_loop(keypoints, out)
    out += logits
    if power != 1:
        out *= power
    out -= out.max(1, keepdims=True)
    np.exp(out, out=out)
    out /= out.sum(1, keepdims=True)


def torch_way(logits: np.ndarray, keypoints: np.ndarray, out: np.ndarray, power: int = 1) -> None:
    torch = pytest.importorskip("torch")
    torch_batched(keypoints, out)
    result = torch.from_numpy(out)
    result += torch.from_numpy(logits)
    torch.softmax(result if power == 1 else result * power, 1, out=result)


def only_add(logits: np.ndarray, keypoints: np.ndarray, out: np.ndarray) -> None:
    np.add(logits, 1, out=out)


PEERS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], None]] = {
    "posert": posert,
    "NumPy": numpy_way,
    "torch": torch_way,
    "only read and write it all (numpy.add)": only_add,
}


@pytest.mark.parametrize("peer", PEERS)
def test_part_masks(peer: str, timed):
    keypoints = standing_cpm14(PEOPLE)
    logits = np.random.default_rng(0).normal(0, 3, (PEOPLE, 11, SIDE, SIDE)).astype(np.float32)
    out = np.full(logits.shape, np.nan, np.float32)
    PEERS[peer](logits, keypoints, out)
    if "only read" not in peer:
        np.testing.assert_allclose(out, ops.part_masks(logits, keypoints, backend="reference"), atol=2e-5)
    timed("part_masks", peer, lambda: PEERS[peer](logits, keypoints, out), logits.nbytes + out.nbytes)
