"""Weights that half precision holds exactly are stored so, and widened by a Cast that runtimes fold when they load the file."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SMALL = 64
"""Tensors of fewer elements are kept as they are: their names and sizes would cost more than half precision saves."""


def store_half(graph: onnx.GraphProto) -> None:
    """Store float32 weights in half precision where that changes no value."""
    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        value = numpy_helper.to_array(tensor)
        if value.size < _SMALL:
            continue
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), value):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.widen", to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def widen(graph: onnx.GraphProto) -> None:
    """Undo `store_half`: every weight in float32 again, as `export.precision.convert` takes them."""
    stored = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    for cast in [node for node in graph.node if node.op_type == "Cast" and node.input[0] in stored]:
        tensor = stored[cast.input[0]]
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), cast.output[0]))
        graph.node.remove(cast)
