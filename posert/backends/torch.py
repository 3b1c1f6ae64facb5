"""torch, on the CPU or an NVIDIA GPU: the bundle's own graphs, so that a GPU's work can be checked where nothing compiles them.

It is slower than what compiles networks, and so taken only where it is asked for by name.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from posert.backends import Array, LoadRequest, compare_tensors
from posert.backends.device import CudaDevice
from posert.backends.pipeline_graphs import PipelineGraphs, Work
from posert.bundle import check_self_contained
from posert.errors import BackendError, ExecutionError, GpuMemoryError, MissingDependency
from posert.manifest import NetworkSpec

if TYPE_CHECKING:
    from torch import Tensor

    from posert.backends.onnx_graph import Graph

_GET = "install it with: pip install 'posert[torch]'"


def missing(device: str) -> str | None:
    """What is missing to run on a kind of device, ``"cpu"`` or ``"cuda"``, and how to get it; None if nothing is known to be."""
    for package in ("torch", "onnx"):
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed; {_GET}"
    try:
        import onnx  # noqa: F401
        import torch
    except ImportError as error:
        return f"torch or onnx cannot be imported ({error}); {_GET}"
    if device == "cuda" and not torch.cuda.is_available():
        from posert.backends.device import no_cuda

        return no_cuda()
    return None


def load(request: LoadRequest) -> TorchProgram:
    """Load networks from the bytes of their ONNX files; see `posert.backends.load`."""
    kind = request.device.partition(":")[0]
    reason = missing(kind)
    if reason is not None:
        raise MissingDependency(reason)
    import torch

    from posert.backends.device import device_index
    from posert.backends.onnx_graph import Graph

    device = torch.device("cpu") if kind == "cpu" else torch.device("cuda", device_index(request.device))
    graphs = {}
    for network in request.networks:
        name = network.spec.name
        check_self_contained(name, network.onnx)
        try:
            graph = Graph(network.onnx, device)
        except torch.OutOfMemoryError as error:
            raise GpuMemoryError(f"{device} has no memory left for network {name!r}: {error}") from error
        except BackendError as error:
            raise BackendError(f"torch cannot load network {name!r}: {error}; use backend='onnxruntime'") from error
        compare_tensors(network.spec, graph.inputs, graph.outputs, "the ONNX file")
        graphs[name] = (network.spec, graph)
    return TorchProgram(graphs, device)


class TorchProgram:
    """Networks as lists of torch's operators, which any number of threads may run at once.

    Work for a GPU is put on the current stream of torch. On the CPU, torch's own number of threads holds.

    Attributes:
        summary: the vendor, its version and settings, in a few words.
        tensors: the CUDA device whose tensors it takes, such as ``"cuda:0"``; None = it runs on the CPU.
        pipelines: CUDA graphs of networks with what surrounds them; None on the CPU.
    """

    def __init__(self, graphs: Mapping[str, tuple[NetworkSpec, Graph]], device: Any) -> None:
        import torch

        place = str(device) if device.type == "cpu" else f"{device} ({torch.cuda.get_device_name(device)})"
        threads = f", {torch.get_num_threads()} threads of torch" if device.type == "cpu" else ""
        self.summary = f"torch {torch.__version__}, {place}{threads}"
        self.tensors = None if device.type == "cpu" else str(device)
        self.pipelines = None if device.type == "cpu" else PipelineGraphs(CudaDevice(device.index))
        self._device = device
        self._graphs = dict(graphs)

    def runner(self) -> TorchProgram:
        """The program itself: it keeps nothing between runs."""
        return self

    def run(self, network: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a network; see `posert.backends.Runner`."""
        import torch

        writable = {name: array if array.flags.writeable else array.copy() for name, array in inputs.items()}
        given = {name: torch.from_numpy(array).to(self._device) for name, array in writable.items()}
        return {name: np.asarray(tensor.cpu().numpy()) for name, tensor in self.run_tensors(network, given).items()}

    def run_tensors(self, network: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run a network on tensors of its device; see `posert.backends.Runner`."""
        import torch

        if network not in self._graphs:
            raise ExecutionError(f"network {network!r} is not loaded: the engine was closed; open it again")
        _, graph = self._graphs[network]
        try:
            with full_precision():
                outputs = graph(inputs)
                taken = {tensor.untyped_storage().data_ptr() for tensor in (*inputs.values(), *graph.constants.values())}
                return {name: _fresh(tensor, taken) for name, tensor in outputs.items()}
        except torch.OutOfMemoryError as error:
            raise GpuMemoryError(f"{self._device} has no memory left for network {network!r}: {error}") from error
        except (RuntimeError, ValueError) as error:  # torch's own
            raise ExecutionError(f"torch could not run network {network!r}: {error}") from error

    def dedicated(self, work: Work) -> tuple[Work, Any]:
        """The work itself, with the networks that it reads; see `posert.backends.TensorRunner`."""
        return work, dict(self._graphs)

    def close(self) -> None:
        """Give the weights back, as soon as no thread runs them any more."""
        if self.pipelines is not None:
            self.pipelines.close()
        self._graphs.clear()


def _fresh(tensor: Tensor, taken: set[int]) -> Tensor:
    """The tensor in C order and memory that nothing else has; adds the memory to `taken`."""
    storage = tensor.untyped_storage()
    if storage.data_ptr() in taken or storage.nbytes() != tensor.nbytes or not tensor.is_contiguous():
        import torch

        tensor = tensor.clone(memory_format=torch.contiguous_format)
    taken.add(tensor.untyped_storage().data_ptr())
    return tensor


_GUARD = threading.Lock()
_saved: list[str] = []
_inside = 0


@contextmanager
def full_precision() -> Iterator[None]:
    """Have torch compute in float32 where tensors are float32: its convolutions use TF32 on a GPU if they are left alone.

    torch has one setting for the whole process: it is changed when the first thread comes in, and put back when the last leaves.
    """
    import torch

    global _inside
    cudnn: Any = torch.backends.cudnn
    settings: Any = (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)
    with _GUARD:
        if not _inside:
            _saved[:] = [setting.fp32_precision for setting in settings]
            for setting in settings:
                setting.fp32_precision = "ieee"
        _inside += 1
    try:
        yield
    finally:
        with _GUARD:
            _inside -= 1
            if not _inside:
                for setting, value in zip(settings, _saved, strict=True):
                    setting.fp32_precision = value
