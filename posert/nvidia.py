"""What the NVIDIA driver says of this machine's GPUs, asked without torch, and which TensorRT wheel suits them."""

from __future__ import annotations

import ctypes
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from posert.errors import MissingDependency

RTX_CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
"""Compute capabilities that TensorRT-RTX 1.7 names as targets."""

_DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


@contextmanager
def on_gpu(index: int) -> Iterator[None]:
    """Make a GPU the calling thread's current one, as whatever uses CUDA's runtime then takes it, by the driver alone.

    Args:
        index: among ``devices`` of `ask_driver`.

    Raises:
        MissingDependency: the driver refuses it.
    """
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError as error:
        raise MissingDependency(f"no NVIDIA driver: {_DRIVER} cannot be loaded") from error
    context = ctypes.c_void_p()
    failed = driver.cuInit(0) or driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), index)
    if failed:
        raise MissingDependency(f"the NVIDIA driver cannot use GPU {index} (error {failed}): see nvidia-smi")
    try:
        failed = driver.cuCtxPushCurrent_v2(context)
        if failed:
            raise MissingDependency(f"the NVIDIA driver cannot make GPU {index} the current one (error {failed})")
        try:
            yield
        finally:
            driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(index)


def ask_driver() -> dict[str, Any]:
    """NVIDIA GPUs as their driver names them.

    Returns:
        ``driver``, the library, ``cuda``, the newest CUDA version that it runs, ``devices``, each with ``name`` and
        ``compute_capability``, ``nvidia_smi``, the tool's path, and ``missing``: why there is no GPU, or None.
    """
    tool = shutil.which("nvidia-smi")
    answer: dict[str, Any] = {"driver": None, "cuda": None, "devices": [], "nvidia_smi": tool}
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError:
        answer["missing"] = f"no NVIDIA driver: {_DRIVER} cannot be loaded"
        return answer
    answer["driver"] = _DRIVER
    version, count = ctypes.c_int(), ctypes.c_int()
    failed = driver.cuInit(0) or driver.cuDriverGetVersion(ctypes.byref(version)) or driver.cuDeviceGetCount(ctypes.byref(count))
    if failed:
        answer["missing"] = f"the NVIDIA driver finds no GPU that it can use (error {failed}): see nvidia-smi"
        return answer
    answer["cuda"] = f"{version.value // 1000}.{version.value % 1000 // 10}"
    for device in range(count.value):
        name, major, minor = ctypes.create_string_buffer(128), ctypes.c_int(), ctypes.c_int()
        driver.cuDeviceGetName(name, len(name), device)
        driver.cuDeviceGetAttribute(ctypes.byref(major), 75, device)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
        driver.cuDeviceGetAttribute(ctypes.byref(minor), 76, device)
        answer["devices"].append(
            {"name": name.value.decode(errors="replace"), "compute_capability": f"{major.value}.{minor.value}"}
        )
    answer["missing"] = None if count.value else "the NVIDIA driver finds no GPU"
    return answer


def tensorrt_wheel(gpu: Mapping[str, Any]) -> tuple[str | None, str]:
    """The wheel to install for the first GPU, or None, and the reason.

    Args:
        gpu: the answer of `ask_driver`.
    """
    if gpu["missing"] is not None:
        return "tensorrt-rtx-cu13", "it builds plans without a GPU; nothing runs them here"
    major = int(gpu["cuda"].partition(".")[0])
    capability = gpu["devices"][0]["compute_capability"]
    if major < 12:
        return None, f"the driver runs CUDA {gpu['cuda']}, and the wheels need 12 or 13: update the driver"
    if tuple(map(int, capability.split("."))) < (7, 5):
        return None, f"compute capability {capability} is older than 7.5, the oldest that either package runs on"
    suffix, driver = "cu12" if major == 12 else "cu13", f"the driver runs CUDA {gpu['cuda']}"
    if capability in RTX_CAPABILITIES:
        return f"tensorrt-rtx-{suffix}", f"compute capability {capability} is one of its targets, and {driver}"
    targets = ", ".join(RTX_CAPABILITIES)
    return f"tensorrt-{suffix}", f"TensorRT-RTX builds for {targets}, and not for compute capability {capability}; {driver}"
