"""The engine: choices that work or say what is missing, sessions that check, and any number of threads."""

from __future__ import annotations

import copy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import posert.backends.onnxruntime as vendor
from posert import (
    BackendError,
    Bundle,
    BundleError,
    Engine,
    ExecutionError,
    InputError,
    MissingDependency,
    NoVariantError,
    PosertError,
    zoo,
)
from posert.backends import CANDIDATES, ON_REQUEST, missing, survey

CAN_PLAY = all(map(find_spec, ("torch", "onnx", "filelock")))
PLAYED = [candidate for candidate in CANDIDATES if "tensorrt" in candidate.backend and CAN_PLAY]
"""Run with the vendor's package and the GPU played by fakes, so that the code between them is seen; see fake_tensorrt."""

RUNNABLE = [candidate for candidate in (*CANDIDATES, *ON_REQUEST) if missing(candidate) is None]


@pytest.fixture(
    params=[
        *(pytest.param(c, marks=pytest.mark.gpu if c.device == "cuda" else (), id=c.name) for c in RUNNABLE),
        *(pytest.param(c, id=f"{c.name} played") for c in PLAYED),
    ]
)
def engine(request, tiny_estimator_bundle, monkeypatch):
    if "played" in request.node.callspec.id:
        import fake_tensorrt

        fake_tensorrt.install(monkeypatch, request.param.backend)
    with Engine.open(tiny_estimator_bundle, backend=request.param.backend, device=request.param.device) as engine:
        yield engine


@pytest.fixture
def image(rng):
    return rng.uniform(-1, 1, (3, 3, 256, 192)).astype(np.float32)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class OnAnotherDevice:
    """Something of another library in the memory of a GPU that is not there."""

    def __dlpack_device__(self):
        return (2, 63)


def expected(image, estimator_offsets):
    """The tiny estimator in NumPy."""
    cells = ((image[:, 0] + 1) / 2).reshape(len(image), 32, 8, 24, 8).mean((2, 4))
    padded = np.pad(cells, ((0, 0), (6, 6), (6, 6)))
    maps = [padded[:, 6 - y : 38 - y, 6 - x : 30 - x] for x, y in estimator_offsets]
    return np.stack([*maps, np.zeros_like(cells)], axis=1)


class TestBackendContract:
    """What every backend must do."""

    def test_values(self, engine, image, estimator_offsets):
        result = engine.session().run("estimator", {"image": image})
        assert list(result) == ["heatmaps"]
        assert result["heatmaps"].dtype == np.float32
        np.testing.assert_allclose(result["heatmaps"], expected(image, estimator_offsets), atol=1e-5)

    def test_any_batch_up_to_the_largest(self, engine, image):
        session = engine.session()
        for batch in (1, 8, 2, 0, 3, 1):
            many = np.resize(image, (batch, *image.shape[1:]))
            whole = session.run("estimator", {"image": many})["heatmaps"]
            assert whole.shape == (batch, 15, 32, 24)
            for i in range(batch):
                alone = session.run("estimator", {"image": many[i : i + 1]})["heatmaps"]
                np.testing.assert_allclose(whole[i], alone[0], atol=1e-6)

    def test_results_are_fresh_memory(self, engine, image):
        session = engine.session()
        first = session.run("estimator", {"image": image})["heatmaps"]
        before = first.copy()
        session.run("estimator", {"image": -image})
        np.testing.assert_array_equal(first, before)
        assert not np.shares_memory(first, image)
        first[:] = 0  # and writable

    def test_strided_inputs(self, engine, image):
        session = engine.session()
        double = np.repeat(image, 2, axis=0)[::2]
        assert not double.flags.c_contiguous
        np.testing.assert_array_equal(
            session.run("estimator", {"image": double})["heatmaps"], session.run("estimator", {"image": image})["heatmaps"]
        )

    def test_many_threads(self, engine, rng, estimator_offsets):
        local = threading.local()

        def work(seed):
            if not hasattr(local, "session"):
                local.session = engine.session()
            image = np.random.default_rng(seed).uniform(-1, 1, (1 + seed % 4, 3, 256, 192)).astype(np.float32)
            result = local.session.run("estimator", {"image": image})["heatmaps"]
            return np.abs(result - expected(image, estimator_offsets)).max()

        with ThreadPoolExecutor(4) as pool:
            assert max(pool.map(work, range(40))) < 1e-5

    def test_closing(self, engine, image):
        session = engine.session()
        engine.close()
        engine.close()
        with pytest.raises(ExecutionError, match="closed"):
            session.run("estimator", {"image": image})
        with pytest.raises(ExecutionError, match="closed"):
            engine.session()

    @pytest.mark.parametrize(
        ("network", "change", "match"),
        [
            ("generator", lambda x: {"image": x}, "no network 'generator'"),
            ("estimator", lambda x: {}, "needs a dict"),
            ("estimator", lambda x: x, "needs a dict"),
            ("estimator", lambda x: {"picture": x}, "needs a dict"),
            ("estimator", lambda x: {"image": x, "more": x}, "needs a dict"),
            ("estimator", lambda x: {"image": x.tolist()}, "got list"),
            ("estimator", lambda x: {"image": x.astype(np.float64)}, "got float64"),
            ("estimator", lambda x: {"image": x[0]}, r"got float32 of shape \(3, 256, 192\)"),
            ("estimator", lambda x: {"image": x[:, :, :-1]}, "255"),
            ("estimator", lambda x: {"image": np.resize(x, (9, 3, 256, 192))}, "at most 8"),
            ("estimator", lambda x: {"image": OnAnotherDevice()}, "takes NumPy arrays, got a CUDA tensor|lies on"),
        ],
    )
    def test_bad_input(self, engine, image, network, change, match):
        with pytest.raises(InputError, match=match):
            engine.session().run(network, change(image))

    def test_session_of_another_thread(self, engine, image):
        session = engine.session()
        with ThreadPoolExecutor(1) as pool, pytest.raises(ExecutionError, match="belongs to the thread"):
            pool.submit(session.run, "estimator", {"image": image}).result()

    def test_wrong_networks(self, request, engine, tmp_path, estimator_document, tiny_estimator_onnx):
        options = {"backend": engine.backend, "device": engine.device}
        broken = Bundle.write(tmp_path / "a.posert", estimator_document, {"estimator.onnx": b"not an ONNX file"})
        with pytest.raises(BackendError, match=r"(cannot load|could not build) network 'estimator'"):
            Engine.open(broken.path, **options)
        document = copy.deepcopy(estimator_document)
        document["networks"][0]["outputs"].append({"name": "more", "dtype": "float32", "shape": ["N", 1]})
        other = Bundle.write(tmp_path / "b.posert", document, {"estimator.onnx": tiny_estimator_onnx})
        with pytest.raises(BundleError, match="the manifest says"):
            Engine.open(other.path, **options)


def test_what_was_opened(tiny_estimator_bundle):
    with Engine.open(tiny_estimator_bundle) as engine:
        assert engine.path == tiny_estimator_bundle
        assert engine.manifest.name == "tiny-estimator"
        assert (engine.backend, engine.precision) == ("onnxruntime", "fp32")
        assert "tiny-estimator" in repr(engine)
        lines = engine.explain().splitlines()
        assert [line.partition(":")[0] for line in lines] == [candidate.name for candidate in (*CANDIDATES, *ON_REQUEST)]
        assert lines[-1] == "torch-cpu: on request: backend='torch'"
        assert sum(": chosen: onnxruntime" in line for line in lines) == 1


def test_paths_and_names(tiny_estimator_bundle, monkeypatch, tmp_path):
    assert Engine.open(str(tiny_estimator_bundle)).path == tiny_estimator_bundle
    monkeypatch.chdir(tiny_estimator_bundle.parent)
    assert Engine.open(tiny_estimator_bundle.name).manifest.name == "tiny-estimator"
    with pytest.raises(InputError, match="no such file"):
        Engine.open("absent.posert")
    with pytest.raises(InputError, match="no such file"):
        Engine.open(tmp_path / "cpm-s")
    with pytest.raises(InputError, match="NUL"):
        Engine.open("a\0.posert")
    with pytest.raises(InputError, match="no model is called"):
        Engine.open("a\0")
    with pytest.raises(InputError, match="zoo name or a path"):
        Engine.open(3)


def test_zoo(monkeypatch, tmp_path, tiny_estimator_bundle):
    for name in ("cpm-s", "pg2-s"):
        (tmp_path / f"{name}.posert").write_bytes(tiny_estimator_bundle.read_bytes())
    (tmp_path / "cpm-s.md").write_text("# card")
    monkeypatch.setattr(zoo, "_folder", lambda: tmp_path)
    assert zoo.names() == ("cpm-s", "pg2-s")
    assert zoo.card("cpm-s") == "# card"
    assert Engine.open("cpm-s").path == tmp_path / "cpm-s.posert"
    with pytest.raises(InputError, match="did you mean 'cpm-s'"):
        Engine.open("cmp-s")
    with pytest.raises(InputError, match="known are cpm-s, pg2-s"):
        Engine.open("resnet")
    with pytest.raises(InputError, match="no card"):
        zoo.card("pg2-s")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"backend": "onnxruntim"}, InputError, "did you mean 'onnxruntime'"),
        ({"backend": "caffe"}, InputError, "known are tensorrt, tensorrt_rtx, onnxruntime, openvino"),
        ({"device": "gpu"}, InputError, "no device 'gpu'"),
        ({"device": "cuda:x"}, InputError, "no device"),
        ({"device": 0}, InputError, "no device"),
        ({"backend": "openvino", "device": "cuda"}, InputError, "does not run on"),
        ({"precision": "fp16"}, NoVariantError, "no variant for onnxruntime fp16 .* it has onnxruntime fp32"),
        ({"backend": "tensorrt"}, MissingDependency, "tensorrt is not installed|driver"),
        ({"backend": "torch", "precision": "fp16"}, NoVariantError, "no variant for torch fp16"),
        ({"backend": "openvino", "device": "cpu"}, NoVariantError, "no openvino backend"),
    ],
)
def test_choices_that_cannot_be_met(tiny_estimator_bundle, options, error, match):
    with pytest.raises(error, match=match) as caught:
        Engine.open(tiny_estimator_bundle, **options)
    assert isinstance(caught.value, PosertError)


def test_cuda_is_never_replaced_by_the_cpu(tiny_estimator_bundle):
    if missing(CANDIDATES[2]) is None:
        pytest.skip("onnxruntime has CUDA here")
    for options in ({"device": "cuda"}, {"device": "cuda:1", "backend": "onnxruntime"}):
        with pytest.raises(MissingDependency, match="pip install 'onnxruntime-gpu") as caught:
            Engine.open(tiny_estimator_bundle, **options)
        verdict, *reasons = str(caught.value).splitlines()
        assert "device 'cuda" in verdict
        assert reasons[-1].startswith("  onnxruntime-cuda: ")
        assert len(reasons) == (1 if "backend" in options else 3)


def test_a_cuda_build_without_a_gpu(tiny_estimator_bundle, monkeypatch):
    """The vendor says that it has CUDA, and then quietly opens the session on the CPU."""
    import onnxruntime

    real = onnxruntime.InferenceSession
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda data, options, providers: real(data, options, ["CPUExecutionProvider"])
    )
    with pytest.raises(MissingDependency, match="cannot use cuda"):
        Engine.open(tiny_estimator_bundle, device="cuda")
    with Engine.open(tiny_estimator_bundle) as engine:
        assert engine.device == "cpu"
        assert "onnxruntime-cuda: passed over: onnxruntime cannot use cuda" in engine.explain()


def test_onnxruntime_absent(tiny_estimator_bundle, monkeypatch):
    monkeypatch.setattr(vendor.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="pip install onnxruntime"):
        Engine.open(tiny_estimator_bundle)
    assert all(survey().values())


def test_onnxruntime_broken(tiny_estimator_bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(vendor.importlib.util, "find_spec", lambda name: SimpleNamespace())
    with pytest.raises(MissingDependency, match="cannot be imported"):
        Engine.open(tiny_estimator_bundle, backend="onnxruntime")


def test_weights_outside_the_bundle(tmp_path, estimator_document, tiny_estimator_onnx):
    import onnx
    from onnx.external_data_helper import set_external_data

    model = onnx.load_from_string(tiny_estimator_onnx)
    set_external_data(next(t for t in model.graph.initializer if t.name == "weights"), "/etc/passwd")
    bundle = Bundle.write(tmp_path / "x.posert", estimator_document, {"estimator.onnx": model.SerializeToString()})
    with pytest.raises(BundleError, match="outside the bundle"):
        Engine.open(bundle.path)


def test_a_run_that_fails(tiny_estimator_bundle, monkeypatch):
    with Engine.open(tiny_estimator_bundle) as engine:
        session = engine.session()

        def fail(names, inputs):
            raise RuntimeError("out of memory")

        outputs = [SimpleNamespace(name="heatmaps")]
        fake = SimpleNamespace(get_outputs=lambda: outputs, run=fail)
        monkeypatch.setitem(engine._program._sessions, "estimator", fake)
        with pytest.raises(ExecutionError, match="out of memory"):
            session.run("estimator", {"image": np.zeros((1, 3, 256, 192), np.float32)})
        fake.run = lambda names, inputs: [np.zeros((2, 2))]
        with pytest.raises(ExecutionError, match="not "):
            session.run("estimator", {"image": np.zeros((1, 3, 256, 192), np.float32)})


def test_opening_writes_nothing_to_the_terminal(tiny_estimator_bundle, capfd):
    with Engine.open(tiny_estimator_bundle) as engine:
        engine.session().run("estimator", {"image": np.zeros((1, 3, 256, 192), np.float32)})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["a" * 300, "a" * 300 + ".posert", Path("a" * 300)])
def test_names_that_are_too_long(name):
    with pytest.raises(InputError, match="too long"):
        Engine.open(name)
