"""`Engine` and `Session`: a bundle's networks, ready to run, by the fastest vendor that this machine has."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from posert import backends, zoo
from posert.backends import CANDIDATES, ON_REQUEST, Candidate, Program
from posert.bundle import Bundle
from posert.errors import BackendError, ExecutionError, InputError, MissingDependency, NoVariantError
from posert.manifest import Manifest, NetworkSpec
from posert.paths import path_kind
from posert.tensors import empty, is_tensor
from posert.variants import Variant

if TYPE_CHECKING:
    from posert.backends.pipeline_graphs import Work


class Engine:
    """An opened bundle whose networks are loaded and can be run. Threads may share it; each takes a session of its own.

    Attributes:
        path: the bundle's file.
        manifest: what the bundle says about itself.
        backend: the vendor that runs it, such as ``"onnxruntime"``.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: of the variant that was chosen, such as ``"fp32"``.
        cuda_device: the GPU whose tensors it takes, such as ``"cuda:0"``; None = it takes NumPy arrays alone.
    """

    def __init__(self, bundle: Bundle, program: Program, backend: str, precision: str, device: str, explanation: str) -> None:
        """Use `Engine.open`."""
        self.path = bundle.path
        self.manifest: Manifest = bundle.manifest
        self.backend = backend
        self.precision = precision
        self.device = device
        self.cuda_device = program.tensors
        self._program: Program | None = program
        self._explanation = explanation

    @classmethod
    def open(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        backend: str | None = None,
        device: str | None = None,
        precision: str | None = None,
        trust_plans: bool = False,
    ) -> Engine:
        """Open a model. What is given explicitly works or is refused; what is left out is chosen, and `explain` says why.

        The CPU threads of a run are those of `posert.get_num_threads` at this moment.

        Args:
            name_or_path: the name of an embedded model, such as ``"cpm-s"``, or the path of a `.posert` file.
            backend: ``"tensorrt"``, ``"tensorrt_rtx"``, ``"onnxruntime"`` or ``"openvino"``; None takes the first that can run.
                ``"torch"``, which runs the network operator by operator, is taken only by name.
            device: ``"cpu"``, ``"cuda"`` (the first GPU) or ``"cuda:N"``; None takes the first that can run.
            precision: of the variant, such as ``"fp32"``; None takes the bundle's first.
            trust_plans: whether compiled plans that the bundle carries are loaded. Plans are code: trust those of bundles that
                you built, or whose maker you trust. Otherwise plans are built here, once, and kept in posert's own cache.

        Raises:
            InputError: no such model, file, backend or device.
            BundleError: the file is damaged.
            MissingDependency: a package or device is missing that the choice needs; the message says how to get it.
            NoVariantError: the bundle has no variant for the choice, or this version of posert has no such backend.
            PlanError: a plan that is to be trusted cannot run here.
            BuildError: a plan cannot be built here.
            GpuMemoryError: the GPU has too little memory.
            BackendError: the vendor cannot load a network.
        """
        candidates = _select(backend, device)
        bundle = Bundle.open(_locate(name_or_path))
        passed: list[str] = []
        lacking: list[str] = []
        failure: BackendError | None = None
        for candidate in candidates:
            try:
                variant = _variant(bundle.manifest, candidate, precision)
                program = _load(bundle, candidate, variant, device or candidate.device, trust_plans)
            except (BackendError, NoVariantError) as error:
                passed.append(f"{candidate.name}: passed over: {error}")
                if isinstance(error, MissingDependency):  # something that the caller can bring
                    lacking.append(f"{candidate.name}: {error}")
                elif isinstance(error, BackendError):
                    failure = error
                    if backend is not None:
                        raise
                continue
            chosen = f"{candidate.name}: chosen: {program.summary}, {variant.precision}"
            rest = [f"{other.name}: not tried" for other in candidates[len(passed) + 1 :]]
            rest += [f"{other.name}: on request: backend={other.backend!r}" for other in ON_REQUEST if backend is None]
            explanation = "\n".join([*passed, chosen, *rest])
            return cls(bundle, program, candidate.backend, variant.precision, device or candidate.device, explanation)
        if failure is not None:
            raise failure
        asked = {"backend": backend, "device": device, "precision": precision}
        wanted = ", ".join(f"{name} {value!r}" for name, value in asked.items() if value is not None)
        error_class = MissingDependency if lacking else NoVariantError
        verdict = f"{bundle.path.name} cannot run here" + (f" with {wanted}" if wanted else "")
        raise error_class("\n  ".join([verdict, *(lacking or passed)]))

    def __repr__(self) -> str:
        return f"Engine({self.manifest.name!r}, backend={self.backend!r}, device={self.device!r}, precision={self.precision!r})"

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def explain(self) -> str:
        """One line for each backend that was considered, in order: passed over and why, or chosen."""
        return self._explanation

    def session(self) -> Session:
        """A session for the calling thread.

        Raises:
            ExecutionError: the engine was closed.
        """
        if self._program is None:
            raise ExecutionError(f"the engine of {self.manifest.name!r} was closed; open it again")
        return Session(self.manifest, self._program)

    def close(self) -> None:
        """Give back the networks. Sessions of this engine can no longer run; closing twice does nothing."""
        program, self._program = self._program, None
        if program is not None:
            program.close()


class Session:
    """Runs an engine's networks for the thread that made it; from `Engine.session`.

    Attributes:
        manifest: of the engine's bundle.
    """

    def __init__(self, manifest: Manifest, program: Program) -> None:
        """Use `Engine.session`."""
        self.manifest = manifest
        self._runner: Any = program.runner()
        self._device, self._pipelines = program.tensors, program.pipelines
        self._thread = threading.get_ident()

    def run(self, network: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run one network. Inputs are compared with the manifest before the vendor sees them.

        Args:
            network: its name in the manifest, such as ``"estimator"``.
            inputs: every input by name: arrays of exactly the dtype and shape of the manifest, all with the same batch N, which
                is between 0 and the largest of the manifest's batch sizes. Of a backend that runs on a GPU also CUDA tensors,
                of torch or of whatever speaks DLPack: all of them, or none. The work then follows that on torch's current
                stream, and the host does not wait.

        Returns:
            Every output by name, in fresh memory: arrays, or torch's tensors, ready on torch's current stream, for tensors.

        Raises:
            InputError: no such network, an input is missing, unknown or of another dtype or shape, or N is too large.
            ExecutionError: the vendor failed, the engine was closed, or another thread than the session's own calls.
        """
        self._check_thread()
        spec = next((n for n in self.manifest.networks if n.name == network), None)
        if spec is None:
            raise InputError(f"no network {network!r}; the bundle has {[n.name for n in self.manifest.networks]}")
        if isinstance(inputs, Mapping) and any(map(is_tensor, inputs.values())):
            inputs = _as_tensors(inputs, self._device)
        batch = _check_inputs(spec, inputs, self.manifest.batch_sizes[-1])
        first = inputs[spec.inputs[0].name]
        if batch == 0:
            return {t.name: empty((0, *t.shape[1:]), t.dtype, first) for t in spec.outputs}  # type: ignore[arg-type]
        outputs: dict[str, Any]
        if isinstance(first, np.ndarray):
            outputs = self._runner.run(network, {name: np.ascontiguousarray(array) for name, array in inputs.items()})
        else:
            outputs = self._runner.run_tensors(network, {name: tensor.contiguous() for name, tensor in inputs.items()})
        for tensor in spec.outputs:
            found, shape = outputs[tensor.name], (batch, *tensor.shape[1:])
            if found.shape != shape or _dtype(found) != tensor.dtype:
                raise ExecutionError(f"output {tensor.name!r} of network {network!r} is {found.dtype} {found.shape}, not {shape}")
        return outputs

    def replay(
        self, name: Hashable, inputs: Mapping[str, Any], work: Work, outputs: Mapping[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """Do the work of a pipeline, networks of this session and operations on CUDA tensors, from one CUDA graph.

        Args:
            name: all but the shapes of the inputs that makes a difference to the work.
            inputs: by name: small arrays, CUDA tensors, or lists of CUDA tensors of one shape.
            work: is captured in a graph, see `posert.backends.pipeline_graphs.Work`.
            outputs: where results go, by name; None = into fresh memory.

        Returns:
            The results by name, ready on torch's current stream; None if nothing was run, because the backend or the
            environment has no graphs, a capture has failed, or these shapes come for the first time.

        Raises:
            ExecutionError: the vendor failed, or another thread than the session's own calls.
        """
        self._check_thread()
        if self._pipelines is None:
            return None
        return self._pipelines.run(name, inputs, self._runner, work, outputs)

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise ExecutionError("a session belongs to the thread that made it; call engine.session() in this thread")


def _as_tensors(inputs: Mapping[str, Any], device: str | None) -> dict[str, Any]:
    """Inputs of which some are CUDA tensors, all as torch's.

    Raises:
        InputError: some are not, or they lie elsewhere than where the engine runs.
    """
    from posert.ops._tensors import tensor

    if device is None:
        raise InputError("this engine takes NumPy arrays, got a CUDA tensor: pass tensor.cpu().numpy(), or open it for the GPU")
    others = [name for name, value in inputs.items() if not is_tensor(value)]
    if others:
        raise InputError(f"inputs must be NumPy arrays or CUDA tensors, all of them; {others} are no CUDA tensors, others are")
    for name, value in inputs.items():
        place = f"cuda:{value.__dlpack_device__()[1]}"
        if place != device:
            raise InputError(f"the engine runs on {device}, input {name!r} lies on {place}; give tensor.to({device!r})")
    return {name: tensor(value) for name, value in inputs.items()}


def _dtype(value: Any) -> str:
    """The dtype of an array or tensor as NumPy writes it."""
    return str(value.dtype).removeprefix("torch.")


def _check_inputs(spec: NetworkSpec, inputs: Mapping[str, Any], largest: int) -> int:
    """The batch size of inputs that are as the manifest says: all arrays, or all torch's tensors."""
    tensors = isinstance(inputs, Mapping) and any(map(is_tensor, inputs.values()))
    names = [tensor.name for tensor in spec.inputs]
    if not isinstance(inputs, Mapping) or set(inputs) != set(names):
        given = sorted(map(str, inputs)) if isinstance(inputs, Mapping) else type(inputs).__name__
        raise InputError(f"network {spec.name!r} needs a dict with the inputs {names}, got {given}")
    batch = None
    for tensor in spec.inputs:
        array = inputs[tensor.name]
        wanted = f"input {tensor.name!r} of network {spec.name!r} must be a {tensor.dtype} array of shape {tensor.shape}"
        if not tensors and not isinstance(array, np.ndarray):
            raise InputError(f"{wanted}, got {type(array).__name__}")
        if _dtype(array) != tensor.dtype or array.ndim != len(tensor.shape) or array.shape[1:] != tensor.shape[1:]:
            raise InputError(f"{wanted}, got {_dtype(array)} of shape {tuple(array.shape)}")
        if batch is not None and len(array) != batch:
            raise InputError(f"{wanted} with the N of the other inputs, {batch}; got {len(array)}")
        batch = len(array)
    if batch is None or batch > largest:
        raise InputError(f"network {spec.name!r} runs batches of at most {largest}, got {batch}; split the batch")
    return batch


def _locate(name_or_path: str | os.PathLike[str]) -> Path:
    """The bundle's file: a path where it looks like one or is there, else a name of the zoo."""
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise InputError(f"a model is a zoo name or a path, got {type(name_or_path).__name__}")
    text = os.fspath(name_or_path)
    is_path = not isinstance(name_or_path, str) or text.endswith(".posert") or bool({"/", os.sep} & set(text))
    if is_path or (text not in zoo.names() and "\0" not in text and path_kind(text) == "file"):
        return Path(text)
    return zoo.path(text)


def _select(backend: str | None, device: str | None) -> list[Candidate]:
    """The candidates that an explicit choice leaves, in order."""
    names = list(dict.fromkeys(candidate.backend for candidate in (*CANDIDATES, *ON_REQUEST)))
    if backend is not None and backend not in names:
        near = difflib.get_close_matches(str(backend), names, n=1)
        raise InputError(
            f"no backend {backend!r}; " + (f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}")
        )
    kind, colon, index = str(device).partition(":")
    if device is not None and not (
        device in ("cpu", "cuda") or (kind == "cuda" and colon and index.isascii() and index.isdigit())
    ):
        raise InputError(f"no device {device!r}; use 'cpu', 'cuda' or 'cuda:N'")
    tried = CANDIDATES if backend is None else (*CANDIDATES, *ON_REQUEST)
    fitting = [c for c in tried if backend in (None, c.backend) and (device is None or c.device == kind)]
    if not fitting:
        raise InputError(f"backend {backend!r} does not run on device {device!r}")
    return fitting


def _variant(manifest: Manifest, candidate: Candidate, precision: str | None) -> Variant:
    """The bundle's variant for a candidate.

    Raises:
        NoVariantError: there is none, or this version of posert cannot run it.
    """
    if not backends.is_built(candidate):
        raise NoVariantError(f"this version of posert has no {candidate.backend} backend")
    fitting = [variant for variant in manifest.variants if precision in (None, variant.precision)]
    for variant in fitting:
        if variant.backend == candidate.backend:
            return variant
    if fitting and candidate.backend in backends.JUDGED_BY_GRAPH:
        return fitting[0]
    having = ", ".join(f"{variant.backend} {variant.precision}" for variant in manifest.variants)
    wanted = candidate.backend if precision is None else f"{candidate.backend} {precision}"
    raise NoVariantError(f"the bundle has no variant for {wanted} that passed its parity gate; it has {having}")


def _load(bundle: Bundle, candidate: Candidate, variant: Variant, device: str, trust_plans: bool) -> Program:
    """Load the networks, or say what the machine lacks.

    Raises:
        MissingDependency: a package or device is not there.
        BackendError: the vendor cannot load a network.
    """
    from posert.ops import get_num_threads

    reason = backends.missing(candidate)
    if reason is not None:
        raise MissingDependency(reason)
    try:
        threads = get_num_threads()
    except MissingDependency:  # a source tree whose kernels are not compiled
        threads = os.cpu_count() or 1
    trusted = variant.plans if trust_plans and variant.backend == candidate.backend else ()
    plans = {plan.network: backends.TrustedPlan(plan, bundle.read(plan.file)) for plan in trusted}
    specs = bundle.manifest.networks
    networks = tuple(backends.Network(spec, bundle.read(spec.file), plans.get(spec.name)) for spec in specs)
    request = backends.LoadRequest(networks, variant.precision, bundle.manifest.batch_sizes, device, threads)
    return backends.load(candidate, request)


def check_place(engine: Engine, images: Sequence[Any]) -> None:
    """Refuse images that the engine cannot reach where they lie.

    Args:
        engine: that runs the networks.
        images: checked images: arrays, or tensors on one device.

    Raises:
        InputError: they lie on another device.
    """
    if not images or isinstance(images[0], np.ndarray):
        return
    place = f"cuda:{images[0].__dlpack_device__()[1]}"
    if engine.cuda_device is None:
        raise InputError(
            f"the images lie on {place}, and {engine!r} takes NumPy arrays: give image.cpu().numpy(), or open the model with a "
            f"backend that runs there, such as backend='tensorrt_rtx', device={place!r}"
        )
    if place != engine.cuda_device:
        raise InputError(f"the images lie on {place}, and {engine!r} runs on {engine.cuda_device}; move them there")


def open_for(
    task: str,
    engine: str | os.PathLike[str] | Engine,
    backend: str | None = None,
    device: str | None = None,
    trust_plans: bool = False,
) -> tuple[Engine, bool]:
    """The engine of a pipeline, and whether it was opened here and so is the pipeline's to close.

    Raises:
        InputError: the model is for another task, or an engine that is open already was given what `Engine.open` takes.
        PosertError: see `Engine.open`.
    """
    opened = not isinstance(engine, Engine)
    if not isinstance(engine, Engine):
        engine = Engine.open(engine, backend=backend, device=device, trust_plans=trust_plans)
    elif backend is not None or device is not None or trust_plans:
        raise InputError(
            "the engine is open already; give backend, device and trust_plans to posert.Engine.open, or a name or path here"
        )
    if engine.manifest.task != task:
        name, found = engine.manifest.name, engine.manifest.task
        if opened:
            engine.close()
        raise InputError(f"{name!r} is a model for {found}; this needs one for {task}")
    return engine, opened
