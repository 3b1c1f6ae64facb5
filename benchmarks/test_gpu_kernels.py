"""Every Triton kernel on a GPU, at the sizes of the CPU benchmarks or above: CUDA events, a cold cache, and torch beside it.

Skipped where there is no GPU. The results of a machine are kept in benchmarks/results:
pytest benchmarks/test_gpu_kernels.py --benchmark-only --benchmark-json=benchmarks/results/NAME.json
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from poses import standing, standing_cpm14
from scenes import STRIDE, crowd, crowd_maps

from posert import ops
from posert.ops import _triton

WHY_NOT = _triton.problem()
if WHY_NOT is not None or _triton.interpreting():
    pytest.skip(f"no GPU: {WHY_NOT}", allow_module_level=True)

torch = pytest.importorskip("torch")
gpu = pytest.importorskip("gpu")

PEOPLE, SIDE = 64, 256
CHECKED = 2  # people whose results are compared with the native kernels' before the clock starts


@dataclass(frozen=True)
class Kernel:
    """One operation on inputs of one size.

    Attributes:
        arguments: what it is called with; arrays of `PEOPLE` items are moved to the GPU.
        read: bytes of the arguments that must be read at least; what is written is added.
        named: more arguments.
        torch: the same in torch as a user would write it today, or None.
        tolerance: of the results against the native kernels'.
    """

    arguments: tuple[Any, ...]
    read: int
    named: dict[str, Any] = field(default_factory=dict)
    torch: Callable[..., torch.Tensor] | None = None
    tolerance: float = 1e-5


def photos() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (PEOPLE, 30, 40, 3), dtype=np.uint8)
    return coarse.repeat(16, 1).repeat(16, 2)


def crop_resize() -> Kernel:
    rng = np.random.default_rng(0)
    sides = rng.integers(200, 400, PEOPLE)
    left, top = rng.integers(0, 640 - sides), rng.integers(0, 480 - sides)
    boxes = np.stack([left, top, left + sides, top + sides], 1).astype(np.float32)
    return Kernel((photos(), boxes, (SIDE, SIDE), 127.5, 1 / 127.5), int((3 * sides**2).sum()), tolerance=1e-4)


def to_uint8() -> Kernel:
    def in_torch(images: torch.Tensor) -> torch.Tensor:
        return ((images + 1) * 127.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    images = np.random.default_rng(0).uniform(-1.1, 1.1, (PEOPLE, 3, SIDE, SIDE)).astype(np.float32)
    return Kernel((images,), images.nbytes, torch=in_torch, tolerance=0)


def rasterize_discs() -> Kernel:
    return Kernel((standing(PEOPLE), (SIDE, SIDE)), 0, tolerance=0)


def rasterize_gaussians() -> Kernel:
    def in_torch(points: torch.Tensor, size: tuple[int, int], sigma: float) -> torch.Tensor:
        rows, columns = (torch.arange(side, device=points.device, dtype=torch.float32) for side in size)
        across = torch.exp(-((columns - points[..., :1]) ** 2) / (2 * sigma**2))
        down = torch.exp(-((rows - points[..., 1:2]) ** 2) / (2 * sigma**2))
        return down[..., None] * across[..., None, :]

    return Kernel((standing(PEOPLE), (SIDE, SIDE), 7.0), 0, torch=in_torch)


def pose_mask() -> Kernel:
    return Kernel((standing(PEOPLE), (SIDE, SIDE)), 0, tolerance=0)


def closing() -> Kernel:
    def in_torch(mask: torch.Tensor, size: int) -> torch.Tensor:
        def dilated(values: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.max_pool2d(values, size, 1, size // 2)

        return (-dilated(-dilated(mask.half()))).to(torch.uint8)

    mask = ops.pose_mask(standing(PEOPLE), (SIDE, SIDE), closing=1)
    return Kernel((mask, 5), mask.nbytes, torch=in_torch, tolerance=0)


def decode_heatmaps(method: str) -> Callable[[], Kernel]:
    def build() -> Kernel:
        maps = ops.rasterize_gaussians(standing(PEOPLE), (46, 46), 7.0, 8)
        maps += np.random.default_rng(0).normal(0, 0.01, maps.shape).astype(np.float32)
        return Kernel((maps, method), maps.nbytes, tolerance=1e-3)

    return build


def rasterize_pafs() -> Kernel:
    crowds = standing(4 * PEOPLE).reshape(PEOPLE, 4, 18, 3)
    return Kernel((crowds, (46, 46)), 0, {"stride": 8}, tolerance=1e-6)


def limb_scores() -> Kernel:
    heatmaps, pafs = crowd_maps(crowd())
    peaks = ops.find_peaks(heatmaps, stride=STRIDE, max_peaks=32)
    scenes = [np.tile(array, (PEOPLE, 1, 1, 1)) for array in (peaks, pafs)]
    return Kernel(tuple(scenes), sum(array.nbytes for array in scenes), {"stride": STRIDE})


def limb_priors() -> Kernel:
    return Kernel((standing_cpm14(PEOPLE), (SIDE, SIDE)), 0)


def part_masks() -> Kernel:
    logits = np.random.default_rng(0).normal(0, 1, (PEOPLE, 11, SIDE, SIDE)).astype(np.float32)
    return Kernel((logits, standing_cpm14(PEOPLE)), logits.nbytes)


def warp_parts() -> Kernel:
    def in_torch(image: torch.Tensor, masks: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        functional = torch.nn.functional
        layers = functional.pad((masks[:, :, None] * image[:, None]).flatten(0, 1), (1, 1, 1, 1), mode="reflect")
        axis = torch.arange(SIDE, dtype=torch.float32, device=image.device)
        ones = torch.ones(SIDE, SIDE, device=image.device)
        points = torch.stack([axis.expand(SIDE, SIDE), axis[:, None].expand(SIDE, SIDE), ones], -1)
        grid = (points @ matrices.flatten(0, 1)[:, None].transpose(-1, -2) + 1) / (SIDE + 1) * 2 - 1
        warped = functional.grid_sample(layers, grid, padding_mode="border", align_corners=True)
        return warped.view(*masks.shape[:2], 3, SIDE, SIDE)

    poses = standing_cpm14(2 * PEOPLE)
    source, target = poses[:PEOPLE], poses[PEOPLE:]
    image = np.random.default_rng(0).uniform(-1, 1, (PEOPLE, 3, SIDE, SIDE)).astype(np.float32)
    masks = ops.part_masks(np.zeros((PEOPLE, 11, SIDE, SIDE), np.float32), source)
    return Kernel(
        (image, masks, ops.part_transforms(target, source)), image.nbytes + masks.nbytes, torch=in_torch, tolerance=2e-5
    )


def composite(as_uint8: bool) -> Callable[[], Kernel]:
    def in_torch(front: torch.Tensor, back: torch.Tensor, mask: torch.Tensor, as_uint8: bool) -> torch.Tensor:
        blend = mask * front + (1 - mask) * back
        return ((blend + 1) * 127.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous() if as_uint8 else blend

    def build() -> Kernel:
        rng = np.random.default_rng(0)
        front, back = rng.uniform(-1, 1, (2, PEOPLE, 3, SIDE, SIDE)).astype(np.float32)
        mask = rng.uniform(0, 1, (PEOPLE, 1, SIDE, SIDE)).astype(np.float32)
        moved = front.nbytes + back.nbytes + mask.nbytes
        return Kernel((front, back, mask), moved, {"as_uint8": as_uint8}, torch=in_torch, tolerance=0)

    return build


KERNELS: dict[str, Callable[[], Kernel]] = {
    "crop_resize": crop_resize,
    "to_uint8": to_uint8,
    "rasterize_discs": rasterize_discs,
    "rasterize_gaussians": rasterize_gaussians,
    "pose_mask": pose_mask,
    "closing": closing,
    **{f"decode_heatmaps, {method}": decode_heatmaps(method) for method in ("argmax", "quarter", "softargmax", "upsampled")},
    "rasterize_pafs": rasterize_pafs,
    "limb_scores": limb_scores,
    "limb_priors": limb_priors,
    "part_masks": part_masks,
    "warp_parts": warp_parts,
    "composite": composite(as_uint8=False),
    "composite, as_uint8": composite(as_uint8=True),
}


def on_gpu(value: Any) -> Any:
    return torch.from_numpy(value).cuda() if isinstance(value, np.ndarray) else value


def few(value: Any) -> Any:
    return value[:CHECKED] if isinstance(value, np.ndarray) and len(value) == PEOPLE else value


def first(result: Any) -> Any:
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.benchmark(timer=gpu.EventClock())
@pytest.mark.parametrize("peer", ["posert", "torch"])
@pytest.mark.parametrize("name", KERNELS)
def test_kernel(name: str, peer: str, benchmark: Any) -> None:
    kernel = KERNELS[name]()
    operation = getattr(ops, name.partition(",")[0])
    if peer == "torch" and kernel.torch is None:
        pytest.skip("nobody would write this in torch")
    arguments = tuple(on_gpu(value) for value in kernel.arguments)
    named = {key: on_gpu(value) for key, value in kernel.named.items()}
    wanted = first(operation(*(few(value) for value in kernel.arguments), **kernel.named, backend="native"))
    out = first(operation(*arguments, **named))

    def work() -> torch.Tensor:
        return first(operation(*arguments, **named, out=out)) if peer == "posert" else kernel.torch(*arguments, **named)

    # torch rounds in its own way on the way to whole grey levels
    slack = kernel.tolerance if peer == "posert" else max(kernel.tolerance, 1.0 if wanted.dtype == np.uint8 else 1e-4)
    given = work()[:CHECKED].cpu().numpy().astype(np.float64)
    np.testing.assert_allclose(given, wanted.astype(np.float64), rtol=0, atol=slack, equal_nan=True)
    benchmark.group = f"{name} on {torch.cuda.get_device_name()}"
    benchmark.pedantic(work, setup=gpu.flush, rounds=gpu.ROUNDS, iterations=1)
    moved = kernel.read + out.nbytes
    speed = moved / benchmark.stats.stats.median / 1e9
    benchmark.extra_info |= {
        "peer": peer,
        "bytes_moved": moved,
        "gb_per_s": speed,
        "share_of_copy_bandwidth": speed / gpu.copy_bandwidth(),
        "copy_bandwidth": gpu.copy_bandwidth(),
    }
