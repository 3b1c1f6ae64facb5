"""CUDA tensors in give CUDA tensors out; in Triton's interpreter, tensors on the CPU play that part."""

from typing import Any

import backends
import numpy as np
import pytest
from cases import CASES, Case, call

from posert import ops
from posert.errors import InputError, MissingDependency
from posert.ops import _dispatch, _tensors, _triton

torch = pytest.importorskip("torch", reason="tensors are torch's; pip install posert[gpu]")

pytestmark = [] if backends.INTERPRETED else [pytest.mark.gpu]

KDL_CPU = 1  # DLPack's number for the CPU
WITH_KERNEL = backends.for_the_layout_of_memory([case for case in CASES if case.op not in _dispatch.NO_TRITON])
POINTS = np.array([[(3, 2, 1), (np.nan, np.nan, 0)]], np.float32)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    if backends.INTERPRETED:
        monkeypatch.setattr(_tensors, "CUDA_DEVICES", (KDL_CPU,))
    return "cpu" if backends.INTERPRETED else "cuda"


def to_device(value: Any, device: str, half: bool = False) -> Any:
    """Arrays as tensors, also those in lists; maps (see `is_map`) in half precision where asked.

    Tables of limbs, and the three numbers of a mean and a scale, stay: they are settings, which the host holds.
    """
    if isinstance(value, list) and any(isinstance(item, np.ndarray) for item in value):
        return [to_device(item, device, half) for item in value]
    setting = isinstance(value, np.ndarray) and (value.dtype == np.int32 or (value.dtype == np.float32 and value.ndim == 1))
    if not isinstance(value, np.ndarray) or setting:
        return value
    result = torch.from_numpy(value.copy()).to(device)
    return result.half() if half and is_map(value) else result


def is_map(array: np.ndarray) -> bool:
    """Whether an array holds float pictures or maps; keypoints and matrices have three numbers last."""
    return array.dtype == np.float32 and array.ndim >= 4 and array.shape[-1] > 3


def with_tensors(case: Case, device: str, half: bool = False) -> tuple[tuple[Any, ...], dict[str, Any]]:
    positional, named = case.arguments()
    return tuple(to_device(value, device, half) for value in positional), {
        name: to_device(value, device, half) for name, value in named.items()
    }


@pytest.mark.parametrize("case", WITH_KERNEL, ids=str)
def test_tensors_in_give_tensors_out(case: Case, device: str):
    given = call(case, with_tensors(case, device))
    for result, wanted in zip(given, call(case, case.arguments(), backend="reference"), strict=True):
        assert isinstance(result, torch.Tensor)
        assert result.device.type == device
        np.testing.assert_allclose(result.cpu().numpy(), wanted, rtol=0, atol=case.tolerance, equal_nan=True)


@pytest.mark.parametrize("case", WITH_KERNEL, ids=str)
def test_half_precision_out_in_a_slice_of_a_buffer(case: Case, device: str):
    wanted = call(case, case.arguments(), backend="reference")[0]
    if not is_map(wanted):
        pytest.skip("not a map of float32")
    items, channels, *size = wanted.shape
    buffer = torch.full((items, channels + 2, *size), torch.nan, dtype=torch.float16, device=device)
    given = call(case, with_tensors(case, device), out=buffer[:, 1:-1])[0]
    assert given.data_ptr() == buffer[:, 1:-1].data_ptr()
    assert torch.isnan(buffer[:, 0]).all()
    assert torch.isnan(buffer[:, -1]).all()
    with np.errstate(over="ignore"):  # what half precision cannot hold is infinite
        wanted = wanted.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(given.float().cpu().numpy(), wanted, rtol=2**-10, atol=case.tolerance + 2**-14)


@pytest.mark.parametrize("case", [case for case in WITH_KERNEL if "ragged" not in case.name], ids=str)
def test_nothing_is_copied_to_the_device(case: Case, device: str, monkeypatch: pytest.MonkeyPatch):
    """A copy from ordinary host memory cannot be captured in a graph."""
    arguments = with_tensors(case, device)
    call(case, arguments)  # tables that every call shares may be copied once
    monkeypatch.setattr(_triton, "shared", lambda array: pytest.fail(f"copies {array.dtype} of shape {array.shape}"))
    call(case, arguments)


def test_out_must_be_a_tensor_that_fits(device: str):
    points = torch.from_numpy(POINTS).to(device)
    fits = torch.empty((1, 2, 5, 6), device=device)
    assert ops.rasterize_discs(points, (5, 6), out=fits).data_ptr() == fits.data_ptr()
    for out in (np.empty((1, 2, 5, 6), np.float32), fits.double(), fits[:, :1], "out"):
        with pytest.raises(InputError, match="out must be a float32 or float16 tensor of shape"):
            ops.rasterize_discs(points, (5, 6), out=out)
    with pytest.raises(InputError, match="out must be packed"):
        ops.rasterize_discs(points, (5, 6), out=torch.empty((1, 2, 5, 12), device=device)[..., ::2])
    memory = torch.zeros(64, device=device)
    with pytest.raises(InputError, match="shares memory"):
        ops.rasterize_discs(memory[:6].view(1, 2, 3), (5, 6), out=memory[:60].view(1, 2, 5, 6))


def test_a_tensor_decides_for_triton(device: str):
    points = torch.from_numpy(POINTS).to(device)
    assert ops.explain("rasterize_discs", points).startswith("rasterize_discs: triton\n")
    for backend in ("native", "reference"):
        with pytest.raises(InputError, match="takes NumPy arrays"):
            ops.rasterize_discs(points, (5, 6), backend=backend)


def test_an_operation_without_a_kernel_says_so(device: str):
    maps = torch.zeros((1, 2, 5, 6), device=device)
    assert ops.explain("distance_transform", maps).startswith("distance_transform: nothing\n")
    with pytest.raises(MissingDependency, match="runs on the CPU alone"):
        ops.distance_transform(maps, (0.03, 0.03), [(0, 0), (1, 1)])


def test_any_dtype_of_keypoints_and_no_gradients(device: str):
    points = torch.from_numpy(POINTS).to(device)
    wanted = ops.rasterize_discs(points, (5, 6))
    for given in (points.double(), points.half(), points.clone().requires_grad_()):
        result = ops.rasterize_discs(given, (5, 6))
        assert not result.requires_grad
        assert torch.equal(result, wanted)
    with pytest.raises(InputError, match="real numbers"):
        ops.rasterize_discs(points.to(torch.complex64), (5, 6))


def test_any_library_that_speaks_dlpack(device: str):
    class Foreign:
        def __init__(self, tensor: Any) -> None:
            self.tensor = tensor

        def __dlpack_device__(self) -> tuple[int, int]:
            return self.tensor.__dlpack_device__()

        def __dlpack__(self, **options: Any) -> Any:
            return self.tensor.__dlpack__(**options)

    points = torch.from_numpy(POINTS).to(device)
    out = torch.empty((1, 2, 5, 6), device=device)
    given = ops.rasterize_discs(Foreign(points), (5, 6), out=Foreign(out))
    assert given.data_ptr() == out.data_ptr()
    assert torch.equal(out, ops.rasterize_discs(points, (5, 6)))


def test_infinite_keypoints_of_a_tensor_are_missing(device: str):
    """Nobody looks at a tensor's values, so what is refused in NumPy arrays has to be safe here."""
    points = torch.tensor([[(torch.inf, 2, 1), (2, -torch.inf, 1)]], device=device)
    assert (ops.rasterize_discs(points, (5, 6)) == -1).all()
    assert (ops.rasterize_gaussians(points, (5, 6), 2.0) == 0).all()


@pytest.mark.skipif(backends.INTERPRETED, reason="graphs are captured on GPUs")
@pytest.mark.parametrize("case", [case for case in WITH_KERNEL if "ragged" not in case.name], ids=str)
def test_replay_of_a_captured_graph(case: Case, device: str):
    arguments = with_tensors(case, device)
    wanted = call(case, arguments)  # compiles
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        given = call(case, arguments)
    for result in given:
        result.fill_(7)
    graph.replay()
    torch.cuda.synchronize()
    for result, expected in zip(given, wanted, strict=True):
        np.testing.assert_array_equal(result.cpu().numpy(), expected.cpu().numpy())


@pytest.mark.skipif(backends.INTERPRETED, reason="streams are a GPU's")
def test_runs_on_the_current_stream(device: str):
    points = torch.zeros((1, 1, 3), device=device)
    wanted = ops.rasterize_discs(POINTS[:, :1], (64, 64))
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # the producer is late
        points.copy_(torch.from_numpy(POINTS[:, :1]).pin_memory(), non_blocking=True)
        given = ops.rasterize_discs(points, (64, 64))
    stream.synchronize()
    np.testing.assert_array_equal(given.cpu().numpy(), wanted)
