"""What networks take, and weights that were trained on other pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")
safetensors = pytest.importorskip("safetensors.torch", reason="training needs safetensors; pip install posert[train]")

from posert.errors import InputError  # noqa: E402
from posert.models.layers import vgg_trunk  # noqa: E402
from training import pixels  # noqa: E402
from training.command import fill  # noqa: E402

CONVENTIONS = ("SIGNED", "CENTRED", "SHIFTED", "UNIT", "CAFFE", "TORCHVISION")


@pytest.mark.parametrize("name", CONVENTIONS)
def test_values(name: str) -> None:
    images = np.random.default_rng().integers(0, 256, (2, 5, 4, 3), np.uint8)
    taken = getattr(pixels, name)
    found = pixels.normalise(images, taken)
    ordered = images[..., ::-1] if taken.bgr else images
    expected = ordered.astype(np.float64) * np.array(taken.scale) + np.array(taken.offset)
    np.testing.assert_allclose(found.numpy(), expected.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-5)


def test_ranges() -> None:
    ends = np.stack([np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)])
    for name, low, high in (("SIGNED", -1, 1), ("CENTRED", -0.5, 255 / 256 - 0.5), ("SHIFTED", -128, 127), ("UNIT", 0, 1)):
        found = pixels.normalise(ends, getattr(pixels, name))
        np.testing.assert_allclose(found[:, :, 0, 0], [[low] * 3, [high] * 3], atol=1e-6)


def write_vgg(path: Path, widths: tuple[int, ...]) -> list[torch.nn.Conv2d]:
    """Weights of a network named as torchvision names VGG's, and its convolutions."""
    trunk = vgg_trunk(widths)
    safetensors.save_file({f"features.{name}": value.half() for name, value in trunk.state_dict().items()}, path)
    trunk.load_state_dict({name: value.half().float() for name, value in trunk.state_dict().items()})
    return [module for module in trunk if isinstance(module, torch.nn.Conv2d)]


@pytest.mark.parametrize("published", ["CAFFE", "TORCHVISION"])
@pytest.mark.parametrize("taken", ["CENTRED", "SHIFTED", "SIGNED"])
def test_weights_for_other_pixels_do_the_same(tmp_path: Path, published: str, taken: str) -> None:
    """Away from the rim the features are those of the published weights, times the ratio of the scales."""
    torch.manual_seed(0)
    convs = write_vgg(tmp_path / "vgg.safetensors", (8, 8, 0, 12))
    source, target = getattr(pixels, published), getattr(pixels, taken)
    trunk = vgg_trunk((8, 8, 0, 12, 16))
    last = trunk[-2].weight.clone()
    pixels.load_vgg(trunk, tmp_path / "vgg.safetensors", source, target)
    images = np.random.default_rng(1).integers(0, 256, (1, 12, 10, 3), np.uint8)
    gain = np.mean(target.scale) / np.mean(source.scale)
    expected = gain * torch.relu(convs[1](torch.relu(convs[0](pixels.normalise(images, source)))))[..., 2:-2, 2:-2]
    found = trunk[:4](pixels.normalise(images, target))[..., 2:-2, 2:-2]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.detach().abs().max()))
    assert torch.equal(trunk[2].weight, convs[1].weight)
    assert torch.equal(trunk[-2].weight, last), "what the file does not have stays"


def test_a_vgg_backbone_is_filled(tmp_path: Path) -> None:
    from posert.models.cpm import CPM, CPMConfig

    model = CPM(CPMConfig("vgg", stages=2, width=4))
    convs = write_vgg(tmp_path / "vgg.safetensors", (64, 64, 0, 128))
    fill(model, {"frozen": 2, "trunk_pixels": "caffe"}, tmp_path / "vgg.safetensors", None, pixels.CENTRED)
    own = [module for module in model.backbone.trunk if isinstance(module, torch.nn.Conv2d)]
    assert torch.equal(own[1].weight, convs[1].weight)
    assert torch.equal(own[2].weight, convs[2].weight)
    assert [conv.weight.requires_grad for conv in own[:3]] == [False, False, True]
    with pytest.raises(InputError, match="trunk_pixels must say"):
        fill(model, {"frozen": 0}, tmp_path / "vgg.safetensors", None, pixels.CENTRED)
    safetensors.save_file({"features.0.weight": torch.zeros(4, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="weights of a VGG network"):
        fill(model, {"frozen": 0, "trunk_pixels": "caffe"}, tmp_path / "other.safetensors", None, pixels.CENTRED)
