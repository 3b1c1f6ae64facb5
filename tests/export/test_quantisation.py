"""int8: which convolutions are rounded, to what scales, and that the result is what integers would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="export needs onnx; pip install posert[export]")
pytest.importorskip("onnxconverter_common", reason="export needs onnxconverter-common; pip install posert[export]")
onnxruntime = pytest.importorskip("onnxruntime", reason="the runtime needs onnxruntime; pip install posert")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from export.precision import imitate  # noqa: E402
from export.quantisation import convolutions, quantise  # noqa: E402
from export.storage import widen  # noqa: E402
from posert import BuildError, Bundle, InputError, builders  # noqa: E402
from posert.builders import PlanRequest, build  # noqa: E402
from posert.builders.cache import PlanCache  # noqa: E402
from posert.manifest import NetworkSpec  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NO_RTX = builders.missing("tensorrt_rtx")


def network(rng: np.random.Generator) -> Any:
    """One convolution of each kind in a row; the one named "dense" alone is for int8."""
    shapes = {"first": (8, 3, 3, 3), "depthwise": (8, 1, 3, 3), "dense": (6, 8, 3, 3), "point": (4, 6, 1, 1)}
    nodes, tensors, source = [], [], "x"
    for name, shape in shapes.items():
        weight, bias = rng.normal(0, 0.3, shape).astype(np.float32), rng.normal(0, 0.3, shape[0]).astype(np.float32)
        tensors += [numpy_helper.from_array(weight, f"{name}.w"), numpy_helper.from_array(bias, f"{name}.b")]
        inputs, group = [source, f"{name}.w", f"{name}.b"], 8 if name == "depthwise" else 1
        source = "y" if name == "point" else f"{name}.out"
        nodes.append(helper.make_node("Conv", inputs, [source], name=name, group=group, pads=[shape[2] // 2] * 4))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 6, 5])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 6, 5])
    graph = helper.make_graph(nodes, "test", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture(scope="module")
def case() -> tuple[Any, Any, np.ndarray]:
    """A network, what became of it, and what it was calibrated on."""
    rng = np.random.default_rng()
    model, x = network(rng), rng.normal(0, 1, (4, 3, 6, 5)).astype(np.float32)
    before = model.SerializeToString()
    result = quantise(model, {"x": x})
    assert model.SerializeToString() == before
    return model, result, x


def run(data: bytes, x: np.ndarray, *outputs: str) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(list(outputs) or None, {"x": x})


def test_only_what_pays_is_rounded(case: Any) -> None:
    model, result, _ = case
    assert convolutions(model.graph) == ["dense"]
    makers = {name: node for node in result.graph.node for name in node.output}
    by_name = {node.name: node for node in result.graph.node}
    for name in ("first", "depthwise", "point"):
        assert all(makers[i].op_type != "DequantizeLinear" for i in by_name[name].input if i in makers), name
    rounded, weight, bias = by_name["dense"].input
    kinds = {t.name: t.data_type for t in result.graph.initializer}
    assert kinds[bias] == TensorProto.FLOAT16, "biases are not rounded to integers"
    assert makers[makers[rounded].input[0]].op_type == "QuantizeLinear"
    assert kinds[makers[weight].input[0]] == TensorProto.INT8
    for made in (rounded, weight):
        assert makers[made].op_type == "DequantizeLinear"
        assert kinds[makers[made].input[1]] == TensorProto.FLOAT16, "so that the convolution computes in int8 and half precision"
    assert [value.type.tensor_type.elem_type for value in (*result.graph.input, *result.graph.output)] == [TensorProto.FLOAT] * 2
    assert [(entry.domain, entry.version) for entry in result.opset_import] == [("", 19)]


def test_scales_are_the_largest_magnitudes(case: Any) -> None:
    """Of each output channel of the weights, and of what all the inputs together give rise to."""
    model, result, x = case
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in result.graph.initializer}
    makers = {name: node for node in result.graph.node for name in node.output}
    rounded, weight, _ = next(node for node in result.graph.node if node.name == "dense").input
    original = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == "dense.w")
    stored, scale, zero = (values[name] for name in makers[weight].input)
    np.testing.assert_allclose(scale, np.abs(original).max((1, 2, 3)) / 127, rtol=5e-3)
    np.testing.assert_allclose(stored * scale[:, None, None, None].astype(np.float32), original, atol=0.51 * scale.max() * 1.2)
    assert not zero.any()
    inner = onnx.ModelProto()
    inner.CopyFrom(model)
    inner.graph.output.append(helper.make_tensor_value_info("depthwise.out", TensorProto.FLOAT, ["N", 8, 6, 5]))
    (seen,) = run(inner.SerializeToString(), x, "depthwise.out")
    _, scale, zero = (values.get(name) for name in makers[rounded].input)
    np.testing.assert_allclose(scale, np.abs(seen).max() / 127, rtol=5e-3)
    assert not zero.any()


def test_the_result_is_near_and_not_the_same(case: Any) -> None:
    model, result, x = case
    (wanted,), (found,) = run(model.SerializeToString(), x), run(imitate(result.SerializeToString()), x)
    difference = np.abs(found - wanted)
    assert difference.max() < 0.1 * np.abs(wanted).max()
    assert difference.max() > 1e-3 * np.abs(wanted).max()


def test_the_same_input_gives_the_same_bytes(case: Any) -> None:
    model, result, x = case
    assert quantise(model, {"x": x}).SerializeToString(deterministic=True) == result.SerializeToString(deterministic=True)


def test_bad_input(case: Any) -> None:
    model, _, x = case
    for nothing in ({}, {"x": x[:0]}):
        with pytest.raises(InputError, match="none were given"):
            quantise(model, nothing)
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    next(node for node in plain.graph.node if node.name == "dense").op_type = "ConvTranspose"
    with pytest.raises(BuildError, match="build fp16"):
        quantise(plain, {"x": x})


def test_export(tmp_path: Path) -> None:
    """A module with a stem and one convolution for int8; without calibration it is refused."""
    torch = pytest.importorskip("torch", reason="export needs torch; pip install posert[export]")
    pytest.importorskip("onnxscript", reason="export needs onnxscript; pip install posert[export]")
    from export.onnx_export import export_onnx

    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    x = np.random.default_rng().normal(0, 1, (3, 3, 8, 8)).astype(np.float32)
    data = export_onnx(module, {"x": torch.zeros(2, 3, 8, 8)}, ["y"], "int8", {"x": x})
    kinds = [node.op_type for node in onnx.load_from_string(data).graph.node]
    assert (kinds.count("QuantizeLinear"), kinds.count("DequantizeLinear")) == (1, 2)
    with torch.no_grad():
        np.testing.assert_allclose(run(imitate(data), x)[0], module(torch.from_numpy(x)).numpy(), atol=0.1)
    with pytest.raises(InputError, match="none were given"):
        export_onnx(module, {"x": torch.zeros(2, 3, 8, 8)}, ["y"], "int8")


@pytest.mark.skipif(NO_RTX is not None, reason=str(NO_RTX))
def test_a_plan_of_it_is_built(case: Any, tmp_path: Path) -> None:
    tensors = {
        side: [{"name": name, "dtype": "float32", "shape": ["N", channels, 6, 5], "range": None}]
        for side, name, channels in (("inputs", "x", 3), ("outputs", "y", 4))
    }
    spec = NetworkSpec.parse({"name": "test", "file": "test.onnx", **tensors}, "test")
    request = PlanRequest(spec, case[1].SerializeToString(), "int8", (1, 4), compute_capabilities=("8.6",))
    assert build("tensorrt_rtx", request, cache=PlanCache(tmp_path)).built


def test_what_the_zoo_rounds() -> None:
    """Ten of cpm-s: no layer of its trunk, whose convolutions cover one cell or filter each channel by itself."""
    model = onnx.load_from_string(Bundle.open(ROOT / "posert" / "zoo" / "cpm-s.posert").read("estimator.onnx"))
    widen(model.graph)
    chosen = convolutions(model.graph)
    assert len(chosen) == 10
    weights = [node.input[1] for node in model.graph.node if node.name in chosen]
    assert all("trunk" not in name for name in weights)
    assert {tuple(tensor.dims[2:]) for tensor in model.graph.initializer if tensor.name in weights} == {(3, 3)}
