"""The precision of a network is that of the tensors in its ONNX file: here they get it, and with it the casts between them.

What stays float32 in every precision: inputs and outputs, softmax, norms, resizing, and arithmetic on coordinates.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter
from onnxconverter_common import float16

from posert.errors import BuildError, InputError

PRECISIONS = ("fp32", "fp16", "bf16")

BFLOAT16_OPSET = 22
"""The first operator set whose convolutions know bfloat16."""

KEPT = (
    *("Softmax", "LogSoftmax"),
    *("InstanceNormalization", "LayerNormalization", "GroupNormalization", "LpNormalization", "MeanVarianceNormalization"),
    *("ReduceMean", "ReduceSum", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "Sqrt", "Pow", "Exp", "Log"),  # norms in parts
    *("Range", "CumSum", "ArgMax", "TopK", "GridSample"),  # coordinates
)
"""Operators that stay float32, besides those that the converter itself leaves alone."""

_HALF = np.finfo(np.float16)


def convert(model: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """A float32 model in another precision, with float32 inputs and outputs.

    Args:
        model: as it was exported, its weights in float32.
        precision: one of `PRECISIONS`.

    Returns:
        The model itself for fp32, else another one; for bf16 of operator set 22.

    Raises:
        InputError: no such precision.
        BuildError: a weight is too large for half precision, or the result is not valid.
    """
    if precision not in PRECISIONS:
        raise InputError(f"no precision {precision!r}; known are {', '.join(PRECISIONS)}")
    if precision == "fp32":
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _detach_outputs(copy.graph)
    for tensor in copy.graph.initializer if precision == "fp16" else ():
        if tensor.data_type == TensorProto.FLOAT and np.abs(numpy_helper.to_array(tensor)).max(initial=0) > float(_HALF.max):
            raise BuildError(f"{tensor.name!r} holds numbers beyond {_HALF.max}, the largest of half precision")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells of every number that becomes 0, as some must
        half = float16.convert_float_to_float16(
            copy,
            min_positive_val=0.0,
            max_finite_val=float(_HALF.max),
            keep_io_types=True,
            op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *KEPT],
        )
    _attach_outputs(half.graph)
    del half.graph.value_info[:]  # written for other types
    result = half if precision == "fp16" else _as_bfloat16(half, model)
    try:
        onnx.checker.check_model(result, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BuildError(f"the network cannot be converted to {precision}: {error}") from error
    return result


def _detach_outputs(graph: onnx.GraphProto) -> None:
    """Let each output be made by a node of its own, which nothing else reads.

    The converter casts an output for its readers inside the graph, too, and forgets the cast after a node that stays float32.
    """
    for output in graph.output:
        inner = f"{output.name}.inner"
        for node in graph.node:
            for names in (node.input, node.output):
                names[:] = [inner if name == output.name else name for name in names]
        graph.node.append(helper.make_node("Identity", [inner], [output.name], name=f"{output.name}.out"))


def _attach_outputs(graph: onnx.GraphProto) -> None:
    """Take the nodes of `_detach_outputs` out again, and with them a rounding between a node in float32 and an output."""
    maker = {name: node for node in graph.node for name in node.output}
    for output in graph.output:
        widen = maker[output.name]
        identity = maker[widen.input[0]]
        source = maker.get(identity.input[0])
        graph.node.remove(identity)
        if source is not None and source.op_type == "Cast" and source.attribute[0].i == TensorProto.FLOAT16:
            widen.CopyFrom(helper.make_node("Identity", [source.input[0]], [output.name], name=widen.name))
            if not any(source.output[0] in node.input for node in graph.node):
                graph.node.remove(source)
        else:
            widen.input[0] = identity.input[0]


def _as_bfloat16(half: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with bfloat16 wherever it has half precision: both have their casts in the same places.

    Weights are taken from the original: rounding them twice is not the same.
    """
    model = version_converter.convert_version(half, BFLOAT16_OPSET)
    exact = {tensor.name: tensor for tensor in original.graph.initializer}
    for tensor in _tensors(model.graph):
        if tensor.data_type == TensorProto.FLOAT16:
            value = numpy_helper.to_array(exact.get(tensor.name, tensor))
            tensor.CopyFrom(numpy_helper.from_array(value.astype(ml_dtypes.bfloat16), tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.BFLOAT16
    del model.graph.value_info[:]
    return model


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every constant of a graph."""
    yield from graph.initializer
    for node in graph.node:
        yield from (attribute.t for attribute in node.attribute if attribute.HasField("t"))


_LOW = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def imitate(data: bytes) -> bytes:
    """A network that computes in float32 and rounds wherever the original holds half precision or bfloat16.

    It is what a GPU does, whose tensor cores sum products in float32 and round the sums, for runtimes that have not the types.

    Args:
        data: a serialised model of `convert`.
    """
    model = onnx.load_from_string(data)
    inner = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph.value_info
    low = {value.name: value.type.tensor_type.elem_type for value in inner if value.type.tensor_type.elem_type in _LOW}
    for tensor in _tensors(model.graph):
        if tensor.data_type in _LOW:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    nodes = []
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _LOW:
                attribute.i = TensorProto.FLOAT
        outputs = list(node.output)
        node.output[:] = [f"{name}.exact" if name in low else name for name in outputs]
        nodes.append(node)
        for name in outputs:
            if name in low:
                nodes.append(helper.make_node("Cast", [f"{name}.exact"], [f"{name}.rounded"], to=low[name]))
                nodes.append(helper.make_node("Cast", [f"{name}.rounded"], [name], to=TensorProto.FLOAT))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return bytes(model.SerializeToString(deterministic=True))
