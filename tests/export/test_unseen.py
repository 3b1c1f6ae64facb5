"""Unseen Poses from weights to pictures: three networks in one bundle, run by `posert.Transfer`, against the torch model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs torch; pip install posert[export]")
pytest.importorskip("onnx", reason="export needs onnx; pip install posert[export]")
pytest.importorskip("onnxscript", reason="export needs onnxscript; pip install posert[export]")
safetensors = pytest.importorskip("safetensors.torch", reason="export needs safetensors; pip install posert[export]")
pytest.importorskip("onnxruntime", reason="the runtime needs onnxruntime; pip install posert")

from export import build_engines, recipes  # noqa: E402
from posert import Bundle, BundleError, Engine, InputError, Poses, Transfer, TransferBatch, ops  # noqa: E402
from posert.manifest import Manifest  # noqa: E402
from posert.media.images import list_images, read_image  # noqa: E402
from posert.models.unseen import Unseen, UnseenConfig  # noqa: E402
from posert.redrawing.unseen import pose_maps  # noqa: E402

SIZE = (96, 64)
CONFIG = {"height": SIZE[0], "width": SIZE[1], "channels": 4, "residual": True, "pull_push": True}
CONFIG |= {"mask_gain": 3.0, "part_power": 2}
DESCRIPTION = f"""
task = "transfer"
paper = "unseen"
description = "Random weights for tests."
skeleton = "cpm14"
[preprocess]
size = [{SIZE[0]}, {SIZE[1]}]
mean = 127.5
scale = 0.00784313725490196
channels = "rgb"
fill = 0
[postprocess]
[training]
[metrics]
[licences]
code = "Apache-2.0"
weights = "none"
data = "none"
"""


@pytest.fixture(scope="module")
def model() -> Unseen:
    torch.manual_seed(0)
    model = Unseen(UnseenConfig(**CONFIG)).eval()
    for parameter in model.parameters():
        parameter.data = parameter.data.half().float()
    return model


@pytest.fixture(scope="module")
def bundle(model: Unseen, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unseen")
    state = {name: value.half() for name, value in model.state_dict().items()}
    metadata = {"model": "unseen", "config": json.dumps(CONFIG), "size": json.dumps(SIZE)}
    safetensors.save_file(state, folder / "tiny-unseen.safetensors", metadata=metadata)
    (folder / "tiny-unseen.toml").write_text(DESCRIPTION)
    pictures = [read_image(path) for path in list_images(Path(__file__).resolve().parents[2] / "posert" / "examples")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipes, "MODELS", folder)
        row = build_engines.build("tiny-unseen", None, build_engines.Target(), pictures, folder, lambda step: None)
    assert row["report"]["batches"] == [1, 4, 8]
    assert Bundle.open(folder / "tiny-unseen.posert").manifest.postprocess.part_power == 2
    return folder / "tiny-unseen.posert"


def people(rng: np.random.Generator, count: int) -> np.ndarray:
    """Joints all over the picture, (N, 14, 3)."""
    places = rng.uniform(0.1, 0.9, (count, 14, 2)) * SIZE[::-1]
    return np.concatenate([places, np.ones((count, 14, 1))], -1).astype(np.float32)


def expected(model: Unseen, source: np.ndarray, joints: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pictures and masks of the torch model."""
    with torch.no_grad():
        made = model(
            torch.from_numpy(source).permute(0, 3, 1, 2) / 127.5 - 1,
            torch.from_numpy(pose_maps(joints, SIZE)),
            torch.from_numpy(ops.limb_priors(joints, SIZE)),
            torch.from_numpy(ops.part_transforms(target, joints)),
            torch.from_numpy(pose_maps(target, SIZE)),
        )
    return ops.to_uint8(made.image.numpy()), (made.mask[:, 0] >= 0.5).numpy()


def test_transfer_makes_the_pictures_of_the_torch_model(model: Unseen, bundle: Path) -> None:
    rng = np.random.default_rng()
    source, joints, target = rng.integers(0, 256, (11, *SIZE, 3), np.uint8), people(rng, 11), people(rng, 11)
    target[3, 4] = np.nan, np.nan, 0  # a lower arm that is not there
    wanted, mask = expected(model, source, joints, target)
    with Transfer(bundle) as transfer:
        transfer.warmup([1, 3])
        result = transfer.run(TransferBatch(source, target, Poses(joints, skeleton="cpm14")))
        assert result.coarse is None
        assert np.abs(result.images.astype(int) - wanted).max() <= 1
        assert (result.mask == mask).mean() > 0.999
        steps = ["crop", "rasterize", "segmentation", "part_masks", "background", "warp_parts", "foreground", "composite"]
        assert list(result.stage_ms) == steps
        again = transfer.run(TransferBatch(source[..., ::-1], target, Poses(joints, skeleton="cpm14")), color="bgr")
        np.testing.assert_array_equal(again.images, result.images[..., ::-1])
        assert transfer.run(TransferBatch(source[:0], target[:0], Poses(joints[:0], skeleton="cpm14"))).images.shape[0] == 0


def test_a_prepared_source_in_many_poses(bundle: Path) -> None:
    rng = np.random.default_rng()
    source, joints, target = rng.integers(0, 256, (2, *SIZE, 3), np.uint8), people(rng, 2), people(rng, 9)
    with Transfer(bundle) as transfer:
        prepared = transfer.prepare(source, Poses(joints, skeleton="cpm14"))
        index = np.array([0] * 8 + [1])
        made = prepared.run(target, index)
        assert "segmentation" not in made.stage_ms, "what depends on the source alone was done before"
        whole = transfer.run(TransferBatch(source[index], target, Poses(joints[index], skeleton="cpm14")))
        np.testing.assert_array_equal(made.images, whole.images)


def test_stages_can_be_looked_at(bundle: Path) -> None:
    rng = np.random.default_rng()
    source, joints, target = rng.integers(0, 256, (1, *SIZE, 3), np.uint8), people(rng, 1), people(rng, 2)
    with Transfer(bundle) as transfer:
        prepared = transfer.prepare(source, Poses(joints, skeleton="cpm14"))
        stages = prepared.explain(target)
        np.testing.assert_array_equal(stages["image"], prepared.run(target).images)
        np.testing.assert_array_equal(stages["background"], np.repeat(prepared.backgrounds(), 2, 0))
        turned = transfer.prepare(source[..., ::-1], Poses(joints, skeleton="cpm14"), color="bgr").backgrounds()
        np.testing.assert_array_equal(turned, prepared.backgrounds()[..., ::-1])
    assert list(stages)[:3] == ["source", "parts", "head"]
    assert list(stages)[-4:] == ["foreground", "mask", "background", "image"]
    assert all(pictures.shape == (2, *SIZE, 3) for pictures in stages.values())
    assert np.abs(stages["source"][1].astype(int) - source[0]).max() <= 1, "to_uint8 truncates"
    share = stages["mask"].astype(float) / 255
    composed = share * stages["foreground"] + (1 - share) * stages["background"]
    clipped = (np.minimum(stages["foreground"], stages["background"]) > 0) & (
        np.maximum(stages["foreground"], stages["background"]) < 255
    )
    assert np.abs(composed - stages["image"])[clipped].max() < 3


def test_a_source_without_a_pose_is_looked_for(bundle: Path, tiny_estimator_bundle: Path) -> None:
    rng = np.random.default_rng()
    source, target = np.zeros((1, *SIZE, 3), np.uint8), people(rng, 1)
    source[0, 44:52, 28:36, 0] = 255  # what the tiny estimator finds
    with Transfer(bundle, estimator=tiny_estimator_bundle) as transfer:
        result = transfer.run(TransferBatch(source, target))
        assert "locate" in result.stage_ms
        with pytest.raises(InputError, match="no joints for images"):
            transfer.run(TransferBatch(source, target, Poses(np.full((1, 14, 3), (np.nan, np.nan, 0)), skeleton="cpm14")))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"skeleton": "coco18"}, "cpm14"),
        ({"postprocess": {"mask_radius": 4}}, "postprocess"),
        ({"postprocess": {"part_power": 0}}, "part_power"),
        ({"networks": lambda networks: networks[:2]}, "networks name the files|no network 'foreground'"),
    ],
)
def test_bundles_that_break_the_contract(bundle: Path, change: dict, match: str) -> None:
    with Engine.open(bundle) as engine:
        document = engine.manifest.document()
    for key, value in change.items():
        document[key] = value(document[key]) if callable(value) else value
    with pytest.raises(BundleError, match=match):
        Manifest.of(document)


def test_the_command_takes_it_for_a_picture_a_video_and_a_folder(bundle, tmp_path):
    from typer.testing import CliRunner

    from posert.cli import app

    examples = Path(__file__).resolve().parents[2] / "posert" / "examples"
    (tmp_path / "people").mkdir()
    for name in ("source-yellow.jpg", "source-stripes.jpg"):
        (tmp_path / "people" / name).write_bytes((examples / name).read_bytes())
    calls = {
        "one": ["--source", examples / "source-yellow.jpg", "--pose", examples / "pose-left.jpg", "-o", tmp_path / "new.png"],
        "many": ["--source", tmp_path / "people", "--poses", examples / "pose-left.jpg", "-o", tmp_path / "out"],
    }
    try:
        from videos import write_video

        write_video(tmp_path / "dance.mp4", [read_image(examples / f"pose-{name}.jpg") for name in ("left", "front", "right")])
        calls["video"] = ["--source", examples / "source-yellow.jpg", "--pose", tmp_path / "dance.mp4", "-o", tmp_path / "o.mp4"]
    except ImportError:  # without PyAV the other two are tested
        pass
    calls["one"] += ["--explain", tmp_path / "steps"]
    for call in calls.values():
        done = CliRunner().invoke(app, ["transfer", *map(str, call), "--model", str(bundle)])
        assert done.exit_code == 0, done.output
    assert read_image(tmp_path / "new.png").shape == (256, 256, 3)
    assert read_image(tmp_path / "out" / "source-yellow_pose000.jpg").shape == (*SIZE, 3)
    assert len(list((tmp_path / "steps").iterdir())) > 5
