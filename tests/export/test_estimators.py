"""Estimators of one person as ONNX: the same numbers, the outputs that the manifest promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs torch; pip install posert[export]")
onnx = pytest.importorskip("onnx", reason="export needs onnx; pip install posert[export]")
pytest.importorskip("onnxscript", reason="export needs onnxscript; pip install posert[export]")
safetensors = pytest.importorskip("safetensors.torch", reason="export needs safetensors; pip install posert[export]")
onnxruntime = pytest.importorskip("onnxruntime", reason="the runtime needs onnxruntime; pip install posert")

from export import recipes  # noqa: E402
from export.onnx_export import export_onnx, tensor_specs  # noqa: E402
from posert.errors import BundleError  # noqa: E402
from posert.manifest import Manifest  # noqa: E402
from posert.models.adversarial import AdversarialConfig, Generator  # noqa: E402
from posert.models.cpm import CPM, CPMConfig, FinalBelief  # noqa: E402
from posert.models.structured import Structured, StructuredConfig  # noqa: E402

NETWORKS = {
    "cpm": (CPM, CPMConfig, {"backbone": "vgg", "joints": 19, "stages": 2, "width": 4, "kernel": 3}, {"heatmaps": 20}),
    "structured": (
        Structured,
        StructuredConfig,
        {
            **{"tree": "lsp19", "backbone": "movenet-lightning", "mixtures": 1, "width": 8, "features": 8, "part_channels": 4},
            **{"features_kernel": 3, "transform_kernel": 3, "transform_hidden": [4], "background_hidden": 0},
        },
        {"heatmaps": 20},
    ),
    "adversarial": (
        Generator,
        AdversarialConfig,
        {"backbone": "movenet-lightning", "joints": 19, "stacks": 2, "width": 8, "depth": 2, "adapt_width": 8},
        {"heatmaps": 19, "occlusion": 19},
    ),
}
SIZE = (64, 32)


@pytest.mark.parametrize("paper", NETWORKS)
def test_exported_estimator(paper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, estimator_document: dict) -> None:
    network, config, sizes, channels = NETWORKS[paper]
    torch.manual_seed(0)
    model = network(config(**sizes))
    (FinalBelief(model) if paper == "cpm" else model)(torch.randn(4, 3, *SIZE))  # in training mode: batch norms learn something
    state = {name: value.half() if value.is_floating_point() else value for name, value in model.state_dict().items()}
    metadata = {"model": paper, "config": json.dumps(sizes), "size": json.dumps(SIZE)}
    safetensors.save_file(state, tmp_path / "model.safetensors", metadata=metadata)
    description = f'paper = "{paper}"\nskeleton = "lsp19"\n[preprocess]\nsize = [{SIZE[0]}, {SIZE[1]}]\n'
    (tmp_path / "model.toml").write_text(description)
    monkeypatch.setattr(recipes, "MODELS", tmp_path)

    (part,) = recipes.load("model").networks
    assert list(part.outputs) == list(channels)
    data = export_onnx(part.exported, {"image": torch.zeros(2, 3, *SIZE)}, part.outputs)
    inputs, outputs = tensor_specs(data)
    assert {spec["name"]: spec["shape"] for spec in outputs} == {name: ["N", c, 8, 4] for name, c in channels.items()}
    image = np.random.default_rng(0).uniform(-1, 1, (3, 3, *SIZE)).astype(np.float32)
    found = onnxruntime.InferenceSession(data).run(list(part.outputs), {"image": image})
    for one, (name, expected) in zip(found, part.run_reference({"image": image}).items(), strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-4 * max(1, np.abs(expected).max()), err_msg=name)
    if paper == "structured":
        np.testing.assert_allclose(found[0].sum(1), 1, atol=1e-5)
    weights = {tensor.data_type for tensor in onnx.load_model_from_string(data).graph.initializer if len(tensor.dims) == 4}
    assert onnx.TensorProto.FLOAT16 in weights

    document = estimator_document | {"paper": paper, "skeleton": "lsp19", "files": {}}
    document["networks"] = [{"name": "estimator", "file": "estimator.onnx", "inputs": inputs, "outputs": outputs}]
    document["preprocess"] = {**document["preprocess"], "size": list(SIZE)}
    document["files"] = {"estimator.onnx": {"sha256": "0" * 64, "bytes": len(data)}}
    assert Manifest.of(document).paper == paper
    for other in {"cpm", "structured"} if paper == "adversarial" else {"adversarial"}:
        with pytest.raises(BundleError, match="outputs"):
            Manifest.of(document | {"paper": other})
