"""`Graph`: an ONNX file run with torch, operator by operator. It knows the operators that posert exports (opset 18 to 22).

No converter that is kept up fits: onnx2torch's last release is of August 2024, and it wants the weights of a convolution to be
plain tensors, where posert's files hold half-precision weights behind a Cast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional

from posert.errors import BackendError

if TYPE_CHECKING:
    from onnx import NodeProto
    from torch import Tensor

OPSETS = range(18, 23)
_ON_HOST = {"Pad": (1, 2, 3), "Resize": (1, 2, 3)}
"""Operator -> inputs that say what is to be done, which are read on the host whatever their type."""

_Attributes = Mapping[str, Any]
_Operator = Callable[..., Any]


class _Step(NamedTuple):
    function: _Operator
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Graph:
    """A network's operators in order, its weights on a device.

    What operators read to know what to do (whole numbers such as shapes, axes and bounds of slices, factors of a resize) stays in
    the host's memory: reading it from a GPU would make the host wait, and cannot be done in a graph capture.

    Attributes:
        inputs, outputs: names, in the order of the graph, with dtypes in torch's words and dimensions, a name for each open one.
    """

    def __init__(self, data: bytes, device: torch.device) -> None:
        """Read an ONNX file.

        Args:
            data: the file's bytes, whose weights lie inside.
            device: where to compute.

        Raises:
            BackendError: it is no ONNX file, is of another opset, or holds an operator that is not known.
        """
        try:
            model = onnx.load_model_from_string(data)
        except Exception as error:  # protobuf's DecodeError, which is another class in each of its implementations
            raise BackendError(f"it is no ONNX file: {error}") from error
        opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
        if opset not in OPSETS:
            raise BackendError(f"it is of ONNX opset {opset}; opsets {OPSETS[0]} to {OPSETS[-1]} are known")
        hosted = {name for node in model.graph.node for name in _settings(node)}
        constants = {
            tensor.name: _constant(tensor, torch.device("cpu") if tensor.name in hosted else device)
            for tensor in model.graph.initializer
        }
        self.inputs = [_described(value) for value in model.graph.input if value.name not in constants]
        self.outputs = [_described(value) for value in model.graph.output]
        self._steps: list[_Step] = []
        with torch.no_grad():
            for node in model.graph.node:
                step = _step(node)
                if all(name in constants or not name for name in step.inputs) and step.inputs:
                    _run(step, constants)  # once, now: the widening of stored half-precision weights, most of all
                else:
                    self._steps.append(step)
        needed = {name for step in self._steps for name in step.inputs} | {name for name, _, _ in self.outputs}
        self.constants: dict[str, Tensor] = {name: value for name, value in constants.items() if name in needed}
        self._last = _last_uses(self._steps, {name for name, _, _ in self.outputs} | set(self.constants))

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs by name; they may share memory with inputs, constants or each other.

        Args:
            inputs: every input by name, on the graph's device.
        """
        values: dict[str, Any] = {**self.constants, **inputs}
        with torch.no_grad():
            for step, done in zip(self._steps, self._last, strict=True):
                _run(step, values)
                for name in done:
                    del values[name]
        return {name: values[name] for name, _, _ in self.outputs}


def _settings(node: NodeProto) -> list[str]:
    """Inputs of a node that are read on the host."""
    return [node.input[index] for index in _ON_HOST.get(node.op_type, ()) if index < len(node.input)]


def _constant(tensor: Any, device: torch.device) -> Tensor:
    array = numpy_helper.to_array(tensor)
    if array.dtype.name == "bfloat16":  # NumPy's own types have none
        return torch.from_numpy(array.view("int16").copy()).view(torch.bfloat16).to(device)
    value = torch.from_numpy(array.copy())
    return value if value.dtype == torch.int64 else value.to(device)


def _described(value: Any) -> tuple[str, str, tuple[int | str, ...]]:
    """Name, dtype as NumPy writes it, and dimensions of an input or output."""
    kind = value.type.tensor_type
    sides = tuple(side.dim_value if side.HasField("dim_value") else side.dim_param or "?" for side in kind.shape.dim)
    return value.name, str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name), sides


def _step(node: NodeProto) -> _Step:
    function = _OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if function is None:
        name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        raise BackendError(f"it holds the operator {name}, which is not known here; known are {', '.join(_OPERATORS)}")
    attributes = {entry.name: onnx.helper.get_attribute_value(entry) for entry in node.attribute}
    texts = {name: value.decode() if isinstance(value, bytes) else value for name, value in attributes.items()}
    if node.op_type == "Split":
        texts["count"] = len(node.output)
    return _Step(function, texts, tuple(node.input), tuple(node.output))


def _run(step: _Step, values: dict[str, Any]) -> None:
    result = step.function(step.attributes, *(values[name] if name else None for name in step.inputs))
    values.update(zip(step.outputs, result if isinstance(result, tuple) else (result,), strict=True))


def _last_uses(steps: list[_Step], kept: set[str]) -> list[tuple[str, ...]]:
    """For each step, which values nobody needs after it."""
    last: dict[str, int] = {}
    for index, step in enumerate(steps):
        last.update(dict.fromkeys((*step.inputs, *step.outputs), index))
    return [tuple(n for n, at in last.items() if at == index and n and n not in kept) for index in range(len(steps))]


def _refuse(operator: str, what: str) -> BackendError:
    return BackendError(f"it holds {operator} with {what}, which is not known here")


def _numbers(value: Tensor | None) -> list[int]:
    return [] if value is None else [int(number) for number in value.tolist()]


def _pads(operator: str, attributes: _Attributes, spatial: int) -> tuple[list[int], list[int]]:
    """Rows and columns to add before, and after."""
    if attributes.get("auto_pad", "NOTSET") != "NOTSET":
        raise _refuse(operator, f"auto_pad {attributes['auto_pad']}")
    pads = list(attributes.get("pads", [0] * 2 * spatial))
    return pads[:spatial], pads[spatial:]


def _torch_pads(before: list[int], after: list[int]) -> list[int]:
    """As torch wants them: the last dimension first, and nothing for leading dimensions that stay as they are."""
    pairs = list(zip(before, after, strict=True))
    while pairs and pairs[0] == (0, 0):
        pairs.pop(0)
    return [amount for pair in reversed(pairs) for amount in pair]


def _conv(attributes: _Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if weight.ndim != 4:
        raise _refuse("Conv", f"a kernel of {weight.ndim - 2} dimensions")
    before, after = _pads("Conv", attributes, 2)
    if before != after:
        x, before = functional.pad(x, _torch_pads(before, after)), [0, 0]
    stride, dilation = list(attributes.get("strides", [1, 1])), list(attributes.get("dilations", [1, 1]))
    return functional.conv2d(x, weight, bias, stride, before, dilation, int(attributes.get("group", 1)))


def _pool(operator: str, attributes: _Attributes, x: Tensor) -> tuple[Tensor, dict[str, Any]]:
    """The picture, and the options that both kinds of pooling share."""
    before, after = _pads(operator, attributes, 2)
    odd = before != after or x.ndim != 4 or set(attributes.get("dilations", [1])) != {1} or attributes.get("storage_order", 0)
    if odd:
        raise _refuse(operator, "other padding on each side, dilations or a storage order")
    options = {"kernel_size": list(attributes["kernel_shape"]), "stride": list(attributes.get("strides", [1, 1]))}
    return x, options | {"padding": before, "ceil_mode": bool(attributes.get("ceil_mode", 0))}


def _max_pool(attributes: _Attributes, x: Tensor) -> Tensor:
    x, options = _pool("MaxPool", attributes, x)
    result: Tensor = functional.max_pool2d(x, **options)
    return result


def _average_pool(attributes: _Attributes, x: Tensor) -> Tensor:
    x, options = _pool("AveragePool", attributes, x)
    return functional.avg_pool2d(x, **options, count_include_pad=bool(attributes.get("count_include_pad", 0)))


def _resize(
    attributes: _Attributes, x: Tensor, region: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
) -> Tensor:
    mode, place = attributes.get("mode", "nearest"), attributes.get("coordinate_transformation_mode", "half_pixel")
    nearest = (mode, place, attributes.get("nearest_mode", "round_prefer_floor")) == ("nearest", "asymmetric", "floor")
    linear = mode == "linear" and place in ("half_pixel", "align_corners")
    plain = not attributes.get("antialias", 0) and not attributes.get("exclude_outside", 0) and "axes" not in attributes
    if x.ndim != 4 or not plain or not (nearest or linear):
        raise _refuse("Resize", f"mode {mode}, {place}, rank {x.ndim}, antialiasing or axes")
    if sizes is not None and sizes.numel():
        options: dict[str, Any] = {"size": _numbers(sizes)[2:]}
    else:
        factors = [] if scales is None else scales.tolist()
        if len(factors) != 4 or factors[:2] != [1, 1]:
            raise _refuse("Resize", f"scales {factors}")
        options = {"scale_factor": factors[2:], "recompute_scale_factor": False}
    if nearest:
        return functional.interpolate(x, mode="nearest", **options)
    return functional.interpolate(x, mode="bilinear", align_corners=place == "align_corners", **options)


def _pad(attributes: _Attributes, x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
    amounts = _numbers(pads)
    before, after = [0] * x.ndim, [0] * x.ndim
    chosen = range(x.ndim) if axes is None else _numbers(axes)
    for axis, low, high in zip(chosen, amounts[: len(amounts) // 2], amounts[len(amounts) // 2 :], strict=True):
        before[axis], after[axis] = low, high
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}.get(attributes.get("mode", "constant"))
    if mode is None:
        raise _refuse("Pad", f"mode {attributes['mode']}")
    listed = _torch_pads(before, after)
    if mode == "constant":
        result: Tensor = functional.pad(x, listed, value=0.0 if value is None else float(value))
    else:
        result = functional.pad(x, listed + [0] * (2 * (x.ndim - 2) - len(listed)), mode)
    return result


def _slice(
    attributes: _Attributes, x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    first, last = _numbers(starts), _numbers(ends)
    strides = _numbers(steps) or [1] * len(first)
    if min(strides) < 1:
        raise _refuse("Slice", f"steps {strides}")
    index = [slice(None)] * x.ndim
    for axis, low, high, step in zip(_numbers(axes) or range(len(first)), first, last, strides, strict=True):
        index[axis] = slice(low, high, step)
    return x[tuple(index)]


def _split(attributes: _Attributes, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    axis = int(attributes.get("axis", 0))
    parts: tuple[Tensor, ...] = torch.split(x, _numbers(sizes) or math.ceil(x.shape[axis] / attributes["count"]), axis)
    return parts


def _reshape(attributes: _Attributes, x: Tensor, shape: Tensor) -> Tensor:
    sides = _numbers(shape)
    if not attributes.get("allowzero", 0):
        sides = [x.shape[i] if side == 0 else side for i, side in enumerate(sides)]
    return x.reshape(sides)


def _gemm(attributes: _Attributes, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    a, b = a.T if attributes.get("transA", 0) else a, b.T if attributes.get("transB", 0) else b
    alpha, beta = float(attributes.get("alpha", 1)), float(attributes.get("beta", 1))
    result: Tensor = alpha * (a @ b) if c is None else torch.addmm(c, a, b, beta=beta, alpha=alpha)
    return result


def _reduce(name: str, function: _Operator) -> _Operator:
    def run(attributes: _Attributes, x: Tensor, axes: Tensor | None = None) -> Tensor:
        chosen = _numbers(axes)
        if not chosen and attributes.get("noop_with_empty_axes", 0):
            return x
        result: Tensor = function(x, chosen or list(range(x.ndim)), keepdim=bool(attributes.get("keepdims", 1)))
        return result

    run.__name__ = name
    return run


def _shape(attributes: _Attributes, x: Tensor) -> Tensor:
    return torch.tensor(x.shape[attributes.get("start", 0) : attributes.get("end")], dtype=torch.int64)


def _clip(attributes: _Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)


def _all_of(function: Callable[[Tensor, Tensor], Tensor]) -> _Operator:
    """An operator of any number of inputs from one of two."""

    def run(attributes: _Attributes, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = function(first, other)
        return first

    return run


def _flatten(attributes: _Attributes, x: Tensor) -> Tensor:
    axis = int(attributes.get("axis", 1)) % (x.ndim + 1)
    return x.reshape(math.prod(x.shape[:axis]), -1)


def _cast(attributes: _Attributes, x: Tensor) -> Tensor:
    name = onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]).name
    return x.to(getattr(torch, str(name)))


_OPERATORS: dict[str, _Operator] = {
    "Add": lambda attributes, a, b: a + b,
    "AveragePool": _average_pool,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda attributes, *parts: torch.cat(parts, attributes["axis"]),
    "Conv": _conv,
    "Div": lambda attributes, a, b: a / b,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "Identity": lambda attributes, x: x,
    "LeakyRelu": lambda attributes, x: functional.leaky_relu(x, attributes.get("alpha", 0.01)),
    "Max": _all_of(torch.maximum),
    "MaxPool": _max_pool,
    "Min": _all_of(torch.minimum),
    "Mul": lambda attributes, a, b: a * b,
    "Pad": _pad,
    "ReduceMax": _reduce("ReduceMax", torch.amax),
    "ReduceSum": _reduce("ReduceSum", torch.sum),
    "Relu": lambda attributes, x: torch.relu(x),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Sigmoid": lambda attributes, x: torch.sigmoid(x),
    "Slice": _slice,
    "Softmax": lambda attributes, x: torch.softmax(x, attributes.get("axis", -1)),
    "Split": _split,
    "Sub": lambda attributes, a, b: a - b,
    "Tanh": lambda attributes, x: torch.tanh(x),
}
