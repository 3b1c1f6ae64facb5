"""32 foregrounds of 3 x 256 x 256 over their backgrounds, as floats and as 8-bit pictures."""

from collections.abc import Callable

import numpy as np
import pytest

from posert import ops

SHAPE = (32, 3, 256, 256)


class Inputs:
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.foreground, self.background = rng.normal(0, 0.6, (2, *SHAPE)).astype(np.float32)
        self.mask = rng.random((SHAPE[0], 1, *SHAPE[2:])).astype(np.float32)
        self.read_bytes = 2 * self.foreground.nbytes + self.mask.nbytes


def posert(data: Inputs, out: np.ndarray) -> None:
    ops.composite(data.foreground, data.background, data.mask, as_uint8=out.dtype == np.uint8, out=out)


def numpy_way(data: Inputs, out: np.ndarray) -> None:
    blend = data.mask * data.foreground + (1 - data.mask) * data.background
    if out.dtype == np.uint8:
        out[...] = np.clip((blend + 1) * 127.5, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
    else:
        out[...] = blend


def torch_way(data: Inputs, out: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    foreground, background, mask = (torch.from_numpy(array) for array in (data.foreground, data.background, data.mask))
    blend = mask * foreground + (1 - mask) * background
    if out.dtype == np.uint8:
        blend = ((blend + 1) * 127.5).clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    torch.from_numpy(out).copy_(blend)


def numpy_and_to_uint8(data: Inputs, out: np.ndarray) -> None:
    ops.to_uint8(data.mask * data.foreground + (1 - data.mask) * data.background, out=out)


PEERS: dict[str, Callable[[Inputs, np.ndarray], None]] = {"posert": posert, "NumPy": numpy_way, "torch": torch_way}
LEVEL_PEERS = {**PEERS, "NumPy + posert.ops.to_uint8": numpy_and_to_uint8}


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return Inputs()


@pytest.mark.parametrize("peer", PEERS)
def test_composite(peer: str, inputs: Inputs, timed):
    out = np.full(SHAPE, np.nan, np.float32)
    PEERS[peer](inputs, out)
    np.testing.assert_allclose(out, inputs.mask * inputs.foreground + (1 - inputs.mask) * inputs.background, atol=1e-6)
    timed("composite", peer, lambda: PEERS[peer](inputs, out), inputs.read_bytes + out.nbytes)


@pytest.mark.parametrize("peer", LEVEL_PEERS)
def test_composite_as_uint8(peer: str, inputs: Inputs, timed):
    out = np.zeros((SHAPE[0], *SHAPE[2:], 3), np.uint8)
    LEVEL_PEERS[peer](inputs, out)
    expected = ops.composite(inputs.foreground, inputs.background, inputs.mask, as_uint8=True, backend="reference")
    np.testing.assert_array_equal(out, expected)
    timed("composite, as_uint8", peer, lambda: LEVEL_PEERS[peer](inputs, out), inputs.read_bytes + out.nbytes)
