"""int8: the convolutions that do most of the arithmetic, between QuantizeLinear and DequantizeLinear whose scales are measured.

Rounded to int8 are the weights, and what they are multiplied with, of every convolution

- whose kernel covers more than one cell: each number that it reads is used many times over, so there is much to gain;
- that joins several channels: one that filters each channel by itself reads more than it computes;
- that does not read the network's inputs: pictures have three channels, which leave most of an int8 unit idle.

Everything else is in half precision, but for what stays float32 there, too (`export.precision`).
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from export.precision import convert
from posert.errors import BuildError, InputError

OPSET = 19
"""The first operator set whose QuantizeLinear takes half precision."""

ENOUGH = 100
"""Pictures to calibrate on: 200 were no better, and 8 too few for one of the zoo's models (docs/tensorrt.md)."""


def quantise(model: onnx.ModelProto, inputs: Mapping[str, NDArray[np.float32]]) -> onnx.ModelProto:
    """A float32 model with int8 convolutions, in half precision around them, in the form that TensorRT takes.

    Weights have a scale for each output channel, and what is multiplied with them has one for all: the largest magnitude that
    the inputs give rise to becomes 127. Zero points are 0, as TensorRT demands, and biases are not rounded to integers.

    Args:
        model: as it was exported, its weights in float32.
        inputs: by name, float32 with one batch for all: typical of what the network will see.

    Returns:
        Another model, of operator set 19, with the same inputs and outputs in float32.

    Raises:
        InputError: there are no inputs.
        BuildError: the network has no such convolution, or the result is not valid.
    """
    if not min((len(value) for value in inputs.values()), default=0):
        raise InputError("int8 needs typical inputs to measure ranges on, and none were given")
    chosen = convolutions(model.graph)
    if not chosen:
        raise BuildError("the network has no convolution that int8 is of use for; build fp16")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # the quantiser moves the weights of what it is given into files of its own
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "quantised.onnx"
        quantize_static(
            copy,
            path,
            _Reader(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            nodes_to_quantize=chosen,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,  # TensorRT-RTX refuses biases of int32
                "OpTypesToExcludeOutputQuantization": ["Conv"],  # TensorRT fuses what follows a convolution, unrounded
            },
        )
        rounded = onnx.load(path)
    _check(rounded, chosen)
    return convert(version_converter.convert_version(rounded, OPSET), "fp16")


def convolutions(graph: onnx.GraphProto) -> list[str]:
    """Names of the convolutions that are rounded to int8: see the description of this module."""
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    sources = {value.name for value in graph.input}
    return [
        node.name
        for node in graph.node
        if node.op_type == "Conv" and node.input[0] not in sources and _pays(weights.get(node.input[1], ()))
    ]


def _pays(weight: Sequence[int]) -> bool:
    """Whether a weight (outputs, inputs of a group, kernel...) joins several channels over more than one cell."""
    return len(weight) > 2 and weight[1] > 1 and int(np.prod(weight[2:])) > 1


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Inputs one at a time, as the quantiser asks for them."""

    def __init__(self, inputs: Mapping[str, NDArray[np.float32]]) -> None:
        count = min(len(value) for value in inputs.values())
        self._rows: Iterator[dict[str, NDArray[np.float32]]] = (
            {name: value[i : i + 1] for name, value in inputs.items()} for i in range(count)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._rows, None)


def _check(model: onnx.ModelProto, chosen: Sequence[str]) -> None:
    """The quantiser is known to skip what it has no scale for, and to leave its own operator set in the list."""
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        if node.name in chosen and [makers.get(name) for name in node.input[:2]] != ["DequantizeLinear"] * 2:
            raise BuildError(f"the quantiser left {node.name!r} as it was")
    foreign = sorted({f"{node.domain}.{node.op_type}" for node in model.graph.node if node.domain})
    if foreign:
        raise BuildError(f"the quantiser has put operators of its own into the graph: {', '.join(foreign)}")
    standard = [helper.make_opsetid("", entry.version) for entry in model.opset_import if not entry.domain]
    del model.opset_import[:]
    model.opset_import.extend(standard)
