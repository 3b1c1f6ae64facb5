"""Vendors whose engines can run a bundle's networks: which there are, in which order they are tried, what each lacks here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from numpy.typing import NDArray

from posert.errors import BundleError
from posert.manifest import NetworkSpec
from posert.variants import Plan

if TYPE_CHECKING:
    from torch import Tensor

    from posert.backends.pipeline_graphs import PipelineGraphs, Work

Array = NDArray[Any]


class TrustedPlan(NamedTuple):
    """A compiled network out of a bundle whose user trusts it, and what it needs to run."""

    needs: Plan
    data: bytes


class Network(NamedTuple):
    """A network to load: what the manifest says of it, its ONNX file, and the plan that may be loaded in its place."""

    spec: NetworkSpec
    onnx: bytes
    plan: TrustedPlan | None = None


@dataclass(frozen=True)
class LoadRequest:
    """What to load, and for what.

    Attributes:
        networks: at least one.
        precision: of the tensors inside the ONNX files, such as ``"fp32"``.
        batch_sizes: ascending; batches up to the last one are run, and these most of all.
        device: ``"cpu"``, ``"cuda"`` (the first GPU) or ``"cuda:N"``.
        threads: how many CPU threads one run may use.
    """

    networks: tuple[Network, ...]
    precision: str
    batch_sizes: tuple[int, ...]
    device: str
    threads: int


class Runner(Protocol):
    """Runs loaded networks for one thread."""

    def run(self, network: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a network on arrays that were checked against the manifest; results are fresh memory.

        Raises:
            ExecutionError: the vendor failed.
        """
        ...


class TensorRunner(Runner, Protocol):
    """A runner that also takes tensors where they lie, of a program whose `tensors` is not None."""

    def run_tensors(self, network: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Run a network on packed tensors on the program's CUDA device, which were checked against the manifest.

        The work is ordered after that on torch's current stream, and the results, in fresh memory, are ready on it.

        Raises:
            ExecutionError: the vendor failed.
        """
        ...

    def dedicated(self, work: Work) -> tuple[Work, Any]:
        """The work of a pipeline with networks of this runner, as it can be captured in a CUDA graph, on one stream.

        Returns:
            The work, to be called for warm-ups and capture; and what its networks run with, which must live as long as the graph.
        """
        ...


class Program(Protocol):
    """A bundle's networks, loaded by one vendor; shared between threads."""

    summary: str
    """The vendor, its version and settings, in a few words."""
    tensors: str | None
    """The CUDA device whose tensors its runners take, such as ``"cuda:0"``; None = they take NumPy arrays alone."""

    pipelines: PipelineGraphs | None
    """CUDA graphs of networks with what surrounds them, where its runners take tensors; None = there are none."""

    def runner(self) -> Runner:
        """A runner for the calling thread."""
        ...

    def close(self) -> None:
        """Give back what was loaded."""
        ...


class Candidate(NamedTuple):
    """A vendor on a kind of device, such as ``onnxruntime-cpu``."""

    name: str
    backend: str
    device: str


CANDIDATES = (
    Candidate("tensorrt", "tensorrt", "cuda"),
    Candidate("tensorrt_rtx", "tensorrt_rtx", "cuda"),
    Candidate("onnxruntime-cuda", "onnxruntime", "cuda"),
    Candidate("openvino", "openvino", "cpu"),
    Candidate("onnxruntime-cpu", "onnxruntime", "cpu"),
)
"""In the order in which an automatic choice tries them."""

ON_REQUEST = (Candidate("torch-cuda", "torch", "cuda"), Candidate("torch-cpu", "torch", "cpu"))
"""Tried only where their backend is asked for by name, in this order."""

_MODULES = {name: f"posert.backends.{name}" for name in ("tensorrt", "tensorrt_rtx", "onnxruntime", "torch")}

JUDGED_BY_GRAPH = frozenset({"tensorrt", "tensorrt_rtx", "torch"})
"""Backends that run a bundle's ONNX files as they are, so that any variant's gate, which judged those files, speaks for them.
ONNX Runtime and OpenVINO do not compute in every precision, and need a variant of their own."""


def is_built(candidate: Candidate) -> bool:
    """Whether this version of posert has code for the candidate's vendor."""
    return candidate.backend in _MODULES


def missing(candidate: Candidate) -> str | None:
    """What this machine lacks to run the candidate and how to get it, or None if nothing is known to be missing."""
    if not is_built(candidate):
        return f"this version of posert has no {candidate.backend} backend"
    answer: str | None = importlib.import_module(_MODULES[candidate.backend]).missing(candidate.device)
    return answer


def survey() -> dict[str, str | None]:
    """For every candidate by name, in order: what this machine lacks to run it, or None."""
    return {candidate.name: missing(candidate) for candidate in CANDIDATES}


def load(candidate: Candidate, request: LoadRequest) -> Program:
    """Load networks with a candidate for which `missing` is None.

    Args:
        candidate: one of `CANDIDATES` or `ON_REQUEST`.
        request: what to load.

    Raises:
        MissingDependency: the device cannot be used after all.
        BackendError: the vendor cannot load a network.
        BundleError: a network's inputs or outputs are not those of the manifest.
    """
    program: Program = importlib.import_module(_MODULES[candidate.backend]).load(request)
    return program


Described = Sequence[tuple[str, str, tuple[int | str, ...]]]
"""Tensors by name, dtype and dimensions, of which those that are no numbers, or -1, are open."""


def compare_tensors(spec: NetworkSpec, inputs: Described, outputs: Described, source: str) -> None:
    """A file's own account of its inputs and outputs must be that of the manifest; an open dimension fits any.

    Args:
        spec: the manifest's account.
        inputs: the file's.
        outputs: the file's.
        source: what file that is, for the error.

    Raises:
        BundleError: they differ.
    """
    for side, specs, found in (("inputs", spec.inputs, inputs), ("outputs", spec.outputs, outputs)):
        wanted = [(s.name, s.dtype, s.shape) for s in specs]
        same = [f[:2] for f in found] == [w[:2] for w in wanted]
        for (_, _, sides), (_, _, shape) in zip(found, wanted, strict=False):
            same &= len(sides) == len(shape)
            same &= all(a == b or not isinstance(a, int) or a < 0 for a, b in zip(sides, shape, strict=False))
        if not same:
            raise BundleError(f"network {spec.name!r}: {source} has the {side} {list(found)}, the manifest says {wanted}")
