"""A real plan of every network of the zoo, in every precision: TensorRT-RTX builds them without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx", reason="export needs onnx; pip install posert[export]")
pytest.importorskip("onnxconverter_common", reason="export needs onnxconverter-common; pip install posert[export]")

from export.precision import PRECISIONS, convert  # noqa: E402
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
    """The zoo's own files, whose weights are widened and then converted as an export's are; one profile for all batches."""
    bundle = Bundle.open(path)
    for spec in bundle.manifest.networks:
        model = onnx.load_from_string(bundle.read(spec.file))
        widen(model.graph)
        for precision in PRECISIONS:
            data = convert(model, precision).SerializeToString()
            request = PlanRequest(spec, data, precision, bundle.manifest.batch_sizes[-1:])
            plan = build("tensorrt_rtx", request, cache=PlanCache(tmp_path))
            assert plan.built
            assert len(plan.data) > 0.9 * sum(len(t.raw_data) for t in onnx.load_from_string(data).graph.initializer)


@pytest.mark.parametrize("path", BUNDLES[:1], ids=lambda path: path.stem)
def test_widening_undoes_how_weights_are_stored(path: Path) -> None:
    bundle = Bundle.open(path)
    stored = bundle.read(bundle.manifest.networks[0].file)
    model = onnx.load_from_string(stored)
    widen(model.graph)
    assert {tensor.data_type for tensor in model.graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}
    store_half(model.graph)
    assert model.SerializeToString(deterministic=True) == stored
