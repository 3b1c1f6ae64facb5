"""torch as a backend: it agrees with ONNX Runtime on every operator and model, and leaves torch as it found it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the backend needs torch: pip install posert[torch]")
pytest.importorskip("onnx", reason="the backend needs onnx: pip install posert[torch]")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from posert import BackendError, Bundle, Engine, InputError, zoo  # noqa: E402
from posert.backends import torch as backend  # noqa: E402
from posert.backends.onnx_graph import _OPERATORS, Graph  # noqa: E402

CPU = torch.device("cpu")
EXTRA = sorted((Path(__file__).resolve().parents[2] / "zoo-extra").glob("*.posert"))
MODELS = [*zoo.names(), *map(str, EXTRA)]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
X = (2, 4, 9, 6)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


KERNEL = np.random.default_rng(1).normal(size=(6, 2, 3, 2)).astype(np.float32)
CASES: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("Add", {}, ["x", "y"]),
    ("AveragePool", {"kernel_shape": [2, 3], "strides": [2, 2]}, ["x"]),
    ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, ["x"]),
    ("Cast", {"to": TensorProto.FLOAT16}, ["x"]),
    ("Clip", {}, ["x", np.float32(-0.5), np.float32(0.25)]),
    ("Clip", {}, ["x", np.float32(0)]),
    ("Clip", {}, ["x"]),
    ("Concat", {"axis": 1}, ["x", "y", "x"]),
    ("Conv", {"group": 2, "strides": [2, 1], "dilations": [1, 2], "pads": [1, 2, 1, 2]}, ["x", KERNEL]),
    ("Conv", {"group": 2, "pads": [0, 0, 1, 3]}, ["x", KERNEL, floats(1, 2, 3, 4, 5, 6)]),
    ("Div", {}, ["x", floats(3)]),
    ("Flatten", {"axis": 2}, ["x"]),
    ("Flatten", {}, ["x"]),
    ("Gemm", {"transB": 1, "alpha": 0.5, "beta": 2.0}, ["m", KERNEL.reshape(6, -1)[:, :6], floats(1, 2, 3, 4, 5, 6)]),
    ("Gemm", {"alpha": 3.0}, ["m", KERNEL.reshape(6, -1)]),
    ("Identity", {}, ["x"]),
    ("LeakyRelu", {"alpha": 0.2}, ["x"]),
    ("LeakyRelu", {}, ["x"]),
    ("Max", {}, ["x", "y", np.float32(0.1)]),
    ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 1, 1, 1]}, ["x"]),
    ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, ["x"]),
    ("Min", {}, ["x", "y"]),
    ("Mul", {}, ["x", floats(1, 2, 3, 4, 5, 6)]),
    ("Pad", {"mode": "reflect"}, ["x", ints(0, 0, 1, 2, 0, 0, 3, 4)]),
    ("Pad", {"mode": "edge"}, ["x", ints(0, 0, 0, 2, 0, 0, 0, 1)]),
    ("Pad", {}, ["x", ints(0, 1, 0, 0, 0, 0, 2, 0), np.float32(7)]),
    ("Pad", {}, ["x", ints(1, 2), np.float32(7), ints(2)]),
    ("ReduceMax", {"keepdims": 0}, ["x", ints(1)]),
    ("ReduceSum", {}, ["x", ints(2, 3)]),
    ("ReduceSum", {"noop_with_empty_axes": 1}, ["x"]),
    ("ReduceSum", {}, ["x"]),
    ("Relu", {}, ["x"]),
    ("Reshape", {}, ["x", ints(0, -1, 3)]),
    ("Reshape", {"allowzero": 1}, ["x", ints(2, 24, 9)]),
    ("Resize", {"mode": "linear"}, ["x", None, floats(1, 1, 2, 2)]),
    ("Resize", {"mode": "linear"}, ["x", None, floats(1, 1, 0.5, 1.5)]),
    ("Resize", {"mode": "linear", "coordinate_transformation_mode": "align_corners"}, ["x", None, None, ints(2, 4, 17, 11)]),
    (
        "Resize",
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        ["x", None, floats(1, 1, 2, 3)],
    ),
    ("Shape", {"start": 1, "end": 3}, ["x"]),
    ("Sigmoid", {}, ["x"]),
    ("Slice", {}, ["x", ints(1, -4), ints(9, 1 << 40), ints(2, 3), ints(2, 1)]),
    ("Slice", {}, ["x", ints(0), ints(1)]),
    ("Softmax", {"axis": 1}, ["x"]),
    ("Split", {"axis": 3, "num_outputs": 3}, ["x"]),
    ("Split", {"axis": 2}, ["x", ints(2, 3, 4)]),
    ("Sub", {}, ["x", "y"]),
    ("Tanh", {}, ["x"]),
]


def test_every_operator_has_a_case() -> None:
    assert {name for name, _, _ in CASES} == set(_OPERATORS)


def model(operator: str, attributes: dict[str, Any], operands: list[Any], opset: int = 18, domain: str = "") -> bytes:
    constants = {f"c{i}": value for i, value in enumerate(operands) if isinstance(value, (np.ndarray, np.generic))}
    names = ["" if v is None else v if isinstance(v, str) else f"c{i}" for i, v in enumerate(operands)]
    outputs = ["a", "b", "c"] if operator == "Split" else ["a"]
    kind = {"Cast": TensorProto.FLOAT16, "Shape": TensorProto.INT64}.get(operator, TensorProto.FLOAT)
    graph = helper.make_graph(
        [helper.make_node(operator, names, outputs, domain=domain, **attributes)],
        "one",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, X if name != "m" else (5, 6))
            for name in sorted({*names} & {*"xym"})
        ],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("operator", "attributes", "operands"), CASES)
def test_operators(operator: str, attributes: dict[str, Any], operands: list[Any], device: str) -> None:
    import onnxruntime

    rng = np.random.default_rng(0)
    data = model(operator, attributes, operands)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    inputs = {node.name: rng.normal(size=node.shape).astype(np.float32) for node in session.get_inputs()}
    names = [node.name for node in session.get_outputs()]
    expected = dict(zip(names, session.run(names, inputs), strict=True))
    with backend.full_precision():
        found = Graph(data, torch.device(device))({name: torch.from_numpy(x).to(device) for name, x in inputs.items()})
    assert list(found) == names
    for name in names:
        assert found[name].cpu().numpy().dtype == expected[name].dtype
        np.testing.assert_allclose(found[name].cpu().numpy(), expected[name], rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", MODELS, ids=lambda name: Path(name).stem)
def test_every_model_agrees_with_onnxruntime(name: str, device: str) -> None:
    """Within specs R-5: 1e-4 on outputs of unit scale."""
    rng = np.random.default_rng(0)
    with Engine.open(name, backend="onnxruntime", device="cpu") as one, Engine.open(name, backend="torch", device=device) as two:
        first, second = one.session(), two.session()
        for network in one.manifest.networks:
            inputs = {t.name: rng.uniform(-1, 1, (2, *t.shape[1:])).astype(np.float32) for t in network.inputs}  # type: ignore[arg-type]
            expected, found = first.run(network.name, inputs), second.run(network.name, inputs)
            for output, values in expected.items():
                scale = max(1.0, float(np.abs(values).max()))
                assert float(np.abs(found[output] - values).max()) <= 1e-4 * scale, (network.name, output)


@pytest.mark.parametrize("name", MODELS, ids=lambda name: Path(name).stem)
def test_no_value_on_the_device_is_looked_at(name: str) -> None:
    """Tensors of torch's meta device have none: a graph that looked at one, which makes the host wait for a GPU, would fail."""
    meta, bundle = torch.device("meta"), Bundle.open(zoo.path(name) if name in zoo.names() else name)
    for spec in bundle.manifest.networks:
        inputs = {t.name: torch.empty((2, *t.shape[1:]), device=meta) for t in spec.inputs}  # type: ignore[arg-type]
        found = Graph(bundle.read(spec.file), meta)(inputs)
        assert {name: tuple(one.shape) for name, one in found.items()} == {t.name: (2, *t.shape[1:]) for t in spec.outputs}


def test_nor_is_what_a_picture_is_filled_up_with() -> None:
    meta = torch.device("meta")
    data = model("Pad", {}, ["x", ints(0, 1, 0, 0, 0, 0, 2, 0), np.float32(7)])
    assert Graph(data, meta)({"x": torch.empty(X, device=meta)})["a"].shape == (2, 5, 11, 6)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"no graph", "no ONNX file"),
        (model("Relu", {}, ["x"], opset=17), "opset 17; opsets 18 to 22"),
        (model("Relu", {}, ["x"], opset=23), "opset 23"),
        (model("Sign", {}, ["x"]), "operator Sign, which is not known here; known are Add, .*Tanh"),
        (model("Relu", {}, ["x"], domain="com.example"), r"operator com\.example\.Relu"),
        (model("Conv", {"auto_pad": "SAME_UPPER"}, ["x", KERNEL]), "auto_pad SAME_UPPER"),
        (model("Resize", {"mode": "cubic"}, ["x", None, floats(1, 1, 2, 2)]), "mode cubic"),
        (model("Resize", {"mode": "nearest"}, ["x", None, floats(1, 1, 2, 2)]), "mode nearest, half_pixel"),
        (model("Resize", {"mode": "linear"}, ["x", None, floats(1, 2, 2, 2)]), "scales"),
        (model("Pad", {"mode": "wrap"}, ["x", ints(0, 0, 1, 2, 0, 0, 3, 4)]), "mode wrap"),
        (model("Slice", {}, ["x", ints(3), ints(0), ints(2), ints(-1)]), "steps"),
        (model("MaxPool", {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]}, ["x"]), "other padding"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_known_is_named(data: bytes, match: str) -> None:
    with pytest.raises(BackendError, match=match):
        Graph(data, CPU)({"x": torch.zeros(X)})


def test_bfloat16_weights() -> None:
    weights = np.array([1.5, -2.0, 0.25, 3.0, 0.5, 8.0], np.float32)
    tensor = helper.make_tensor("w", TensorProto.BFLOAT16, [6], weights.tolist())
    nodes = [helper.make_node("Cast", ["w"], ["wide"], to=TensorProto.FLOAT), helper.make_node("Mul", ["x", "wide"], ["a"])]
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, X) for name in ("x", "a")]
    graph = helper.make_graph(nodes, "one", sides[:1], sides[1:], [tensor])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10).SerializeToString()
    x = torch.randn(X)
    torch.testing.assert_close(Graph(data, CPU)({"x": x})["a"], x * torch.from_numpy(weights), rtol=0, atol=0)


def test_outputs_share_no_memory(tiny_transfer_bundle: Path) -> None:
    """One output of this network is a part of its input."""
    with Engine.open(tiny_transfer_bundle, backend="torch", device="cpu") as engine:
        given = np.random.default_rng(0).normal(size=(2, 21, 128, 64)).astype(np.float32)
        found = engine.session().run("generator", {"input": given})
        np.testing.assert_array_equal(found["coarse"], given[:, :3])
        assert not np.shares_memory(found["coarse"], given)
        assert not np.shares_memory(found["coarse"], found["image"])
        assert found["coarse"].base is None or found["coarse"].base.nbytes == found["coarse"].nbytes
        given.flags.writeable = False
        engine.session().run("generator", {"input": given})  # without a warning


def test_precision_of_torch_is_put_back() -> None:
    settings = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul)
    before = [setting.fp32_precision for setting in settings]
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with backend.full_precision():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=stay)
    other.start()
    inside.wait(10)
    with pytest.raises(ValueError, match="oops"), backend.full_precision():
        raise ValueError("oops")
    assert [setting.fp32_precision for setting in settings] == ["ieee"] * 3, "the other thread is still inside"
    leave.set()
    other.join()
    assert [setting.fp32_precision for setting in settings] == before


def test_a_run_that_fails(tiny_estimator_bundle: Path, monkeypatch: Any) -> None:
    from posert import ExecutionError, GpuMemoryError

    image = {"image": np.zeros((1, 3, 256, 192), np.float32)}
    with Engine.open(tiny_estimator_bundle, backend="torch", device="cpu") as engine:
        session = engine.session()
        for raised, expected in ((torch.OutOfMemoryError("no room"), GpuMemoryError), (RuntimeError("no"), ExecutionError)):

            def fail(*arguments: Any, raised: Exception = raised, **options: Any) -> None:
                raise raised

            monkeypatch.setattr("torch.nn.functional.conv2d", fail)
            with pytest.raises(expected, match="network 'estimator'"):
                session.run("estimator", image)


def test_what_is_missing(tiny_estimator_bundle: Path, monkeypatch: Any) -> None:
    from posert import MissingDependency

    with monkeypatch.context() as patch:
        patch.setattr(backend.importlib.util, "find_spec", lambda name: None)
        with pytest.raises(MissingDependency, match=r"torch is not installed.*posert\[torch\]"):
            Engine.open(tiny_estimator_bundle, backend="torch", device="cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MissingDependency, match=r"driver|built without CUDA|sees no device"):
        Engine.open(tiny_estimator_bundle, backend="torch", device="cuda")
    with Engine.open(tiny_estimator_bundle, backend="torch") as engine:
        assert engine.device == "cpu"
        assert "torch-cuda: passed over" in engine.explain()


def test_a_device_that_is_not_there(tiny_estimator_bundle: Path, monkeypatch: Any) -> None:
    from posert import MissingDependency

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(MissingDependency, match="no device cuda:7: torch sees 2, cuda:0 to cuda:1"):
        Engine.open(tiny_estimator_bundle, backend="torch", device="cuda:7")


def test_bundles_of_other_precisions_are_run(
    tmp_path: Path, estimator_document: dict[str, Any], tiny_estimator_onnx: bytes
) -> None:
    """The gate of any variant judged the file that torch runs."""
    variants = [{"backend": "tensorrt_rtx", "precision": "fp16", "parity": {}}]
    path = Bundle.write(
        tmp_path / "x.posert", estimator_document | {"variants": variants}, {"estimator.onnx": tiny_estimator_onnx}
    ).path
    with Engine.open(path, backend="torch", device="cpu") as engine:
        assert (engine.backend, engine.precision) == ("torch", "fp16")


@pytest.mark.gpu
class TestOnAGpu:
    """Tensors stay where they are."""

    def test_tensors(self, tiny_estimator_bundle: Path) -> None:
        images = np.random.default_rng(0).uniform(-1, 1, (3, 3, 256, 192)).astype(np.float32)
        with Engine.open(tiny_estimator_bundle, backend="torch", device="cuda") as engine:
            session = engine.session()
            expected = session.run("estimator", {"image": images})["heatmaps"]
            found = session.run("estimator", {"image": torch.from_numpy(images).cuda()})["heatmaps"]
            assert found.is_cuda
            np.testing.assert_array_equal(found.cpu().numpy(), expected)
            with pytest.raises(InputError, match="all of them"):
                session.run("estimator", {"image": torch.from_numpy(images).cuda(), "more": images})
