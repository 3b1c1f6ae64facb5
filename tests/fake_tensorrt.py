"""The runtime half of NVIDIA's two packages, which needs a GPU, played on the CPU: as strict as the real one, and stricter.

It refuses, as the real one does, shapes outside of the profile, launches without addresses, shapes or memory, and says so in the
log; and more than the real one, which would go wrong without a word: memory that is not the device's or too small, a stream that
is not the one that the profile was set on, the default stream. `fails` makes any call fail. A test compares names and arguments
with those of the installed package.
"""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from fake_gpu import FakeDevice

from posert import BuildError
from posert.backends import compare_tensors
from posert.backends.onnx_graph import Graph
from posert.builders import PlanRequest, ranges
from posert.errors import BackendError

WORKSPACE = 4096
_KINDS = {"FLOAT": np.float32, "HALF": np.float16, "UINT8": np.uint8, "INT32": np.int32, "INT64": np.int64, "BOOL": np.bool_}
DataType = enum.Enum("DataType", list(_KINDS))
TensorIOMode = enum.Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
ExecutionContextAllocationStrategy = enum.Enum(
    "ExecutionContextAllocationStrategy", ["STATIC", "ON_PROFILE_CHANGE", "USER_MANAGED"]
)
EngineValidity = enum.Enum("EngineValidity", ["VALID", "SUBOPTIMAL", "INVALID"])
EngineInvalidityDiagnostics = enum.IntFlag(
    "EngineInvalidityDiagnostics",
    [
        *("VERSION_MISMATCH", "UNSUPPORTED_CC", "OLD_CUDA_DRIVER", "OLD_CUDA_RUNTIME"),
        *("INSUFFICIENT_GPU_MEMORY", "MALFORMED_ENGINE", "CUDA_ERROR"),
    ],
)
ComputeCapability = enum.Enum("ComputeCapability", ["NONE", "CURRENT", "SM75", "SM80", "SM86", "SM89", "SM120", "SM121"])
CudaGraphStrategy = enum.Enum("CudaGraphStrategy", ["DISABLED", "WHOLE_GRAPH_CAPTURE"])
DynamicShapesKernelSpecializationStrategy = enum.Enum("DynamicShapesKernelSpecializationStrategy", ["LAZY", "EAGER", "NONE"])


class World:
    """What the stand-ins of one test share.

    Attributes:
        device: the GPU.
        fails: name of a call -> what it does instead: an exception that it raises, or the value that it returns.
        log: the listener of the latest runtime.
        said: what the log hears when a call fails.
        validity: what is said of every plan; None = what the plan deserves.
        contexts, caches, calls: every context and runtime cache that was made, every call by name.
        built: what plans were asked for.
    """

    def __init__(self) -> None:
        self.device = FakeDevice()
        self.fails: dict[str, Any] = {}
        self.log: Any = None
        self.said: str | None = None
        self.validity: tuple[Any, int] | None = None
        self.contexts: list[IExecutionContext] = []
        self.calls: list[str] = []
        self.built: list[PlanRequest] = []
        self.caches: list[IRuntimeCache] = []

    def call(self, name: str) -> tuple[bool, Any]:
        """Whether a call is to fail, and what it returns then."""
        self.calls.append(name)
        if name not in self.fails:
            return False, None
        if self.said is not None:
            self.say(self.said)
        answer = self.fails[name]
        if isinstance(answer, Exception):
            raise answer
        return True, answer

    def say(self, text: str) -> None:
        self.log.log(ILogger.ERROR, text)

    def refuse(self, text: str) -> bool:
        self.say(text)
        return False


_world = World()


class ILogger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self) -> None:
        self.ready = True


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        assert logger.ready, "ILogger.__init__ was not called"
        _world.log = logger
        _world.call("Runtime")

    def get_engine_validity(self, buffer: bytes) -> tuple[Any, int]:
        _world.call("get_engine_validity")
        if _world.validity is not None:
            return _world.validity
        return (
            (EngineValidity.VALID, 0)
            if _sound(buffer)
            else (EngineValidity.INVALID, int(EngineInvalidityDiagnostics.MALFORMED_ENGINE))
        )

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        failed, answer = _world.call("deserialize_cuda_engine")
        if failed:
            return answer  # type: ignore[no-any-return]
        if not _sound(serialized_engine):
            _world.say("Serialization assertion plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed")
            return None
        return ICudaEngine(serialized_engine)


class ICudaEngine:
    def __init__(self, data: bytes) -> None:
        head, _, onnx = data.removeprefix(b"plan").partition(b"\n")
        self._head = json.loads(head)
        self._graph = Graph(onnx, torch.device("cpu"))
        self._tensors = [(TensorIOMode.OUTPUT, t) for t in self._graph.outputs] + [
            (TensorIOMode.INPUT, t) for t in self._graph.inputs
        ]

    @property
    def num_io_tensors(self) -> int:
        return len(self._tensors)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._head["profiles"])

    def _tensor(self, name: str) -> tuple[Any, tuple[str, str, tuple[Any, ...]]]:
        return next(entry for entry in self._tensors if entry[1][0] == name)

    def get_tensor_name(self, index: int) -> str:
        return self._tensors[index][1][0]

    def get_tensor_mode(self, name: str) -> Any:
        return self._tensor(name)[0]

    def get_tensor_dtype(self, name: str) -> Any:
        return DataType[{np.dtype(kind).name: key for key, kind in _KINDS.items()}[self._tensor(name)[1][1]]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(side if isinstance(side, int) else -1 for side in self._tensor(name)[1][2])

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        assert self.get_tensor_mode(name) is TensorIOMode.INPUT
        return [(batch, *self.get_tensor_shape(name)[1:]) for batch in self._head["profiles"][profile_index]]

    def get_device_memory_size_for_profile_v2(self, profile_index: int) -> int:
        return WORKSPACE * (profile_index + 1) if self._head["workspace"] else 0

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(self, strategy: Any) -> IExecutionContext | None:
        failed, answer = _world.call("create_execution_context")
        if failed:
            return answer  # type: ignore[no-any-return]
        fixed = isinstance(strategy, IRuntimeConfig)
        config = strategy if fixed else SimpleNamespace(strategy=strategy)
        assert config.strategy is ExecutionContextAllocationStrategy.USER_MANAGED, "memory is the device's to give"
        _world.contexts.append(IExecutionContext(self, config))
        return _world.contexts[-1]


class IRuntimeConfig:
    def __init__(self) -> None:
        self.strategy: Any = ExecutionContextAllocationStrategy.STATIC
        self.cuda_graph_strategy: Any = None
        self.dynamic_shapes_kernel_specialization_strategy: Any = None
        self.cache: Any = None

    def create_runtime_cache(self) -> IRuntimeCache:
        _world.caches.append(IRuntimeCache())
        return _world.caches[-1]

    def set_runtime_cache(self, cache: IRuntimeCache) -> bool:
        failed, answer = _world.call("set_runtime_cache")
        if failed:
            return bool(answer)
        self.cache = cache
        return True

    def set_execution_context_allocation_strategy(self, strategy: Any) -> None:
        assert isinstance(strategy, ExecutionContextAllocationStrategy)
        self.strategy = strategy


class IRuntimeCache:
    """Kernels are names, one a line, after a line that says for which driver they are."""

    DRIVER = b"driver 1\n"

    def __init__(self) -> None:
        self.kernels: list[bytes] = []

    def deserialize(self, blob: bytes) -> bool:
        failed, answer = _world.call("deserialize")
        if failed or not blob.startswith(self.DRIVER):
            return bool(answer)
        self.kernels = blob.removeprefix(self.DRIVER).split()
        return True

    def serialize(self) -> bytes | None:
        failed, answer = _world.call("serialize")
        if failed:
            return answer  # type: ignore[no-any-return]
        return self.DRIVER + b" ".join(self.kernels)


class IExecutionContext:
    def __init__(self, engine: ICudaEngine, config: Any) -> None:
        self._engine, self.config = engine, config
        self._profile: int | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._memory: tuple[int, int] | None = None
        self._stream = 0
        self.launched: set[int] = set()
        self._busy = False

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        failed, answer = _world.call("set_optimization_profile_async")
        if failed:
            return bool(answer)
        if not 0 <= profile_index < self._engine.num_optimization_profiles:
            return _world.refuse("setOptimizationProfileAsync: profileIndex out of range")
        self._profile, self._stream, self._shapes = profile_index, stream_handle, {}
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        failed, answer = _world.call("set_input_shape")
        if failed:
            return bool(answer)
        assert isinstance(shape, tuple)
        assert all(type(side) is int for side in shape)
        if self._profile is None:
            return _world.refuse("setInputShape: no optimization profile is set")
        least, _, most = self._engine.get_tensor_profile_shape(name, self._profile)
        if len(shape) != len(least) or not all(low <= side <= high for low, side, high in zip(least, shape, most, strict=True)):
            return _world.refuse(f"setInputShape: {shape} does not satisfy the profile {least} to {most}")
        self._shapes[name] = shape
        return True

    def infer_shapes(self) -> list[str]:
        failed, answer = _world.call("infer_shapes")
        if failed:
            return list(answer)
        return [name for name, _, _ in self._engine._graph.inputs if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        failed, answer = _world.call("get_tensor_shape")
        if failed:
            return tuple(answer)
        batch = next(iter(self._shapes.values()))[0]
        return tuple(batch if side == -1 else side for side in self._engine.get_tensor_shape(name))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        failed, answer = _world.call("set_tensor_address")
        if failed:
            return bool(answer)
        assert type(memory) is int
        self._engine._tensor(name)
        self._addresses[name] = memory
        return True

    def set_device_memory(self, memory: int, size: int) -> None:
        _world.call("set_device_memory")
        assert type(memory) is int
        assert type(size) is int
        self._memory = (memory, size)

    def is_stream_capturable(self, stream: int) -> bool:
        failed, answer = _world.call("is_stream_capturable")
        return bool(answer) if failed else True

    def execute_async_v3(self, stream_handle: int) -> bool:
        failed, answer = _world.call("execute_async_v3")
        if failed:
            return bool(answer)
        assert stream_handle != 0, "the default stream makes TensorRT wait for the device"
        device, engine = _world.device, self._engine
        stream = device.stream_of(stream_handle)
        capturing = stream.captured is not None
        assert capturing or stream_handle == self._stream, "another stream than the profile was set on"
        if self._profile is None or self._unset():
            return _world.refuse("enqueueV3: not all shapes and addresses are set")
        batch = next(iter(self._shapes.values()))[0]
        if capturing and batch not in self.launched:
            return _world.refuse("enqueueV3: updates of shapes cannot be captured; launch once before")
        needed = engine.get_device_memory_size_for_profile_v2(self._profile)
        if needed and (self._memory is None or self._memory[1] < needed):
            return _world.refuse("enqueueV3: the device memory is too small")
        held = [device.at(self._memory[0])] if needed and self._memory is not None else []
        assert not held or held[0].numel() >= needed
        places = {name: device.at(address) for name, address in self._addresses.items()}
        shapes = {name: self.get_tensor_shape(name) for name in places}
        for name, place in places.items():
            assert place.numel() >= int(np.prod(shapes[name])), f"{name} does not fit where it is to lie"
        stream.add(lambda: self._compute(batch, places, shapes, held))
        self.launched.add(batch)
        kernel = f"kernel{batch}".encode()
        cache = getattr(self.config, "cache", None)
        if cache is not None and kernel not in cache.kernels:
            cache.kernels.append(kernel)
        return True

    def _unset(self) -> list[str]:
        return [entry[1][0] for entry in self._engine._tensors if entry[1][0] not in self._addresses] + self.infer_shapes()

    def _compute(
        self, batch: int, places: dict[str, torch.Tensor], shapes: dict[str, tuple[int, ...]], held: list[torch.Tensor]
    ) -> None:
        for memory in held:
            memory.fill_(1)  # it is the context's while it runs
        names = [name for name, _, _ in self._engine._graph.inputs]
        inputs = {name: places[name].reshape(-1)[: int(np.prod(shapes[name]))].reshape(shapes[name]) for name in names}
        for name, values in self._engine._graph(inputs).items():
            places[name].reshape(-1)[: values.numel()].copy_(values.reshape(-1))


def nptype(trt_type: Any) -> Any:
    return _KINDS[trt_type.name]


def _sound(data: bytes) -> bool:
    return data.startswith(b"plan{") and b"\n" in data


def plan_of(request: PlanRequest, workspace: bool = True) -> bytes:
    """The plan that a vendor would build."""
    head = {"profiles": ranges(request.batch_sizes), "workspace": workspace}
    return b"plan" + json.dumps(head).encode() + b"\n" + request.onnx


def install(monkeypatch: Any, backend: str) -> World:
    """Put the fake in the place of a vendor's package, and a GPU in that of torch's."""
    global _world
    _world = world = World()
    module = ModuleType(backend)
    module.__spec__ = ModuleSpec(backend, None)  # torch looks for it
    names = ("ILogger", "Runtime", "TensorIOMode", "ExecutionContextAllocationStrategy", "nptype")
    only_rtx = (
        *("EngineValidity", "EngineInvalidityDiagnostics", "ComputeCapability", "CudaGraphStrategy"),
        "DynamicShapesKernelSpecializationStrategy",
    )
    for name in (*names, *(only_rtx if backend == "tensorrt_rtx" else ())):
        setattr(module, name, globals()[name])
    module.__version__ = "11.2.0.5" if backend == "tensorrt" else "1.7.1.116"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, backend, module)
    monkeypatch.setattr("posert.backends.plan_needs.missing_here", lambda package, get: None)
    monkeypatch.setattr("posert.backends.plan_needs.open_device", lambda name: world.device)
    monkeypatch.setattr("posert.builders.networks.wheel_cuda", lambda package: "cu13")
    monkeypatch.setattr("posert.builders.build", _builder(world))
    return world


def _builder(world: World) -> Callable[..., Any]:
    def build(backend: str, request: PlanRequest) -> Any:
        world.built.append(request)
        try:
            graph = Graph(request.onnx, torch.device("cpu"))
        except BackendError as error:
            raise BuildError(f"{backend} could not build network {request.spec.name!r}: {error}") from error
        compare_tensors(request.spec, graph.inputs, graph.outputs, "the ONNX file")
        return SimpleNamespace(data=plan_of(request), built=True)

    return build
