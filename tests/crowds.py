"""A tiny part affinity field network whose people are known: every bright red block of the image is stamped with a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SIZE = (192, 256)
REACH = 8  # cells from the block to the edge of the stamp
# x, y of each joint of coco18 in cells from the block, and what is added in pixels: a joint between two pixels has no peak.
OFFSETS = np.array(
    [(0, -6), (0, -4)]
    + [(-2, -4), (-3, -2), (-4, 0), (2, -4), (3, -2), (4, 0)]
    + [(-1, 1), (-1, 4), (-1, 7), (1, 1), (1, 4), (1, 7)]
    + [(-1, -7), (1, -7), (-2, -6), (2, -6)]
)
BESIDE = 0.75


def joints(cell_x: float, cell_y: float) -> np.ndarray:
    """(18, 2): x, y in network pixels of the person whose block is this cell."""
    return 8 * (np.array([cell_x, cell_y]) + OFFSETS) + 3.5 + BESIDE


def document() -> dict[str, Any]:
    """The manifest's part that is its own."""
    cells = [SIZE[0] // 8, SIZE[1] // 8]
    image = {"name": "image", "dtype": "float32", "shape": ["N", 3, *SIZE], "range": [-1, 1]}
    maps = [
        {"name": name, "dtype": "float32", "shape": ["N", channels, *cells], "range": None}
        for name, channels in (("heatmaps", 19), ("pafs", 38))
    ]
    return {
        "networks": [{"name": "estimator", "file": "estimator.onnx", "inputs": [image], "outputs": maps}],
        "preprocess": {"size": list(SIZE), "mean": 127.5, "scale": 1 / 127.5, "channels": "rgb", "fill": 0},
        "postprocess": {"stride": 8, "threshold": 0.1, "accepted_fraction": 0.8},
    }


def network() -> Any:
    """The ONNX graph: mean over 8 x 8 blocks of the red channel, then one convolution whose kernels are the stamp."""
    from onnx import TensorProto, helper, numpy_helper

    from posert import ops

    side = 2 * REACH + 1
    person = np.concatenate([joints(REACH, REACH), np.ones((18, 1))], 1).astype(np.float32)[None]
    heat = ops.rasterize_gaussians(person, (side, side), 7.0, stride=8, cutoff=4.6052)[0]
    heat = np.concatenate([heat, 1 - heat.max(0, keepdims=True)])
    fields = ops.rasterize_pafs(person[None] - np.float32([3.5, 3.5, 0]), (side, side))[0]
    constants: dict[str, Any] = {"one": np.float32(1), "half": np.float32(0.5)}
    nodes = [
        helper.make_node("Add", ["image", "one"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "half"], ["unit"]),
        helper.make_node("AveragePool", ["unit"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
    ]
    for name, stamp in (("heatmaps", heat), ("pafs", fields)):
        kernel = np.zeros((len(stamp), 3, side, side), np.float32)
        kernel[:, 0] = stamp[:, ::-1, ::-1]  # a convolution here is a correlation
        constants[f"{name}_kernel"] = kernel
        nodes.append(helper.make_node("Conv", ["cells", f"{name}_kernel"], [name], pads=[REACH] * 4))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, *SIZE])
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", channels, SIZE[0] // 8, SIZE[1] // 8])
        for name, channels in (("heatmaps", 19), ("pafs", 38))
    ]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_graph(nodes, "estimator", [image], outputs, tensors)


def write(path: Path, head: dict[str, Any], model: bytes) -> Path:
    """A bundle of it; `head` is the rest of the manifest."""
    from posert.bundle import Bundle

    return Bundle.write(path, {**head, **document()}, {"estimator.onnx": model}).path
