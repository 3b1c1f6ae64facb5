"""A torch module as ONNX bytes: opset 18, dynamic batch, one file, nothing in it but the graph and the weights."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from torch import Tensor, nn

from export.precision import convert
from export.quantisation import quantise
from export.storage import store_half
from posert.errors import BuildError

OPSET = 18

# Operators that runtimes are known to read differently, with the reason.
_REFUSED = {
    "BatchNormalization": "fold batch norm before export, or it depends on the mode the module was left in",
    "Dropout": "call eval() before export",
    "GridSample": "TensorRT reads its mode wrongly from opset 20 on; keep the sampling in posert's own kernels",
    "If": "a graph must not branch",
    "Loop": "a graph must not branch",
}


def export_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    precision: str = "fp32",
    calibration: Mapping[str, NDArray[np.float32]] | None = None,
) -> bytes:
    """Export a module whose batch dimension is dynamic.

    Args:
        module: what to export; it is put into evaluation mode.
        inputs: example inputs by name, float32 with a batch of at least 2, in the order of the module's arguments.
        outputs: names of what the module returns, in order.
        precision: of the tensors inside, see `export.precision`, or int8, see `export.quantisation`; inputs and outputs are
            float32.
        calibration: typical inputs by name, which int8 measures its ranges on; nothing else needs them.

    Returns:
        A serialised ONNX model of opset 18 (22 for bf16, 19 for int8). Weights that half precision holds exactly are stored so,
        and widened by a Cast that runtimes fold when they load the file. Names of modules and source files, which torch
        records, are taken out.

    Raises:
        InputError: no such precision, or int8 without calibration.
        BuildError: the graph is invalid, of another opset, cannot be of that precision, or holds an operator that runtimes read
            differently.
    """
    module.eval()
    batch = torch.export.Dim("N", min=1, max=4096)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), _quiet(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter warns about its own internals
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            external_data=False,
        )
        program.save(buffer)
    model = onnx.load_model_from_string(buffer.getvalue())
    _clean(model)
    _check(model)
    if precision == "int8":
        with _quiet(), contextlib.redirect_stdout(io.StringIO()):
            model = quantise(model, calibration or {})
    else:
        model = convert(model, precision)
    _clean(model)
    store_half(model.graph)
    _name_batch(model.graph)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


@contextlib.contextmanager
def _quiet() -> object:
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


def _clean(model: onnx.ModelProto) -> None:
    """Remove what does not change the result: source positions, module names, shapes of inner values."""
    model.producer_name, model.producer_version, model.doc_string = "posert", "", ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    model.graph.doc_string, model.graph.name = "", "posert"
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


def _name_batch(graph: onnx.GraphProto) -> None:
    """Call the batch dimension N at every input and output."""
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"


def _check(model: onnx.ModelProto) -> None:
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    if opsets != {"": OPSET}:
        raise BuildError(f"the exported graph uses operator sets {opsets}; only the standard one, version {OPSET}, is allowed")
    refused = {node.op_type: _REFUSED[node.op_type] for node in model.graph.node if node.op_type in _REFUSED}
    if refused:
        raise BuildError(f"the exported graph holds operators that are refused: {refused}")
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise BuildError("the exported graph keeps weights outside the file; a bundle needs one file a network")


def tensor_specs(data: bytes) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Inputs and outputs of a serialised model as a bundle's manifest lists them (docs/bundle.md)."""
    graph = onnx.load_model_from_string(data).graph
    specs = []
    for values in (graph.input, graph.output):
        entries: list[dict[str, object]] = []
        for value in values:
            tensor = value.type.tensor_type
            shape = ["N", *(dim.dim_value for dim in tensor.shape.dim[1:])]
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
            entries.append({"name": value.name, "dtype": dtype, "shape": shape, "range": None})
        specs.append(entries)
    return specs[0], specs[1]
