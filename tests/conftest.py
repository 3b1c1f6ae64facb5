"""Fixtures that every room's tests share: where the data lies, and two tiny models whose results are known."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # export and training; behind everything else, so that the installed posert is tested

settings.register_profile(
    "posert",
    deadline=None,  # the first example pays for imports and page faults
    derandomize=True,  # a run of CI repeats
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("posert")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None:
        from posert.ops import _triton

        why = _triton.problem()
        if why is not None or _triton.interpreting():
            pytest.skip(f"no GPU: {why}")
    parameters = getattr(item, "callspec", None)
    if parameters is not None and parameters.params.get("backend") == "triton" and "case" in parameters.params:
        from posert.ops._dispatch import NO_TRITON

        operation = parameters.params["case"].op
        if operation in NO_TRITON:
            pytest.skip(f"{operation} has no Triton kernel: {NO_TRITON[operation]}")


ESTIMATOR_OFFSETS = (
    *((0, -6), (0, -4)),  # head top and neck, above the blob
    *((-2, -3), (-4, -2), (-6, -1)),  # right arm
    *((2, -3), (4, -2), (6, -1)),  # left arm
    *((-1, 2), (-2, 4), (-3, 6)),  # right leg
    *((1, 2), (2, 4), (3, 6)),  # left leg
)
"""Where `tiny_estimator_bundle` finds each joint of cpm14: (x, y) in heatmap cells from the cell of the brightest 8 x 8 block."""


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real photographs: POSERT_DATA, or shared/data beside the repository."""
    default = ROOT.parent / "shared" / "data"
    root = Path(os.environ.get("POSERT_DATA") or default)
    if not root.is_dir():
        pytest.skip(f"no data at {root}; set POSERT_DATA to a folder with lsp/, lspet/, market1501/")
    return root


@pytest.fixture(scope="session")
def estimator_offsets() -> np.ndarray:
    """(14, 2) x, y of each joint in heatmap cells, from the cell of the blob that `tiny_estimator_bundle` looks for."""
    return np.array(ESTIMATOR_OFFSETS)


@pytest.fixture(scope="session")
def estimator_document() -> dict[str, Any]:
    """Manifest of `tiny_estimator_bundle`, without its files."""
    image = {"name": "image", "dtype": "float32", "shape": ["N", 3, 256, 192], "range": [-1, 1]}
    heatmaps = {"name": "heatmaps", "dtype": "float32", "shape": ["N", 15, 32, 24], "range": None}
    return {
        **_document("tiny-estimator", "estimation", "cpm", "cpm14"),
        "networks": [{"name": "estimator", "file": "estimator.onnx", "inputs": [image], "outputs": [heatmaps]}],
        "preprocess": {
            **{"size": [256, 192], "mean": [127.5] * 3, "scale": [1 / 127.5] * 3},
            **{"channels": "rgb", "fill": 0, "box_scale": 1.0},
        },
        "postprocess": {"stride": 8, "method": "argmax"},
    }


@pytest.fixture(scope="session")
def transfer_document() -> dict[str, Any]:
    """Manifest of `tiny_transfer_bundle`, without its files."""
    inputs = [{"name": "input", "dtype": "float32", "shape": ["N", 21, 128, 64], "range": [-1, 1]}]
    outputs = [{"name": name, "dtype": "float32", "shape": ["N", 3, 128, 64], "range": None} for name in ("coarse", "image")]
    return {
        **_document("tiny-transfer", "transfer", "pg2", "coco18"),
        "networks": [{"name": "generator", "file": "generator.onnx", "inputs": inputs, "outputs": outputs}],
        "preprocess": {"size": [128, 64], "mean": 127.5, "scale": 1 / 127.5, "channels": "rgb", "radius": 4},
        "postprocess": {"mask_radius": 4, "mask_closing": 5},
    }


def _document(name: str, task: str, paper: str, skeleton: str) -> dict[str, Any]:
    parity = {"max_abs": 0.0, "tolerance": 1e-4, "batches": [1, 3, 8], "images": 0}
    return {
        **{"format": "posert-bundle", "version": 1, "name": name, "task": task, "paper": paper, "skeleton": skeleton},
        **{"description": "A linear function for tests.", "batch_sizes": [1, 3, 8], "training": {}, "metrics": {}},
        "variants": [{"backend": "onnxruntime", "precision": "fp32", "parity": parity}],
        "licences": {"code": "Apache-2.0", "weights": "none", "data": "none"},
    }


@pytest.fixture(scope="session")
def tiny_estimator_onnx() -> bytes:
    """A network that is linear in the image: mean over 8 x 8 blocks of the red channel, moved by each joint's own offset."""
    pytest.importorskip("onnx", reason="making test networks needs onnx: pip install posert[test]")
    from onnx import TensorProto, helper, numpy_helper

    weights = np.zeros((15, 3, 13, 13), np.float32)
    for joint, (x, y) in enumerate(ESTIMATOR_OFFSETS):
        weights[joint, 0, 6 - y, 6 - x] = 1  # a correlation: the output at cell g reads the input at cell g - offset
    constants = {"one": np.float32(1), "half": np.float32(0.5), "weights": weights}
    nodes = [
        helper.make_node("Add", ["image", "one"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "half"], ["unit"]),
        helper.make_node("AveragePool", ["unit"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["cells", "weights"], ["heatmaps"], pads=[6, 6, 6, 6]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 256, 192])
    heatmaps = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, ["N", 15, 32, 24])
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return _model(helper.make_graph(nodes, "estimator", [image], [heatmaps], tensors))


@pytest.fixture(scope="session")
def tiny_transfer_onnx() -> bytes:
    """A network whose coarse image is the source, and whose image is the source with every joint's disc painted white."""
    pytest.importorskip("onnx", reason="making test networks needs onnx: pip install posert[test]")
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Slice", ["input", "zero", "three", "channel"], ["coarse"]),
        helper.make_node("Slice", ["input", "three", "all", "channel"], ["pose"]),
        helper.make_node("ReduceMax", ["pose", "channel"], ["painted"], keepdims=1),
        helper.make_node("Max", ["coarse", "painted"], ["image"]),
    ]
    constants = {"zero": 0, "three": 3, "all": 21, "channel": 1}
    tensors = [numpy_helper.from_array(np.array([value], np.int64), name) for name, value in constants.items()]
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 21, 128, 64])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 3, 128, 64]) for name in ("coarse", "image")]
    return _model(helper.make_graph(nodes, "generator", [source], outputs, tensors))


def _model(graph: Any) -> bytes:
    from onnx import checker, helper

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def tiny_estimator_bundle(
    tmp_path_factory: pytest.TempPathFactory, estimator_document: dict[str, Any], tiny_estimator_onnx: bytes
) -> Path:
    """A bundle that finds a blob: joint k of cpm14 lies `estimator_offsets[k]` heatmap cells from the brightest red block."""
    from posert.bundle import Bundle

    path = tmp_path_factory.mktemp("bundles") / "tiny-estimator.posert"
    return Bundle.write(path, estimator_document, {"estimator.onnx": tiny_estimator_onnx}).path


@pytest.fixture(scope="session")
def tiny_transfer_bundle(
    tmp_path_factory: pytest.TempPathFactory, transfer_document: dict[str, Any], tiny_transfer_onnx: bytes
) -> Path:
    """A bundle whose `coarse` is the source, and whose `image` is the source with the target pose's discs in white."""
    from posert.bundle import Bundle

    path = tmp_path_factory.mktemp("bundles") / "tiny-transfer.posert"
    return Bundle.write(path, transfer_document, {"generator.onnx": tiny_transfer_onnx}).path


@pytest.fixture(scope="session")
def tiny_crowd_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that finds a person around every bright red 8 x 8 block; see crowds.py."""
    pytest.importorskip("onnx", reason="making test networks needs onnx: pip install posert[test]")
    import crowds

    path = tmp_path_factory.mktemp("bundles") / "tiny-crowd.posert"
    return crowds.write(path, _document("tiny-crowd", "estimation", "paf", "coco18"), _model(crowds.network()))
