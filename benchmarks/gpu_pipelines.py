"""What the GPU benchmark of pipelines measures: pipelines on CUDA tensors, and ways to run the networks in them.

Every way has posert's own kernels between the networks, so that they differ in the networks and in how work is launched.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pipelines import photos
from torch import Tensor, nn

from posert import Bundle, Engine, Estimator, Poses, Transfer, TransferBatch, zoo
from posert.backends.torch import full_precision

PHOTO = (480, 320)  # rows and columns
Work = Callable[[], Any]
Run = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]
"""A network: from inputs to outputs, in their order."""


@dataclass(frozen=True)
class Case:
    """A pipeline of a model.

    Attributes:
        model: its name in the zoo.
        prepared: whether what depends on the sources alone is done before the clock starts.
    """

    model: str
    prepared: bool = False

    def work(self, engine: Engine, place: str | None, batch: int) -> Work:
        """What does the pipeline's work on pictures of people; its result is an array or a tensor.

        Args:
            engine: that runs the networks.
            place: the device of the pictures, such as ``"cuda"``; None = they are arrays.
            batch: how many pictures.
        """
        manifest = engine.manifest
        images: Any = photos(batch, *(PHOTO if manifest.task == "estimation" else manifest.preprocess.size))
        rows, columns = images.shape[1:3]
        joints = np.random.default_rng(0).uniform(0.2, 0.8, (2, batch, len(manifest.skeleton), 3))
        source, target = (joints * (columns, rows, 1)).astype(np.float32)
        images = images if place is None else torch.from_numpy(images).to(place)
        if manifest.task == "estimation":
            estimator, boxes = Estimator(engine), np.tile(np.float32([8, 8, columns - 8, rows - 8]), (batch, 1))
            return lambda: estimator.run(images, boxes).keypoints
        transfer, pose = Transfer(engine), Poses(source, skeleton=manifest.skeleton)
        if self.prepared:
            sources = transfer.prepare(images, pose)
            return lambda: sources.run(target).images
        return lambda: transfer.run(TransferBatch(images, target, pose)).images

    def check(self, found: Any, wanted: Any) -> None:
        """Refuse a result that is not that of the CPU."""
        found, wanted = (np.asarray(value.cpu() if isinstance(value, Tensor) else value) for value in (found, wanted))
        if wanted.dtype == np.uint8:
            assert np.abs(found.astype(int) - wanted).mean() < 0.5
            return
        seen = np.minimum(found[..., 2], wanted[..., 2]) > 0.3
        assert seen.any(), "nothing was found, so nothing can be compared"
        assert (np.abs(found - wanted)[..., :2].max(-1)[seen] < 1).mean() > 0.95


CASES = {
    "estimation with cpm-s": Case("cpm-s"),
    "estimation with structured-s": Case("structured-s"),
    "estimation with adversarial-s": Case("adversarial-s"),
    "transfer with pg2-s": Case("pg2-s"),
    "transfer with pg2-s, prepared sources": Case("pg2-s", prepared=True),
    "transfer with unseen-s": Case("unseen-s"),
    "transfer with unseen-s, prepared sources": Case("unseen-s", prepared=True),
}

GRAPHS = {"pipeline graphs": "1", "network graphs": "1", "no graphs": "0"}
"""How an engine of posert is launched -> POSERT_CUDA_GRAPHS when it is opened."""


def launched(engine: Engine, way: str) -> Engine:
    """An engine that was opened with `GRAPHS`, launched in a way."""
    program: Any = engine._program
    program.pipelines.enabled = way == "pipeline graphs"
    return engine


class TorchNetworks:
    """A `posert.backends.Program` of the zoo's own torch modules, in float32."""

    pipelines = None

    def __init__(self, model: str, way: str, place: str) -> None:
        """Load them.

        Args:
            model: of the zoo.
            way: a key of `WAYS`.
            place: device of the modules, such as ``"cuda"``.
        """
        from export.recipes import load

        self.summary, self.tensors = f"{way}, torch {torch.__version__}", "cuda:0"
        self._parts = {part.name: part for part in load(model).networks}
        self._runs = {name: WAYS[way](part.reference.eval().to(place)) for name, part in self._parts.items()}

    def runner(self) -> TorchNetworks:
        return self

    def run_tensors(self, network: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        part = self._parts[network]
        with torch.no_grad(), full_precision():
            return dict(zip(part.outputs, self._runs[network](tuple(inputs[name] for name in part.inputs)), strict=True))

    def close(self) -> None:
        self._runs.clear()


def _eager(module: nn.Module) -> Run:
    return lambda inputs: _all(module(*inputs))


def _compiled(module: nn.Module) -> Run:
    return _eager(torch.compile(module))  # type: ignore[arg-type]


def _graphed(module: nn.Module) -> Run:
    """One CUDA graph for each batch, as torch's own documentation shows it: inputs are copied in, outputs copied out."""
    graphs: dict[int, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], tuple[Tensor, ...]]] = {}

    def captured(inputs: tuple[Tensor, ...]) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...], tuple[Tensor, ...]]:
        still, side = tuple(value.clone() for value in inputs), torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                module(*still)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outputs = _all(module(*still))
        return graph, still, outputs

    def run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        batch = len(inputs[0])
        if batch not in graphs:
            graphs[batch] = captured(inputs)
        graph, still, outputs = graphs[batch]
        for target, value in zip(still, inputs, strict=True):
            target.copy_(value)
        graph.replay()
        return tuple(value.clone() for value in outputs)

    return run


WAYS: dict[str, Callable[[nn.Module], Run]] = {
    "torch eager": _eager,
    "torch.compile": _compiled,
    "torch CUDA graphs": _graphed,
}


def _all(results: Any) -> tuple[Tensor, ...]:
    """Outputs as posert's sessions give them: packed, several or one."""
    return tuple(value.contiguous() for value in (results if isinstance(results, tuple) else (results,)))


@contextlib.contextmanager
def torch_engine(model: str, way: str, place: str = "cuda") -> Iterator[Engine]:
    """An engine whose networks are torch's."""
    program: Any = TorchNetworks(model, way, place)
    with Engine(Bundle.open(zoo.path(model)), program, "torch", "fp32", place, program.summary) as engine:
        yield engine
