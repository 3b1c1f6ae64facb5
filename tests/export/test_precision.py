"""Precision as a property of the ONNX file: what is lowered, what stays float32, and that rounding is what a GPU's would be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="export needs onnx; pip install posert[export]")
pytest.importorskip("onnxconverter_common", reason="export needs onnxconverter-common; pip install posert[export]")
onnxruntime = pytest.importorskip("onnxruntime", reason="the runtime needs onnxruntime; pip install posert")

import ml_dtypes  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from export.precision import PRECISIONS, convert, imitate  # noqa: E402
from posert.errors import BuildError, InputError  # noqa: E402

KINDS = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
DTYPES = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}


def network(weights: np.ndarray) -> Any:
    """A convolution, whose result is an output and normalised, too; then a doubling, and softmax."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["first"], name="conv"),
        helper.make_node("InstanceNormalization", ["first", "ones", "zeros"], ["normed"], name="norm"),
        helper.make_node("Resize", ["normed", "", "scales"], ["large"], name="resize", mode="linear"),
        helper.make_node("Conv", ["large", "w2"], ["second"], name="conv2"),
        helper.make_node("Softmax", ["second"], ["y"], name="softmax", axis=1),
    ]
    constants = {
        "w": weights,
        "w2": np.linspace(-0.7, 0.9, 6, dtype=np.float32).reshape(3, 2, 1, 1),
        "ones": np.ones(2, np.float32),
        "zeros": np.zeros(2, np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    source = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, 6, 5])
    outputs = [
        helper.make_tensor_value_info("first", TensorProto.FLOAT, ["N", 2, 6, 5]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3, 12, 10]),
    ]
    graph = helper.make_graph(nodes, "test", [source], outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng().normal(0, 0.5, (2, 4, 1, 1)).astype(np.float32)


def kinds(model: Any) -> dict[str, int]:
    """Type of every tensor by name."""
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    return {v.name: v.type.tensor_type.elem_type for v in values} | {t.name: t.data_type for t in inferred.initializer}


def run(data: bytes, x: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, {"x": x})


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_what_is_lowered_and_what_is_not(precision: str, weights: np.ndarray) -> None:
    original = network(weights)
    before = original.SerializeToString()
    model = convert(original, precision)
    assert original.SerializeToString() == before
    found, low = kinds(model), KINDS[precision]
    assert [found[name] for name in ("x", "first", "y")] == [TensorProto.FLOAT] * 3
    by_name = {node.name: node for node in model.graph.node}
    for name in ("conv", "conv2"):
        assert {found[tensor] for tensor in (*by_name[name].input, *by_name[name].output)} == {low}, name
    for name in ("norm", "softmax", "resize"):
        assert {found[tensor] for tensor in by_name[name].input if tensor} == {TensorProto.FLOAT}, name
    made = next(n for n in model.graph.node if "y" in n.output)
    assert made.op_type in ("Softmax", "Identity"), "nothing is rounded between softmax and the output"
    assert model.opset_import[0].version == {"fp16": 18, "bf16": 22}[precision]
    other = TensorProto.BFLOAT16 if precision == "fp16" else TensorProto.FLOAT16
    assert other not in found.values()


def filler() -> Any:
    """A picture divided by its share before the first convolution, a constant that many read, and a sum of both ways."""
    nodes = [
        helper.make_node("Sub", ["one", "x"], ["rest"], name="rest"),
        helper.make_node("Add", ["x", "tiny"], ["share"], name="share"),
        helper.make_node("Div", ["x", "share"], ["known"], name="known"),
        helper.make_node("Max", ["known", "rest"], ["filled"], name="filled"),
        helper.make_node("Conv", ["x", "w"], ["made"], name="conv"),
        helper.make_node("Sub", ["one", "made"], ["other"], name="other"),
        helper.make_node("Add", ["other", "filled"], ["y"], name="sum"),
    ]
    constants = {"w": np.full((1, 1, 1, 1), 0.5, np.float32), "one": np.float32(1), "tiny": np.float32(1e-9)}
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    sides = ["N", 1, 4, 4]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, sides) for name in "xy")
    graph = helper.make_graph(nodes, "test", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_what_is_made_of_the_inputs_alone_is_not_lowered(precision: str) -> None:
    model = convert(filler(), precision)
    found, by_name = kinds(model), {node.name: node for node in model.graph.node}
    for name in ("rest", "share", "known", "filled"):
        assert {found[tensor] for tensor in (*by_name[name].input, *by_name[name].output)} == {TensorProto.FLOAT}, name
    for name in ("conv", "other", "sum"):
        assert {found[tensor] for tensor in (*by_name[name].input, *by_name[name].output)} == {KINDS[precision]}, name
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    assert len(casts) == 3, "of x for the convolution, of what is filled in for the sum, and of the sum"
    x = np.full((2, 1, 4, 4), 1e-9, np.float32)  # in half precision it is 0, and so is its share
    (y,) = run(imitate(model.SerializeToString()), x)
    np.testing.assert_allclose(y, 2, atol=1e-2)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_nothing_is_rounded_between_two_that_stay(precision: str, weights: np.ndarray) -> None:
    """A norm is resized: each stays float32, and so does what is between them, which the output reads as well."""
    model = network(weights)
    model.graph.output.append(helper.make_tensor_value_info("normed", TensorProto.FLOAT, ["N", 2, 6, 5]))
    graph = convert(model, precision).graph
    makers = {name: node for node in graph.node for name in node.output}
    resized = next(node for node in graph.node if node.name == "resize").input[0]
    while makers[resized].op_type in ("Identity", "Cast"):
        assert makers[resized].op_type == "Identity"
        resized = makers[resized].input[0]
    assert makers[resized].name == "norm"


def test_fp32_is_left_alone(weights: np.ndarray) -> None:
    model = network(weights)
    assert convert(model, "fp32") is model
    with pytest.raises(InputError, match=", ".join(PRECISIONS)):
        convert(model, "int3")


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_same_input_gives_the_same_bytes(precision: str, weights: np.ndarray) -> None:
    first, second = (convert(network(weights), precision).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_imitation_rounds_as_a_gpu_does(precision: str, weights: np.ndarray) -> None:
    """A product of rounded numbers, summed exactly, and rounded: the same but for sums on the edge between two."""
    low = DTYPES[precision]
    x = np.random.default_rng().normal(0, 1, (3, 4, 6, 5)).astype(np.float32)
    rounded, rounded_weights = (value.astype(low).astype(np.float32) for value in (x, weights[..., 0, 0]))
    exact = np.einsum("oi,nihw->nohw", rounded_weights, rounded)
    expected = exact.astype(low).astype(np.float32)
    first, last = run(imitate(convert(network(weights), precision).SerializeToString()), x)
    step = 2.0 ** -{"fp16": 10, "bf16": 7}[precision]
    assert np.abs(first - expected).max() <= step * np.abs(expected).max()
    assert (first == expected).mean() > 0.99, "the last bit of float32 decides where a sum lies on the edge"
    np.testing.assert_array_equal(first, first.astype(low).astype(np.float32))
    wanted = run(network(weights).SerializeToString(), x)[1]
    assert 0 < np.abs(last - wanted).max() < 3e-2


def test_weights_beyond_half_precision_are_refused(weights: np.ndarray) -> None:
    weights[0, 1] = 7e4
    with pytest.raises(BuildError, match="'w' holds numbers beyond 65504"):
        convert(network(weights), "fp16")


def test_tiny_weights_are_not_moved(weights: np.ndarray) -> None:
    weights[0, 1], weights[1, 1] = 6e-8, -1e-9
    model = convert(network(weights), "fp16")
    stored = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.dims[:] == [2, 4, 1, 1])
    np.testing.assert_array_equal(stored, weights.astype(np.float16))
