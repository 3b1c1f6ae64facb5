"""A real plan of every network of the zoo, in every precision: TensorRT-RTX builds them without a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="export needs onnx; pip install posert[export]")
pytest.importorskip("onnxconverter_common", reason="export needs onnxconverter-common; pip install posert[export]")

from export.precision import PRECISIONS, convert  # noqa: E402
from export.quantisation import quantise  # noqa: E402
from export.storage import store_half, widen  # noqa: E402
from posert import Bundle, builders  # noqa: E402
from posert.builders import PlanRequest, build  # noqa: E402
from posert.builders.cache import PlanCache  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted([*(ROOT / "posert" / "zoo").glob("*.posert"), *(ROOT / "zoo-extra").glob("*.posert")])
NO_RTX = builders.missing("tensorrt_rtx")


@pytest.mark.skipif(NO_RTX is not None, reason=str(NO_RTX))
@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.stem)
def test_every_network_builds_in_every_precision(path: Path, tmp_path: Path) -> None:
    """The zoo's own files, whose weights are widened and then converted as an export's are; one profile for all batches.

    For int8, which is for estimators, noise stands for typical inputs: whether the plan can be built does not depend on them.
    """
    bundle, rng = Bundle.open(path), np.random.default_rng()
    for spec in bundle.manifest.networks:
        model = onnx.load_from_string(bundle.read(spec.file))
        widen(model.graph)
        converted = {precision: convert(model, precision) for precision in PRECISIONS}
        if bundle.manifest.task == "estimation":
            noise = {value.name: rng.uniform(-1, 1, (2, *value.shape[1:])).astype(np.float32) for value in spec.inputs}
            converted["int8"] = quantise(model, noise)
        for precision, network in converted.items():
            request = PlanRequest(spec, network.SerializeToString(), precision, bundle.manifest.batch_sizes[-1:])
            plan = build("tensorrt_rtx", request, cache=PlanCache(tmp_path))
            assert plan.built
            assert len(plan.data) > 0.9 * sum(len(tensor.raw_data) for tensor in network.graph.initializer)


@pytest.mark.parametrize("path", BUNDLES[:1], ids=lambda path: path.stem)
def test_widening_undoes_how_weights_are_stored(path: Path) -> None:
    bundle = Bundle.open(path)
    stored = bundle.read(bundle.manifest.networks[0].file)
    model = onnx.load_from_string(stored)
    widen(model.graph)
    assert {tensor.data_type for tensor in model.graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    store_half(model.graph)
    assert model.SerializeToString(deterministic=True) == stored
