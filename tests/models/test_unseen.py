"""The networks of Unseen Poses, and the geometry between them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks are torch modules; pip install posert[train]")

from posert import ops  # noqa: E402
from posert.errors import InputError  # noqa: E402
from posert.models.holes import fill_hole, grow_hole, pull_push  # noqa: E402
from posert.models.unseen import (  # noqa: E402
    Discriminator,
    SourceSegmentation,
    UNetBaseline,
    Unseen,
    UnseenConfig,
    upsample,
    upsample_in_training,
    warp,
)

SMALL = {"height": 64, "width": 96, "channels": 4}


def batch(count: int = 2, height: int = 64, width: int = 96) -> list[torch.Tensor]:
    """Random inputs of `Unseen.forward`."""
    rng = np.random.default_rng()
    joints = np.concatenate([rng.uniform(8, 56, (2, count, 14, 2)), np.ones((2, count, 14, 1))], -1).astype(np.float32)
    pose = [torch.from_numpy(ops.rasterize_gaussians(p, (height // 2, width // 2), 1.0, stride=2, offset=0.0)) for p in joints]
    priors, transforms = ops.limb_priors(joints[0], (height, width)), ops.part_transforms(joints[1], joints[0])
    source = torch.from_numpy(rng.uniform(-1, 1, (count, 3, height, width)).astype(np.float32))
    return [source, pose[0], torch.from_numpy(priors), torch.from_numpy(transforms), pose[1]]


def test_upsampling_is_that_of_the_specs() -> None:
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    wanted = x.numpy()
    for axis in (2, 3):
        n = wanted.shape[axis]
        following = np.take(wanted, [*range(1, n), n - 2], axis)
        wanted = np.stack([wanted, (wanted + following) / 2], axis + 1).reshape(
            *wanted.shape[:axis], 2 * n, *wanted.shape[axis + 1 :]
        )
    np.testing.assert_allclose(upsample(x).numpy(), wanted, atol=1e-12)
    np.testing.assert_allclose(upsample_in_training(x).numpy(), wanted, atol=1e-12)


def test_upsampling_in_training_has_the_same_gradient() -> None:
    x, wanted = torch.randn(2, 3, 6, 4, dtype=torch.float64, requires_grad=True), torch.randn(2, 3, 12, 8, dtype=torch.float64)
    gradients = [torch.autograd.grad((double(x) * wanted).sum(), x)[0] for double in (upsample, upsample_in_training)]
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-12)


def test_warp_is_that_of_the_kernels() -> None:
    rng = np.random.default_rng()
    image, masks = rng.uniform(-1, 1, (2, 3, 33, 47)).astype(np.float32), rng.uniform(0, 1, (2, 10, 33, 47)).astype(np.float32)
    transforms = rng.normal(0, 0.4, (2, 10, 2, 3)) + np.array([[1, 0, 0], [0, 1, 0]])
    transforms[..., 2] *= 20
    transforms = transforms.astype(np.float32)
    wanted = ops.warp_parts(image, masks, transforms, visible_above=0, backend="reference")
    found = warp(*map(torch.from_numpy, (image, masks, transforms))).numpy()
    np.testing.assert_allclose(found, wanted.reshape(2, 30, 33, 47), atol=1e-4)


@pytest.mark.parametrize("residual", [False, True])
def test_the_picture_is_the_composite_and_everything_learns(residual: bool) -> None:
    model = Unseen(UnseenConfig(**SMALL, residual=residual))
    inputs = batch()
    made = model(*inputs)
    assert made.image.shape == (2, 3, 64, 96)
    assert made.parts.shape == (2, 11, 64, 96)
    np.testing.assert_allclose(made.parts.sum(1).detach(), 1, atol=1e-5)
    wanted = made.mask * made.foreground + (1 - made.mask) * made.background
    np.testing.assert_array_equal(made.image.detach(), wanted.detach())
    if not residual:
        assert made.image.abs().max() <= 1
    made.image.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_a_residual_network_of_zeros_shows_the_moved_parts() -> None:
    model = Unseen(UnseenConfig(**SMALL, residual=True))
    for head in (model.background.head, model.foreground.head):
        torch.nn.init.zeros_(head.weight)
    inputs = batch(1)
    made = model(*inputs)
    layers = warp(inputs[0], made.parts[:, 1:], inputs[3][:, 1:]).reshape(1, 10, 3, 64, 96)
    np.testing.assert_allclose(made.foreground.detach(), layers.sum(1).detach(), atol=1e-6)
    np.testing.assert_allclose(made.background.detach(), (inputs[0] * made.parts[:, :1]).detach(), atol=1e-6)


def test_baseline_and_discriminator() -> None:
    config = UnseenConfig(**SMALL)
    source, pose, _, _, target = batch()
    assert UNetBaseline(config)(source, pose, target).shape == source.shape
    assert Discriminator(config, 4)(source, pose, target).shape == (2, 1)


def test_a_wider_background_network() -> None:
    plain, wide = (Unseen(UnseenConfig(**SMALL, background_channels=channels)) for channels in (None, 8))
    assert wide.background.unet.outputs == 2 * plain.background.unet.outputs
    assert sum(p.numel() for p in wide.foreground.parameters()) == sum(p.numel() for p in plain.foreground.parameters())
    assert SourceSegmentation(plain.config)(*batch()[:2]).shape == (2, 11, 64, 96)


@pytest.mark.parametrize("size", [(64, 96), (33, 47), (2, 5), (1, 1)])
def test_pull_push_fills_holes_from_around(size: tuple[int, int]) -> None:
    rng = np.random.default_rng()
    image = torch.from_numpy(rng.uniform(-1, 1, (2, 3, *size)))
    whole = torch.ones(2, 1, *size, dtype=torch.float64)
    assert torch.equal(pull_push(image, whole), image)
    hole = torch.from_numpy((rng.random((2, 1, *size)) < 0.3) + 0.0)
    hole[:, :, 0, 0] = 1
    filled = pull_push(image * hole, hole)
    np.testing.assert_allclose(torch.where(hole > 0, filled, 0), image * hole, atol=1e-9)
    assert (filled <= (image * hole).amax((2, 3), keepdim=True) + 1e-4).all()
    np.testing.assert_allclose(pull_push(0.7 * hole, hole), 0.7, atol=1e-3)  # a mean of one colour is that colour
    assert torch.equal(pull_push(0 * image, 0 * hole), torch.zeros_like(image))  # nothing is known, and nothing breaks


def test_pull_push_takes_the_nearer_colour() -> None:
    columns = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    known = torch.ones(1, 1, 64, 64)
    known[..., 8:56, 16:48] = 0
    filled = pull_push(columns * known, known)
    assert filled[0, 0, 32, 20] < -0.2
    assert filled[0, 0, 32, 43] > 0.2
    assert abs(filled[0, 0, 32, 31:33].mean()) < 0.05


def test_what_is_left_of_the_person_does_not_fill_the_hole() -> None:
    picture, share = torch.full((1, 3, 64, 64), 0.5), torch.ones(1, 1, 64, 64)
    picture[..., 16:48, 16:48] = -1  # somebody, of whom the mask leaves a tenth, and at the rim seven tenths
    share[..., 16:48, 16:48] = 0.7
    share[..., 18:46, 18:46] = 0.1
    filled = fill_hole(picture * share, share)
    np.testing.assert_allclose(filled[..., 18:46, 18:46], 0.1 * -1 + 0.9 * 0.5, atol=1e-3)
    np.testing.assert_allclose(filled[..., :16, :], 0.5, atol=1e-6)


def test_a_background_network_of_zeros_shows_the_filled_hole() -> None:
    model = Unseen(UnseenConfig(**SMALL, residual=True, pull_push=True))
    torch.nn.init.zeros_(model.background.head.weight)
    torch.nn.init.zeros_(model.background.head.bias)
    masked = torch.rand(2, 4, 64, 96)
    assert torch.equal(model.background(masked, torch.rand(2, 14, 32, 48)), fill_hole(masked[:, :3], masked[:, 3:]))
    with pytest.raises(InputError, match="residual"):
        UnseenConfig(**SMALL, pull_push=True)


def test_a_grown_hole_takes_the_rim() -> None:
    picture, share = torch.rand(1, 3, 9, 12), torch.ones(1, 1, 9, 12)
    share[..., 4, 5], share[..., 4, 6] = 0.25, 0
    grown = grow_hole(torch.cat([picture * share, share], 1), 1)
    wanted = torch.ones(9, 12)
    wanted[3:6, 4:8] = 0.25
    wanted[3:6, 5:8] = 0  # the lowest share within a pixel
    np.testing.assert_allclose(grown[0, 3], wanted)
    np.testing.assert_allclose(grown[0, :3], (picture[0] * wanted).where(share[0] > 0, 0), atol=1e-6)


def test_a_background_network_changes_nothing_far_from_the_hole() -> None:
    """Exactly nothing, and within the margin something."""
    model = Unseen(UnseenConfig(**SMALL, residual=True, pull_push=True, repair_margin=5))
    picture, share = torch.rand(1, 3, 64, 96), torch.ones(1, 1, 64, 96)
    share[..., 20:30, 40:60] = 0.1
    made = model.background(torch.cat([picture * share, share], 1), torch.rand(1, 14, 32, 48))
    near = torch.zeros(64, 96, dtype=torch.bool)
    near[15:35, 35:65] = True
    assert torch.equal(made[..., ~near], picture[..., ~near])
    beside = near & (share[0, 0] == 1)
    assert (made - picture)[..., beside].abs().mean() > 1e-3


def test_what_is_unsure_is_decided_outside_of_training() -> None:
    torch.manual_seed(0)
    plain = Unseen(UnseenConfig(**SMALL, residual=True))
    sure = Unseen(UnseenConfig(**SMALL, residual=True, mask_gain=5.0, part_power=3))
    sure.load_state_dict(plain.state_dict())
    inputs = batch()
    with torch.no_grad():
        for before, after in zip(plain(*inputs), sure(*inputs), strict=True):
            assert torch.equal(before, after), "trained alike"
        before, after = plain.eval()(*inputs), sure.eval()(*inputs)
        cubes = before.parts**3
        np.testing.assert_allclose(after.parts, cubes / cubes.sum(1, keepdim=True), atol=1e-5)
        sure.config = plain.config  # the same parts, so the same layers
        np.testing.assert_allclose(sure(*inputs).mask, torch.sigmoid(5 * before.mask.logit()), atol=1e-4)


@pytest.mark.parametrize(
    "sizes",
    [
        *({"height": 100}, {"width": 32}, {"channels": 3}, {"channels": 0}, {"background_channels": 5}),
        *({"mask_gain": 0.0}, {"part_power": 0}, {"repair_margin": 8}, {"hole_growth": 1}),
        {"repair_margin": -1, "residual": True, "pull_push": True},
    ],
    ids=str,
)
def test_impossible_sizes(sizes: dict) -> None:
    with pytest.raises(InputError, match=next(iter(sizes))):
        UnseenConfig(**sizes)
