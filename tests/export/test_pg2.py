"""Every variant of PG2 becomes a bundle that `posert.Transfer` draws with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs torch; pip install posert[export]")
pytest.importorskip("onnxscript", reason="export needs onnxscript; pip install posert[export]")
safetensors = pytest.importorskip("safetensors.torch", reason="export needs safetensors; pip install posert[export]")

from export import build_engines, recipes  # noqa: E402
from posert import Transfer, TransferBatch, ops  # noqa: E402
from posert.media.images import list_images, read_image  # noqa: E402
from posert.models.pg2 import Generator, PG2Config  # noqa: E402

EXAMPLES = Path(__file__).resolve().parents[2] / "posert" / "examples"


@pytest.mark.parametrize(
    "config",
    [
        {"embedding": "coordinates", "stages": 1},
        {"embedding": "heatmap_encoder", "stages": 1, "pose_range": "unit"},
        {"refinement_channels": 4, "pose_range": "unit"},
    ],
    ids=["coordinates", "heatmap_encoder", "two stages"],
)
def test_a_variant_is_exported_and_draws(config: dict[str, object], tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = {"channels": 4, **config}
    state = {name: value.half() for name, value in Generator(PG2Config(**config)).state_dict().items()}
    weights = tmp_path / "weights.safetensors"
    safetensors.save_file(state, weights, metadata={"model": "pg2", "config": json.dumps(config), "size": "[128, 64]"})
    pictures = [read_image(path) for path in list_images(EXAMPLES)][:2]
    build_engines.build("pg2-s", weights, build_engines.Target(), pictures, tmp_path, lambda step: None)

    rng = np.random.default_rng(0)
    source = rng.integers(0, 256, (2, 128, 64, 3), np.uint8)
    pose = np.concatenate([rng.uniform(8, 56, (2, 18, 2)) * (1, 2), np.ones((2, 18, 1))], -1).astype(np.float32)
    with Transfer(tmp_path / "pg2-s.posert") as transfer:
        result = transfer.run(TransferBatch(source=source, target=pose))
    planes = torch.from_numpy(ops.rasterize_discs(pose, (128, 64)))
    pixels = (torch.from_numpy(source).permute(0, 3, 1, 2).float() - 127.5) / 127.5
    with torch.no_grad():
        wanted = recipes.load("pg2-s", weights).networks[0].reference(torch.cat([pixels, planes], 1))
    assert (result.coarse is not None) == (config.get("stages", 2) == 2)
    for picture, expected in zip([result.images, result.coarse][: len(wanted)], reversed(wanted), strict=True):
        assert np.abs(picture.astype(int) - ops.to_uint8(expected.contiguous().numpy())).max() <= 1
