"""The precision of a network is that of the tensors in its ONNX file: here they get it, and with it the casts between them.

What stays float32 in every precision: inputs and outputs, softmax, norms, resizing, arithmetic on coordinates, and what is made
of the inputs before the first layer with weights.
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

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul", "DequantizeLinear")
"""Layers with weights, and what makes weights of integers."""

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
    kept_operators = {*float16.DEFAULT_OP_BLOCK_LIST, *KEPT}
    kept = {node.name for node in copy.graph.node if node.op_type in kept_operators} | _before_weights(copy.graph)
    _separate_constants(copy.graph, kept)
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
            op_block_list=[],
            node_block_list=sorted(kept),
        )
    _attach_outputs(half.graph)
    _skip_roundings(half.graph)
    del half.graph.value_info[:]  # written for other types
    result = half if precision == "fp16" else _as_bfloat16(half, model)
    try:
        onnx.checker.check_model(result, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BuildError(f"the network cannot be converted to {precision}: {error}") from error
    return result


def _before_weights(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes that no layer with weights lies before: pyramids and masks of the inputs.

    There is little to gain, and much to lose: what fills a hole in a picture divides by the share of it that is known, of which
    half precision holds little where it is small.
    """
    names, learned = set(), set()
    for node in graph.node:  # in the order of computation
        if node.op_type in _WEIGHTED or learned.intersection(node.input):
            learned.update(node.output)
        else:
            names.add(node.name)
    return names


def _separate_constants(graph: onnx.GraphProto, kept: set[str]) -> None:
    """Give nodes that stay float32 their own copy of a constant that others read.

    The converter leaves one that such a node reads as it is, and the others then have operands of two types.
    """
    inside = [node for node in graph.node if node.name in kept]
    shared = {name for node in inside for name in node.input}
    shared &= {name for node in graph.node if node.name not in kept for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in shared and tensor.data_type == TensorProto.FLOAT]:
        own = f"{tensor.name}.float32"
        graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(tensor), own))
        for node in inside:
            node.input[:] = [own if name == tensor.name else name for name in node.input]


def _skip_roundings(graph: onnx.GraphProto) -> None:
    """Between two nodes that stay float32 nothing is rounded, where the converter casts there and back again."""
    rounded = {node.output[0]: node.input[0] for node in graph.node if _is_cast(node, TensorProto.FLOAT16)}
    widened = {
        node.output[0]: rounded[node.input[0]]
        for node in graph.node
        if _is_cast(node, TensorProto.FLOAT) and node.input[0] in rounded
    }
    for node in graph.node:
        node.input[:] = [widened.get(name, name) for name in node.input]
    read = {value.name for value in graph.output} | {name for node in graph.node for name in node.input}
    for casts in (widened, rounded):
        unread = [node for node in graph.node if node.output[0] in casts and node.output[0] not in read]
        for node in unread:
            graph.node.remove(node)
        read -= {name for node in unread for name in node.input}
        read |= {name for node in graph.node for name in node.input}


def _is_cast(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(a.name == "to" and a.i == kind for a in node.attribute)


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
        if source is not None and _is_cast(source, TensorProto.FLOAT16):
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
