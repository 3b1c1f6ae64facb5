"""Plans: real ones of TensorRT-RTX, which builds without a GPU; of TensorRT, what lies around the vendor."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("filelock", reason="the plan cache needs filelock; pip install posert[tensorrt-rtx]")

from posert import BuildError, Bundle, BundleError, InputError, MissingDependency, builders, nvidia, zoo
from posert.builders import PlanRequest, build, networks, ranges
from posert.builders import tensorrt as builders_tensorrt
from posert.builders.cache import PlanCache, digest
from posert.builders.timings import TimingCache

NO_RTX = builders.missing("tensorrt_rtx")
rtx = pytest.mark.skipif(NO_RTX is not None, reason=str(NO_RTX))


@pytest.fixture(scope="session")
def request_for(tiny_transfer_bundle: Path) -> PlanRequest:
    bundle = Bundle.open(tiny_transfer_bundle)
    spec = bundle.manifest.networks[0]
    return PlanRequest(spec, bundle.read(spec.file), "fp32", (1, 3, 8))


def test_ranges_cover_every_batch_once() -> None:
    assert ranges((1, 8, 32)) == ((1, 1, 1), (2, 8, 8), (9, 32, 32))
    assert ranges((4,)) == ((1, 4, 4),)
    covered = [n for low, _, high in ranges((1, 2, 7, 30)) for n in range(low, high + 1)]
    assert covered == list(range(1, 31))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"batch_sizes": ()}, "ascending"),
        ({"batch_sizes": (0, 1)}, "at least 1"),
        ({"batch_sizes": (8, 1)}, "ascending"),
        ({"batch_sizes": (1, 1)}, "ascending"),
        ({"level": 6}, "0 to 5"),
        ({"level": -1}, "0 to 5"),
        ({"workspace": 1000}, "1 MiB"),
        ({"compute_capabilities": ("8.6", "8.6")}, "once"),
    ],
)
def test_requests_that_nobody_could_build(request_for: PlanRequest, change: dict[str, Any], match: str) -> None:
    with pytest.raises(InputError, match=match):
        replace(request_for, **change)


def test_backends_that_compile_nothing(request_for: PlanRequest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tensorrt, tensorrt_rtx"):
        build("onnxruntime", request_for, cache=PlanCache(tmp_path))


@pytest.mark.parametrize("backend", builders.NAMES)
def test_what_is_missing_is_named(request_for: PlanRequest, tmp_path: Path, monkeypatch: Any, backend: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=rf"{backend} is not installed.*posert\[{backend.replace('_', '-')}\]"):
        build(backend, request_for, cache=PlanCache(tmp_path))
    assert not list(tmp_path.iterdir())


@rtx
@pytest.mark.parametrize(
    ("backend", "capabilities", "error", "match"),
    [
        ("onnxruntime", (), InputError, "compiles no plans"),
        ("tensorrt", (), MissingDependency, "tensorrt"),
        ("tensorrt_rtx", ("8.6", "3.5"), InputError, r"not build for compute capability 3\.5; it does for .*8\.9"),
        ("tensorrt_rtx", ("8.6", "8.6"), InputError, "once"),
        ("tensorrt_rtx", (), BuildError, r"cannot use the plan cache.*Not a directory.*POSERT_CACHE"),
    ],
)
def test_what_can_be_refused_before_any_work_is(
    backend: str, capabilities: tuple[str, ...], error: type[Exception], match: str, tmp_path: Path
) -> None:
    """Before a network is exported, judged and handed over, for minutes."""
    (tmp_path / "plans").write_text("not a folder")
    with pytest.raises(error, match=match):
        builders.check(backend, capabilities, cache=PlanCache(tmp_path))


@rtx
def test_nothing_is_refused_where_all_is_there(tmp_path: Path) -> None:
    builders.check("tensorrt_rtx", ("8.6",), cache=PlanCache(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["plans"]


def test_tensorrt_without_a_gpu(request_for: PlanRequest, tmp_path: Path, monkeypatch: Any) -> None:
    def no_driver(name: str) -> None:
        raise OSError

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace())
    monkeypatch.setattr("ctypes.CDLL", no_driver)
    with pytest.raises(MissingDependency, match=r"no NVIDIA driver.*tensorrt_rtx builds without one"):
        build("tensorrt", request_for, cache=PlanCache(tmp_path))


@rtx
class TestTensorRtRtx:
    """Nothing here is a stand-in: the package builds."""

    def test_a_plan_is_built_and_kept(self, request_for: PlanRequest, tmp_path: Path, capfd: Any) -> None:
        heard: list[tuple[str, float]] = []
        plan = build("tensorrt_rtx", request_for, cache=PlanCache(tmp_path), progress=lambda *what: heard.append(what))
        assert plan.built
        assert plan.data[:4] == b"vtrt"
        assert len(plan.data) > 1000
        shares = [share for _, share in heard]
        assert shares == sorted(shares)
        assert (shares[0], shares[-1]) == (0, 1)
        assert len({phase for phase, _ in heard}) > 3
        again = build("tensorrt_rtx", request_for, cache=PlanCache(tmp_path), progress=lambda *what: heard.append(what))
        assert (again.data, again.built) == (plan.data, False)
        assert len(heard) == len(shares), "nothing was built"
        assert capfd.readouterr() == ("", "")

    def test_what_the_plan_is_called_by(self, request_for: PlanRequest, tmp_path: Path) -> None:
        identity = build("tensorrt_rtx", request_for, cache=PlanCache(tmp_path)).identity
        assert identity["backend"] == "tensorrt_rtx"
        assert identity["profiles"] == [[1, 1, 1], [2, 3, 3], [4, 8, 8]]
        assert identity["version"] == sys.modules["tensorrt_rtx"].__version__
        assert identity["cuda"] in ("cu12", "cu13", "unknown")
        assert identity["compute_capabilities"] == ["default"]
        for change in ({"precision": "fp16"}, {"level": 1}, {"workspace": 1 << 30}, {"batch_sizes": (1, 8)}):
            other = build("tensorrt_rtx", replace(request_for, **change), cache=PlanCache(tmp_path))
            assert other.built, change

    def test_targets(self, request_for: PlanRequest, tmp_path: Path) -> None:
        both = replace(request_for, compute_capabilities=("8.6", "12.0"))
        plan = build("tensorrt_rtx", both, cache=PlanCache(tmp_path))
        assert plan.identity["compute_capabilities"] == ["8.6", "12.0"]
        with pytest.raises(InputError, match=r"not build for compute capability 5\.0.*8\.9"):
            build("tensorrt_rtx", replace(request_for, compute_capabilities=("8.6", "5.0")), cache=PlanCache(tmp_path))

    def test_an_exception_of_the_listener_ends_the_build(self, request_for: PlanRequest, tmp_path: Path, capfd: Any) -> None:
        def stop(phase: str, share: float) -> None:
            if share > 0.01:
                raise KeyboardInterrupt(phase)

        cache = PlanCache(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            build("tensorrt_rtx", request_for, cache=cache, progress=stop)
        assert {path.suffix for path in cache.folder.iterdir()} <= {".lock"}
        assert capfd.readouterr() == ("", "")
        assert build("tensorrt_rtx", request_for, cache=cache).built

    def test_the_vendors_words_reach_the_error(self, request_for: PlanRequest, tmp_path: Path) -> None:
        bundle = Bundle.open(zoo.path("pg2-s"))
        spec = bundle.manifest.networks[0]
        tight = PlanRequest(spec, bundle.read(spec.file), "fp32", (1,), workspace=1 << 20)
        with pytest.raises(BuildError, match=r"(?s)'generator' \(fp32, batches 1\).*no tactics.*allow a larger workspace"):
            build("tensorrt_rtx", tight, cache=PlanCache(tmp_path))
        with pytest.raises(BuildError, match="Failed to parse the ONNX model") as failed:
            build("tensorrt_rtx", replace(request_for, onnx=request_for.onnx[:-100]), cache=PlanCache(tmp_path))
        assert "no tactics" not in str(failed.value), "the lines of the build before"

    def test_an_operator_that_it_does_not_know(self, request_for: PlanRequest, tmp_path: Path) -> None:
        onnx = pytest.importorskip("onnx", reason="making test networks needs onnx: pip install posert[test]")
        model = onnx.load_from_string(request_for.onnx)
        model.graph.node[0].op_type, model.graph.node[0].name = "Abacus", "the_node"
        with pytest.raises(BuildError, match="Abacus the_node"):
            build("tensorrt_rtx", replace(request_for, onnx=model.SerializeToString()), cache=PlanCache(tmp_path))

    def test_turing_takes_half_precision_alone(self, request_for: PlanRequest, tmp_path: Path) -> None:
        bundle = Bundle.open(zoo.path("pg2-s"))
        spec = bundle.manifest.networks[0]
        turing = PlanRequest(spec, bundle.read(spec.file), "fp32", (1,), compute_capabilities=("7.5",))
        with pytest.raises(BuildError, match=r"(?s)FP32 GEMM is not supported.*leave out compute capability 7\.5"):
            build("tensorrt_rtx", turing, cache=PlanCache(tmp_path))

    def test_another_network_than_the_manifest_says(self, request_for: PlanRequest, tmp_path: Path) -> None:
        spec = request_for.spec
        wide = replace(spec, inputs=(replace(spec.inputs[0], shape=("N", 20, 128, 64)),))
        swapped = replace(spec, outputs=spec.outputs[::-1])
        half = replace(spec, inputs=(replace(spec.inputs[0], dtype="float16"),))
        for other in (wide, swapped, half):
            with pytest.raises(BundleError, match="the ONNX file has the"):
                build("tensorrt_rtx", replace(request_for, spec=other), cache=PlanCache(tmp_path))

    def test_a_type_that_numpy_has_not(self, request_for: PlanRequest, tmp_path: Path) -> None:
        pytest.importorskip("onnx", reason="making test networks needs onnx: pip install posert[test]")
        from onnx import TensorProto, helper

        sides = ["N", 21, 128, 64]
        tensors = [helper.make_tensor_value_info(name, TensorProto.BFLOAT16, sides) for name in ("input", "y")]
        graph = helper.make_graph([helper.make_node("Identity", ["input"], ["y"])], "g", tensors[:1], tensors[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        with pytest.raises(BundleError, match=r"DataType\.BF16"):
            build("tensorrt_rtx", replace(request_for, onnx=model.SerializeToString()), cache=PlanCache(tmp_path))

    def test_weights_outside_the_file(self, request_for: PlanRequest, tmp_path: Path) -> None:
        onnx = pytest.importorskip("onnx", reason="making test networks needs onnx: pip install posert[test]")
        from onnx.external_data_helper import set_external_data

        model = onnx.load_from_string(request_for.onnx)
        set_external_data(model.graph.initializer[0], "/etc/passwd")
        with pytest.raises(BundleError, match="outside the bundle"):
            build("tensorrt_rtx", replace(request_for, onnx=model.SerializeToString()), cache=PlanCache(tmp_path))


def test_two_cuda_versions_of_one_package(monkeypatch: Any) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.7")
    with pytest.raises(MissingDependency, match="pip uninstall tensorrt-rtx-cu12 tensorrt-rtx-cu12-bindings"):
        networks.wheel_cuda("tensorrt_rtx")


class Driver:
    """The driver of a machine with two GPUs, of which there are none here, as a library: it notes what it is asked."""

    def __init__(self, refused: str = "") -> None:
        self.refused, self.asked = refused, []  # type: ignore[var-annotated]

    @staticmethod
    def answer() -> dict[str, Any]:
        devices = [
            {"name": "NVIDIA Example", "compute_capability": "9.0"},
            {"name": "NVIDIA Other", "compute_capability": "8.6"},
        ]
        return {"driver": "libcuda.so.1", "cuda": "13.1", "devices": devices, "nvidia_smi": None, "missing": None}

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> int:
            self.asked.append((name, *(value for value in arguments if isinstance(value, int))))
            return 101 if name == self.refused else 0

        return call


ON_THE_SECOND = [
    *(("cuInit", 0), ("cuDevicePrimaryCtxRetain", 1), ("cuCtxPushCurrent_v2",)),
    *(("cuCtxPopCurrent_v2",), ("cuDevicePrimaryCtxRelease_v2", 1)),
]
"""What the driver is asked to have something done on its second GPU."""


def test_the_current_gpu(monkeypatch: Any) -> None:
    driver = Driver()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    with nvidia.on_gpu(1):
        assert driver.asked == ON_THE_SECOND[:3]
    assert driver.asked == ON_THE_SECOND, "what was current before is so again, and nothing is kept"


@pytest.mark.parametrize("refused", ["cuInit", "cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2"])
def test_a_gpu_that_is_refused(monkeypatch: Any, refused: str) -> None:
    driver = Driver(refused)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    with pytest.raises(MissingDependency, match=r"GPU 1 .*error 101"), nvidia.on_gpu(1):
        pytest.fail("it was refused")
    last = "cuDevicePrimaryCtxRelease_v2" if refused == "cuCtxPushCurrent_v2" else refused
    assert driver.asked[-1][0] == last, "what was got is given back"


def test_tensorrt_builds_for_the_gpu_that_is_there(monkeypatch: Any) -> None:
    monkeypatch.setattr(builders_tensorrt, "ask_driver", Driver.answer)
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="11.4.0"))
    target = builders_tensorrt.target(())
    assert target["compute_capabilities"] == ["9.0"]
    assert (target["gpu"], target["version"], target["driver_cuda"]) == ("NVIDIA Example", "11.4.0", "13.1")
    with pytest.raises(InputError, match="GPU of this machine alone"):
        builders_tensorrt.target(("8.6",))
    other = builders_tensorrt.target((), 1)
    assert (other["gpu"], other["compute_capabilities"]) == ("NVIDIA Other", ["8.6"])
    with pytest.raises(MissingDependency, match="no GPU 2 to build on: the driver finds 2"):
        builders_tensorrt.target((), 2)


def test_each_gpu_has_plans_of_its_own(request_for: PlanRequest, tmp_path: Path, monkeypatch: Any) -> None:
    """A plan is built on the GPU that it is keyed by."""
    driver, built = Driver(), []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: driver)
    monkeypatch.setattr(builders_tensorrt, "ask_driver", Driver.answer)
    monkeypatch.setattr(builders_tensorrt, "missing", lambda: None)
    monkeypatch.setitem(sys.modules, "tensorrt", SimpleNamespace(__version__="11.4.0"))

    def compile_network(vendor: Any, request: PlanRequest, *rest: Any) -> bytes:
        assert driver.asked[-1] == ("cuCtxPushCurrent_v2",)
        built.append(next(call[1] for call in reversed(driver.asked) if call[0] == "cuDevicePrimaryCtxRetain"))
        return f"plan {len(built)}".encode()

    monkeypatch.setattr(builders_tensorrt, "compile_network", compile_network)
    cache = PlanCache(tmp_path)
    plans = [build("tensorrt", replace(request_for, device=device), cache=cache) for device in (0, 1, 1, 0)]
    assert [plan.data for plan in plans] == [b"plan 1", b"plan 2", b"plan 2", b"plan 1"]
    assert built == [0, 1]
    assert [plan.identity["gpu"] for plan in plans[:2]] == ["NVIDIA Example", "NVIDIA Other"]


def test_tensorrt_that_will_not_start(request_for: PlanRequest, monkeypatch: Any) -> None:
    """As users report it where the driver is of no use (NVIDIA/TensorRT#2913): a warning, and a null pointer for the binding."""

    class Log:
        INTERNAL_ERROR, ERROR, WARNING, INFO = range(4)

    def refuse(log: Any) -> None:
        log.log(Log.INFO, "of no use")
        log.log(Log.WARNING, "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    vendor = ModuleType("tensorrt")
    vars(vendor).update(__version__="11.4.0", ILogger=Log, Builder=refuse)
    with pytest.raises(
        MissingDependency, match=r"tensorrt 11\.4\.0 cannot start here: CUDA initialization failure with error: 35$"
    ):
        networks.create_builder(vendor)


@rtx
@pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning")
def test_times_are_kept_from_one_build_to_the_next(request_for: PlanRequest, tmp_path: Path, monkeypatch: Any) -> None:
    """TensorRT builds on a GPU alone; TensorRT-RTX takes its place, whose interface is the same and whose times are empty."""
    vendor = pytest.importorskip("tensorrt_rtx", reason="it builds plans; pip install posert[tensorrt-rtx]")
    monkeypatch.setattr(builders_tensorrt, "ask_driver", Driver.answer)
    monkeypatch.setattr(builders_tensorrt, "missing", lambda: None)
    monkeypatch.setattr(builders_tensorrt, "on_gpu", lambda index: contextlib.nullcontext())
    monkeypatch.setitem(sys.modules, "tensorrt", vendor)
    cache = PlanCache(tmp_path)
    assert build("tensorrt", request_for, cache=cache).identity["gpu"] == "NVIDIA Example"
    (kept,) = cache.folder.glob("timings-*.bin")
    assert len(cache.load(kept.stem)) > 100
    given = kept.read_bytes()
    kept.write_bytes(given[:-1])
    assert cache.load(kept.stem) == b"", "a damaged one is none"
    build("tensorrt", replace(request_for, level=1), cache=cache)
    assert kept.read_bytes() == given


class Configuration:
    """A vendor's configuration that takes no times from another GPU."""

    def __init__(self) -> None:
        self.offered: list[bytes] = []
        self.given: Any = None

    def create_timing_cache(self, data: bytes) -> Any:
        self.offered.append(data)
        return SimpleNamespace(serialize=lambda: memoryview(data + b", and more")) if data != b"unreadable" else None

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if bytes(cache.serialize()) == b"of another GPU, and more":
            return False
        self.given = cache
        return True

    def get_timing_cache(self) -> Any:
        return self.given


@pytest.mark.parametrize(
    ("kept", "offered", "then"),
    [
        (None, [b""], b", and more"),
        (b"times", [b"times"], b"times, and more"),
        (b"of another GPU", [b"of another GPU", b""], b", and more"),
        (b"unreadable", [b"unreadable", b""], b", and more"),
    ],
)
def test_times_that_the_vendor_does_not_take(tmp_path: Path, kept: bytes | None, offered: list[bytes], then: bytes) -> None:
    cache, config = PlanCache(tmp_path), Configuration()
    name = f"timings-{digest({'gpu': 'an example'})}"
    if kept is not None:
        cache.store(name, kept)
    timings = TimingCache(cache, {"gpu": "an example"})
    timings.lend(config)
    timings.keep(config)
    assert (config.offered, cache.load(name)) == (offered, then)


class TestPhases:
    """The share that is done, of phases within phases."""

    def test_nested(self) -> None:
        phases = networks.Phases()
        assert phases.start("all", None, 4) == 0
        assert phases.step("all", 0) == 1 / 4
        assert phases.start("inner", "all", 2) == 1 / 4
        assert phases.step("inner", 0) == 1 / 4 + 1 / 8
        assert phases.step("inner", 1) == 1 / 2
        assert phases.finish("inner") == 1 / 2
        assert phases.step("all", 1) == 1 / 2
        assert phases.finish("all") == 1

    def test_it_never_falls_and_never_passes_one(self) -> None:
        phases = networks.Phases()
        phases.start("all", None, 2)
        phases.step("all", 0)
        phases.start("inner", "all", 0)  # not as the vendor documents it
        assert phases.step("inner", 7) == 1
        assert phases.step("all", 0) == 1
