"""decode_heatmaps of tensors: ties, maps of every layout, and transforms that nobody looks at."""

import backends
import numpy as np
import pytest

from posert import ops
from posert.ops import _tensors

torch = pytest.importorskip("torch", reason="tensors are torch's; pip install posert[gpu]")

pytestmark = [] if backends.INTERPRETED else [pytest.mark.gpu]

RNG = np.random.default_rng(11)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    if backends.INTERPRETED:
        monkeypatch.setattr(_tensors, "CUDA_DEVICES", (1,))  # DLPack's number for the CPU
    return "cpu" if backends.INTERPRETED else "cuda"


@pytest.mark.parametrize("stride", [2, 5, 8, 33])
@pytest.mark.parametrize("quantum", [0.001, 0.25, 0.5])
def test_upsampled_peaks_are_exact_on_noise(stride: int, quantum: float):
    """Ties and near ties fall alike, because the same taps are summed in the same order in float64."""
    shape = (2, 2, 5, 6) if stride < 33 else (1, 2, 3, 4)  # the interpreter takes a minute for what a GPU does at once
    maps = (np.round(RNG.uniform(-0.5, 1, shape) / quantum) * quantum).astype(np.float32)
    triton = ops.decode_heatmaps(maps, "upsampled", stride=stride, backend="triton")
    np.testing.assert_array_equal(triton, ops.decode_heatmaps(maps, "upsampled", stride=stride, backend="reference"))


@pytest.mark.parametrize("method", ["argmax", "quarter", "softargmax", "upsampled"])
def test_half_precision_channels_of_a_larger_tensor(device: str, method: str):
    maps = RNG.uniform(-1, 1, (2, 5, 7, 9)).astype(np.float16)
    wanted = ops.decode_heatmaps(maps[:, 1:4].astype(np.float32), method, stride=4, window=99, backend="reference")
    given = ops.decode_heatmaps(torch.from_numpy(maps).to(device)[:, 1:4], method, stride=4, window=99)
    np.testing.assert_allclose(given.cpu().numpy(), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["argmax", "quarter", "softargmax", "upsampled"])
@pytest.mark.parametrize("size", [(0, 4), (4, 0)])
def test_maps_without_cells_are_missing(device: str, method: str, size: tuple[int, int]):
    given = ops.decode_heatmaps(torch.zeros((1, 2, *size), device=device), method).cpu()
    assert torch.isnan(given[..., :2]).all()
    assert (given[..., 2] == 0).all()


def test_transforms_that_are_not_finite_give_missing_joints(device: str):
    maps = torch.ones((4, 1, 3, 3), device=device)
    transforms = torch.tensor([[(1, 0, 0), (0, 1, 0)]] * 4, dtype=torch.float32, device=device)
    transforms[0, 0, 0] = torch.nan
    transforms[1, 1, 2] = torch.inf
    transforms[2, 0, 2] = 3.4e38
    transforms[2, 0, 0] = 1e38
    given = ops.decode_heatmaps(maps, "argmax", transforms=transforms).cpu()
    assert torch.isnan(given[:3, :, :2]).all()
    assert (given[:3, :, 2] == 0).all()
    assert given[3, 0].tolist() == [3.5, 3.5, 1]
