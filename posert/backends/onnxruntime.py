"""ONNX Runtime, on the CPU or an NVIDIA GPU."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from posert.backends import Array, LoadRequest, Network, compare_tensors
from posert.bundle import check_self_contained
from posert.errors import BackendError, ExecutionError, MissingDependency

_GET_CPU = "install it with: pip install onnxruntime"
_GET_CUDA = "install its CUDA build with: pip uninstall onnxruntime; pip install 'onnxruntime-gpu[cuda,cudnn]'"
_ERRORS_ONLY = 3
_TYPES = {
    **{"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"},
    **{"tensor(int32)": "int32", "tensor(int64)": "int64", "tensor(bool)": "bool"},
}


def missing(device: str) -> str | None:
    """What is missing to run on a kind of device, ``"cpu"`` or ``"cuda"``, and how to get it; None if nothing is known to be."""
    if importlib.util.find_spec("onnxruntime") is None:
        return f"onnxruntime is not installed; {_GET_CPU}"
    try:
        import onnxruntime
    except ImportError as error:
        return f"onnxruntime cannot be imported ({error}); {_GET_CPU}"
    if device == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return f"onnxruntime {onnxruntime.__version__} was built without CUDA; {_GET_CUDA}"
    return None


def providers() -> list[str]:
    """What the installed ONNX Runtime was built for, in its own words; empty if it is not there."""
    if missing("cpu") is not None:
        return []
    import onnxruntime

    return list(onnxruntime.get_available_providers())


def load(request: LoadRequest) -> OnnxRuntimeProgram:
    """Load networks from the bytes of their ONNX files; see `posert.backends.load`."""
    device, threads = request.device, request.threads
    reason = missing(device.partition(":")[0])
    if reason is not None:
        raise MissingDependency(reason)
    return OnnxRuntimeProgram({n.spec.name: _open_session(n, device, threads) for n in request.networks}, device, threads)


class OnnxRuntimeProgram:
    """Networks as ONNX Runtime sessions, which any number of threads may run at once.

    Attributes:
        summary: the vendor, its version and settings, in a few words.
        tensors: None: it takes NumPy arrays alone.
    """

    tensors = None
    pipelines = None

    def __init__(self, sessions: Mapping[str, Any], device: str, threads: int) -> None:
        import onnxruntime

        self.summary = f"onnxruntime {onnxruntime.__version__}, {device}, {threads} thread{'s' if threads != 1 else ''}"
        self._sessions = dict(sessions)

    def runner(self) -> OnnxRuntimeProgram:
        """The program itself: its sessions keep nothing between runs."""
        return self

    def run(self, network: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a network; see `posert.backends.Runner`."""
        session = self._sessions.get(network)
        if session is None:
            raise ExecutionError(f"network {network!r} is not loaded: the engine was closed; open it again")
        names = [output.name for output in session.get_outputs()]
        try:
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))
        except Exception as error:  # the vendor's exceptions have no common class but this
            raise ExecutionError(f"onnxruntime could not run network {network!r}: {error}") from error

    def close(self) -> None:
        """Give the sessions back, as soon as no thread runs them any more."""
        self._sessions.clear()


def _open_session(network: Network, device: str, threads: int) -> Any:
    import onnxruntime

    name = network.spec.name
    check_self_contained(name, network.onnx)
    kind, _, index = device.partition(":")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # A memory pattern is kept for every batch size ever seen. Without them a run takes as long, and memory grows by 40 % less.
    options.enable_mem_pattern = False
    # Threads that wait for the next run by spinning would take the CPU from posert's own kernels between two runs.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    providers: list[Any] = ["CPUExecutionProvider"]
    if kind == "cuda":
        providers = [("CUDAExecutionProvider", {"device_id": index or "0"})]
    try:
        session = onnxruntime.InferenceSession(network.onnx, options, providers=providers)
    except Exception as error:  # the vendor's exceptions have no common class but this
        if kind == "cuda":
            raise MissingDependency(f"onnxruntime cannot use {device}: {error}; see what `posert doctor` finds") from error
        raise BackendError(f"onnxruntime {onnxruntime.__version__} cannot load network {name!r}: {error}") from error
    if kind == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
        raise MissingDependency(f"onnxruntime cannot use {device}: no driver, GPU or CUDA libraries for it; {_GET_CUDA}")
    compare_tensors(network.spec, _described(session.get_inputs()), _described(session.get_outputs()), "the ONNX file")
    return session


def _described(nodes: Any) -> list[tuple[str, str, tuple[int | str, ...]]]:
    return [(node.name, _TYPES.get(node.type, node.type), tuple(node.shape)) for node in nodes]
