"""What a machine needs to run plans, checked before a vendor's package is imported."""

from __future__ import annotations

import importlib.util

from posert.backends.device import CudaDevice, device_index, no_cuda
from posert.errors import MissingDependency
from posert.nvidia import ask_driver

_LEAST = (7, 5)


def missing_here(package: str, get: str) -> str | None:
    """What this machine lacks to run plans of a package, and how to get it; None if nothing is known to be missing.

    Args:
        package: ``"tensorrt"`` or ``"tensorrt_rtx"``.
        get: how to install it.
    """
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed; {get}"
    gpu = ask_driver()
    if gpu["missing"] is not None:
        return f"{package} runs on NVIDIA GPUs: {gpu['missing']}"
    from posert.builders.networks import wheel_cuda

    try:
        wheel = wheel_cuda(package)
    except MissingDependency as error:
        return str(error)
    newest = int(gpu["cuda"].partition(".")[0])
    if wheel != "unknown" and int(wheel.removeprefix("cu")) > newest:
        other = f"{package.replace('_', '-')}-cu{newest}"
        return (
            f"{package} is installed for {wheel}, and the driver runs CUDA {gpu['cuda']}: update the driver, or install {other}"
        )
    if importlib.util.find_spec("torch") is None:
        return f"torch is not installed, whose GPU memory {package} works in; pip install 'posert[gpu]'"
    try:
        import torch
    except ImportError as error:
        return f"torch cannot be imported ({error}); pip install 'posert[gpu]'"
    return None if torch.cuda.is_available() else no_cuda()


def open_device(name: str) -> CudaDevice:
    """The GPU of ``device=``.

    Raises:
        MissingDependency: it is not there, or too old.
    """
    device = CudaDevice(device_index(name))
    if tuple(map(int, device.capability.split("."))) < _LEAST:
        oldest = ".".join(map(str, _LEAST))
        raise MissingDependency(
            f"{device.name} ({device.product}) has compute capability {device.capability}, and plans run from {oldest} on: "
            f"use device='cpu', or backend='torch'"
        )
    return device
