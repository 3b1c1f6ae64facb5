"""Vendors whose engines can run a bundle's networks: which there are, in which order they are tried, what each lacks here."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray

from posert.manifest import NetworkSpec

Array = NDArray[Any]


class Network(NamedTuple):
    """A network to load: what the manifest says of it, and its ONNX file."""

    spec: NetworkSpec
    onnx: bytes


class Runner(Protocol):
    """Runs loaded networks for one thread."""

    def run(self, network: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run a network on arrays that were checked against the manifest; results are fresh memory.

        Raises:
            ExecutionError: the vendor failed.
        """
        ...


class Program(Protocol):
    """A bundle's networks, loaded by one vendor; shared between threads."""

    summary: str
    """The vendor, its version and settings, in a few words."""

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

_MODULES = {"onnxruntime": "posert.backends.onnxruntime"}


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


def load(candidate: Candidate, networks: list[Network], device: str, threads: int) -> Program:
    """Load networks with a candidate for which `missing` is None.

    Args:
        candidate: one of `CANDIDATES`.
        networks: at least one.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        threads: how many CPU threads one run may use.

    Raises:
        MissingDependency: the device cannot be used after all.
        BackendError: the vendor cannot load a network.
        BundleError: a network's inputs or outputs are not those of the manifest.
    """
    program: Program = importlib.import_module(_MODULES[candidate.backend]).load(networks, device, threads)
    return program
