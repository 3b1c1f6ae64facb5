"""`posert doctor`: what this machine can run, why, what is missing, and the command that brings it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

import typer

from posert.commands.console import Json, print_facts, print_json, print_table, say

PACKAGES = {
    "numpy": ("numpy", "pip install posert"),
    "onnxruntime": ("onnxruntime", "pip install posert"),
    "opencv": ("opencv-python-headless", "pip install posert"),
    "pyav": ("av", "pip install 'posert[video]'"),
    "torch": ("torch", "pip install 'posert[gpu]'"),
    "triton": ("triton", "pip install 'posert[gpu]'"),
    "tensorrt-rtx": ("tensorrt-rtx-cu13", "pip install 'posert[tensorrt-rtx]'"),
    "tensorrt": ("tensorrt", "pip install 'posert[tensorrt]'"),
    "openvino": ("openvino", "pip install openvino"),
}
"""Name for people, name of the distribution, command that installs it."""
_ALTERNATIVES = {
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino"),
    "tensorrt-rtx-cu13": ("tensorrt-rtx", "tensorrt-rtx-cu12"),
    "tensorrt": ("tensorrt-cu13", "tensorrt-cu12"),
}
_NEEDED = ("numpy", "onnxruntime", "opencv")


def run(as_json: Json = False) -> None:
    """Say what this machine can run: processor, threads, runtimes, GPU; what is missing, and how to get it.

    The exit status is 0 if posert can run here, and 1 if it cannot.

    \b
    For a reader:   posert doctor
    For a program:  posert doctor --json
    """
    facts = examine()
    if as_json:
        print_json(facts)
    else:
        _show(facts)
    if not facts["can_run"]:
        raise typer.Exit(1)


def examine() -> dict[str, Any]:
    """All that is known about this machine, as a JSON document.

    Nothing heavy is imported but ONNX Runtime and TensorRT's packages; a GPU is asked through its driver alone.
    """
    import posert
    from posert import backends, zoo
    from posert.backends.onnxruntime import providers
    from posert.nvidia import ask_driver

    kernels = _kernels()
    packages = {name: _package(*entry) for name, entry in PACKAGES.items()}
    survey = backends.survey()
    runnable = [name for name, reason in survey.items() if reason is None]
    needed = [name for name in _NEEDED if packages[name]["version"] is None]
    gpu = ask_driver()
    return {
        "can_run": bool(runnable) and not needed,
        "posert": posert.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": {"name": _processor(), **_cpus(), **kernels},
        "onnxruntime_providers": providers(),
        "gpu": gpu,
        "tensorrt": _tensorrt(gpu),
        "packages": packages,
        "backends": {name: {"can_run": reason is None, "missing": reason} for name, reason in survey.items()},
        "chosen_backend": runnable[0] if runnable else None,
        "models": list(zoo.names()),
    }


def _kernels() -> dict[str, Any]:
    """What posert's own C++ kernels run with, or why they do not."""
    from posert.errors import MissingDependency
    from posert.ops import get_num_threads

    try:
        threads = get_num_threads()
    except MissingDependency as error:
        return {"kernels": "NumPy", "kernels_missing": str(error), "threads": None, "cpu_quota": None}
    from posert import _native

    return {
        "kernels": f"C++, {_native.instruction_set()}",
        "kernels_missing": None,
        "threads": threads,
        "cpu_quota": _native.quota_cpus() or None,
    }


def _cpus() -> dict[str, int]:
    total = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else total
    return {"cpus": total, "cpus_allowed": allowed}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _package(distribution: str, command: str) -> dict[str, str | None]:
    for name in (distribution, *_ALTERNATIVES.get(distribution, ())):
        try:
            return {"distribution": name, "version": importlib.metadata.version(name), "install": None}
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"distribution": distribution, "version": None, "install": command}


def _tensorrt(gpu: dict[str, Any]) -> dict[str, Any]:
    """The wheel that suits this machine, whether it is there, and what each package lacks to build plans here."""
    from posert import builders
    from posert.nvidia import tensorrt_wheel

    wheel, reason = tensorrt_wheel(gpu)
    installed = _package(wheel, "")["version"] if wheel else None
    return {
        "wheel": wheel,
        "installed": installed,
        "reason": reason,
        "builds": {name: builders.missing(name) for name in builders.NAMES},
    }


def _show(facts: dict[str, Any]) -> None:
    processor, gpu = facts["processor"], facts["gpu"]
    devices = ", ".join(f"{d['name']} (compute capability {d['compute_capability']})" for d in gpu["devices"])
    rows = [
        ("posert", f"{facts['posert']}, Python {facts['python']}, {facts['platform']}"),
        ("processor", processor["name"]),
        ("kernels", processor["kernels"] + (f": {processor['kernels_missing']}" if processor["kernels_missing"] else "")),
        ("threads", _threads(processor)),
        ("GPU", f"{devices}, driver for CUDA {gpu['cuda']}" if devices else f"{gpu['missing']}: posert runs on the CPU"),
        ("TensorRT", _advice(facts["tensorrt"])),
        ("ONNX Runtime", ", ".join(facts["onnxruntime_providers"]) or "not there"),
        ("models", ", ".join(facts["models"]) or "none embedded"),
    ]
    print_facts(rows)
    chosen = facts["chosen_backend"]
    found = [
        (name, "chosen" if name == chosen else "can run" if entry["can_run"] else "cannot run", entry["missing"] or "")
        for name, entry in facts["backends"].items()
    ]
    print_table("Backends, in the order in which they are tried", ("backend", "here", "what is missing"), found)
    listed = [
        (
            name,
            entry["version"] or "not installed",
            "" if entry["version"] else _how(name, entry["install"], bool(gpu["devices"])),
        )
        for name, entry in facts["packages"].items()
    ]
    print_table("Packages", ("package", "version", "to get it"), listed)
    say(f"posert runs here, with {chosen}." if facts["can_run"] else "posert cannot run here: see what is missing above.")


def _advice(tensorrt: dict[str, Any]) -> str:
    """What `_tensorrt` found, in words."""
    wheel, reason, version = tensorrt["wheel"], tensorrt["reason"], tensorrt["installed"]
    if wheel is not None:
        reason = f"{wheel} {version} is installed: {reason}" if version else f"pip install {wheel} filelock: {reason}"
    builds = [f"{name} builds plans here" if missing is None else missing for name, missing in tensorrt["builds"].items()]
    return "\n".join([reason, *builds])


def _threads(processor: dict[str, Any]) -> str:
    if processor["threads"] is None:
        return "decided by NumPy"
    quota = processor["cpu_quota"]
    reason = f"this process may run on {processor['cpus_allowed']} of {processor['cpus']} CPUs"
    return f"{processor['threads']}: {reason}, " + (f"with a quota (cgroup) of {quota}" if quota else "without a quota (cgroup)")


def _how(name: str, command: str, gpu: bool) -> str:
    """The command, or that it would be of no use here."""
    if name in ("torch", "triton", "tensorrt", "tensorrt-rtx") and not gpu:
        return f"{command} (of use with an NVIDIA GPU)"
    return command
