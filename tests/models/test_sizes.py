"""The networks have the sizes of the published ones: parameter counts and shapes of specs R-8."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks are torch modules; pip install posert[train]")

from posert import ops  # noqa: E402
from posert.errors import InputError  # noqa: E402
from posert.models import adversarial, cpm, movenet, normalisation, paf, pg2, structured, unseen  # noqa: E402

CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs"


def parameters(build) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build().parameters())


@pytest.mark.parametrize(
    ("config", "coarse", "refine", "discriminator"),
    [(pg2.MARKET, 70_795_075, 6_058_883, 4_324_737), (pg2.DEEPFASHION, 122_103_235, 12_696_067, 10_896_257)],
    ids=["market", "deepfashion"],
)
def test_pg2_parameters(config, coarse, refine, discriminator) -> None:
    assert parameters(lambda: pg2.CoarseGenerator(config)) == coarse
    assert parameters(lambda: pg2.RefinementGenerator(config)) == refine
    assert parameters(lambda: pg2.Discriminator(config)) == discriminator


def test_unseen_parameters() -> None:
    assert parameters(unseen.SourceSegmentation) == 2_555_723
    assert parameters(unseen.BackgroundSynthesis) == 2_612_739
    assert parameters(unseen.ForegroundSynthesis) == 2_694_852
    assert parameters(unseen.Unseen) == 7_863_314
    assert parameters(unseen.Discriminator) == 6_625_409
    assert parameters(unseen.UNetBaseline) == 8_340_995


@pytest.mark.parametrize(
    ("size", "coordinates", "heatmap_encoder"),
    [((128, 64), 71_044_163, 94_492_163), ((256, 256), 122_614_467, 162_940_291)],
    ids=["market", "deepfashion"],
)
def test_pg2_embeddings(size, coordinates, heatmap_encoder) -> None:
    for embedding, count in (("coordinates", coordinates), ("heatmap_encoder", heatmap_encoder)):
        config = pg2.PG2Config(height=size[0], width=size[1], embedding=embedding)
        assert parameters(lambda config=config: pg2.CoarseGenerator(config)) == count
        with torch.device("meta"):
            assert pg2.CoarseGenerator(config)(torch.empty(2, 21, *size)).shape == (2, 3, *size)


@pytest.mark.parametrize("embedding", ["heatmaps", "coordinates", "heatmap_encoder"])
def test_pg2_sees_the_pose_through_every_embedding(embedding) -> None:
    """Another pose gives another picture; with the planes given as 0 and 1 inside, too; pictures alone make the skips."""
    torch.manual_seed(0)
    pose, other = (-torch.ones(1, 18, 128, 64) for _ in range(2))
    pose[:, 3, 40:49, 20:29] = other[:, 3, 60:69, 30:39] = 1
    source = torch.rand(1, 3, 128, 64) * 2 - 1
    pictures = []
    for pose_range in ("signed", "unit"):
        config = pg2.PG2Config(channels=4, embedding=embedding, pose_range=pose_range, stages=1)
        model = pg2.Generator(config)
        assert "refine" not in dict(model.named_children())
        first, second = (model(torch.cat([source, planes], 1))[0] for planes in (pose, other))
        assert (first - second).abs().max() > 1e-5
        pictures.append(first)
    assert pictures[0].shape == (1, 3, 128, 64)


def test_joint_coordinates_are_read_from_the_planes() -> None:
    """The places that the discs were drawn at, in parts of the frame (specs pg2, 3), and three zeros for a missing joint."""
    keypoints = np.full((1, 18, 3), np.nan, np.float32)
    keypoints[..., 2] = 0
    keypoints[0, 4], keypoints[0, 9] = (15.7, 62.2, 1), (40, 100, 1)
    keypoints[0, 11] = (-30, 20, 1)  # its disc lies outside of the frame
    found = pg2.joint_coordinates(torch.from_numpy(ops.rasterize_discs(keypoints, (128, 64)))).reshape(18, 3).numpy()
    np.testing.assert_allclose(found[4], (2 * 15 / 64 - 1, 2 * 62 / 128 - 1, 1), atol=1e-6)
    np.testing.assert_allclose(found[9], (2 * 40 / 64 - 1, 2 * 100 / 128 - 1, 1), atol=1e-6)
    assert not np.delete(found, (4, 9), 0).any()


@pytest.mark.parametrize(
    ("field", "value"), [("embedding", "keypoints"), ("stages", 3), ("pair_mode", "pairs"), ("pose_range", "both")]
)
def test_pg2_refuses_what_it_does_not_know(field, value) -> None:
    with pytest.raises(InputError, match=field):
        pg2.PG2Config(**{field: value})


@pytest.mark.parametrize(("size", "count"), [((128, 64), 4_329_537), ((256, 256), 10_901_057)])
def test_pair_discriminator_parameters(size, count) -> None:
    assert parameters(lambda: pg2.Discriminator(pg2.PG2Config(height=size[0], width=size[1], pair_mode="pair6"))) == count


@pytest.mark.parametrize(
    ("config", "count", "maps"),
    [(cpm.PAPER, 31_219_866, (6, 15)), (cpm.VGG, 29_852_058, (6, 15)), (cpm.FLIC, 21_323_816, (4, 10))],
    ids=["paper", "vgg", "flic"],
)
def test_cpm_parameters_and_maps(config, count, maps) -> None:
    assert parameters(lambda: cpm.CPM(config)) == count
    with torch.device("meta"):
        beliefs = cpm.CPM(config)(torch.empty(2, 3, 368, 368), torch.empty(2, 1, 368, 368))
    assert [tuple(b.shape) for b in beliefs] == [(2, maps[1], 46, 46)] * maps[0]


@pytest.mark.parametrize(
    ("config", "count", "maps"), [(paf.COCO, 52_311_446, (38, 19)), (paf.MPI, 51_481_032, (28, 16))], ids=["coco", "mpi"]
)
def test_paf_parameters_and_maps(config, count, maps) -> None:
    assert parameters(lambda: paf.PAF(config)) == count
    with torch.device("meta"):
        stages = paf.PAF(config)(torch.empty(2, 3, 368, 656))
    assert [tuple(map(tuple, (a.shape, b.shape))) for a, b in stages] == [((2, maps[0], 46, 82), (2, maps[1], 46, 82))] * 6


def test_paf_branches_do_not_mix_within_a_stage() -> None:
    """The two groups of a stage are the two branches: neither's weights change the other's maps."""
    torch.manual_seed(0)
    model = paf.PAF(paf.PAFConfig("movenet-lightning", stages=1, width=4, first_hidden=4, features=4))
    image = torch.randn(1, 3, 64, 96)
    before = model(image)[0]
    with torch.no_grad():
        model.stages[0].body[-2].weight[:4].zero_()  # the first group, that of the fields
    after = model(image)[0]
    assert before[0].shape == (1, 38, 8, 12)
    assert not torch.equal(before[0], after[0])
    assert torch.equal(before[1], after[1])


@pytest.mark.parametrize(
    ("config", "count", "channels"),
    [(structured.LSP26, 87_992_851, 339), (structured.FLIC18, 218_267_219, 19), (structured.LSP14, 65_488_591, 15)],
    ids=["lsp26", "flic18", "lsp14"],
)
def test_structured_features(config, count, channels) -> None:
    """The first two counts are the specification's; that of lsp14 follows from the same layers."""
    assert parameters(lambda: structured.Structured(config)) == count
    with torch.device("meta"):
        assert structured.Structured(config)(torch.empty(2, 3, 336, 336)).shape == (2, channels, 42, 42)


@pytest.mark.parametrize(("stacks", "millions"), [(1, 6.20), (2, 12.19), (4, 24.17152), (8, 48.13)])
def test_adversarial_posenet(stacks, millions) -> None:
    config = adversarial.AdversarialConfig(stacks=stacks)
    assert parameters(lambda: adversarial.Generator(config)) / 1e6 == pytest.approx(millions, abs=0.005)
    if stacks == 4:
        assert parameters(lambda: adversarial.Generator(config)) == 24_171_520
    with torch.device("meta"):
        maps = adversarial.Generator(config)(torch.empty(2, 3, 256, 256))
    assert [tuple(m.shape) for m in maps] == [(2, 32, 64, 64)] * stacks


@pytest.mark.parametrize(("stacks", "millions"), [(2, 6.58), (4, 12.89), (8, 25.50)])
def test_light_adversarial_posenet(stacks, millions) -> None:
    config = adversarial.AdversarialConfig(stacks=stacks, separate=False)
    assert parameters(lambda: adversarial.Generator(config)) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(("image", "count"), [(True, 955_664), (False, 955_280)], ids=["pose", "confidence"])
def test_discriminators_of_adversarial_posenet(image, count) -> None:
    assert parameters(lambda: adversarial.Discriminator(image=image)) == count
    with torch.device("meta"):
        discriminator = adversarial.Discriminator(image=image)
        assert discriminator(torch.empty(2, 32, 64, 64), torch.empty(2, 3, 256, 256)).shape == (2, 16)


@pytest.mark.parametrize("name", ["structured-s", "adversarial-s"])
def test_small_estimators_fit_into_eight_megabytes(name) -> None:
    settings = tomllib.loads((CONFIGS / f"{name}.toml").read_text())
    rows, columns = settings["size"]
    if name == "structured-s":
        model = structured.Structured(structured.StructuredConfig(**settings["model"])).eval()
        maps = model(torch.zeros(1, 3, rows, columns))
    else:
        model = adversarial.Generator(adversarial.AdversarialConfig(**settings["model"])).eval()
        maps = adversarial.PoseAndOcclusion(model)(torch.zeros(1, 3, rows, columns))[0]
    assert maps.shape == (1, 20 if name == "structured-s" else 19, rows // 8, columns // 8)
    assert sum(p.numel() for p in model.parameters()) * 2 < 8e6


def test_no_message_reaches_another_part_without_the_tree() -> None:
    """With message passing every part hears of every other; without, each has its own features alone."""
    sizes = {"tree": "cpm14", "backbone": "movenet-lightning", "mixtures": 1, "width": 8, "features": 8, "part_channels": 4}
    for passing in (True, False):
        torch.manual_seed(0)
        config = structured.StructuredConfig(**sizes, transform_hidden=(4,), normalise=False, message_passing=passing)
        model = structured.Structured(config).eval()
        model.own.bias.data.fill_(1.0)  # so that no part is silent
        image = torch.randn(1, 3, 64, 64)
        before = model(image)
        model.own.weight.data[-4:] = 0  # what the last part, the left ankle, sends down; it is a leaf, so nobody listens
        after = model(image)
        assert (before != after).any(dim=(0, 2, 3)).nonzero().flatten().tolist() == [13]
        before = after
        model.own.weight.data[:4] += 1  # the head's own, on the way up: the root, to whom all others have spoken
        after = model(image)
        assert (before != after).any(dim=(0, 2, 3)).nonzero().flatten().tolist() == [0]
        before = after
        model.own.weight.data[14 * 4 : 15 * 4] += 1  # and on the way down, where all others listen
        after = model(image)
        assert (before != after).any(dim=(0, 2, 3)).nonzero().flatten().tolist() == (list(range(14)) if passing else [0])


def test_frozen_batch_norm_computes_the_same() -> None:
    torch.manual_seed(0)
    config = adversarial.AdversarialConfig("movenet-lightning", joints=3, stacks=1, width=8, depth=1, adapt_width=8)
    model = adversarial.Generator(config)
    model(torch.randn(4, 3, 64, 64))  # in training mode: statistics
    before = model.eval()(torch.ones(1, 3, 64, 64))[0]
    normalisation.freeze_batch_norm(model)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    torch.testing.assert_close(model(torch.ones(1, 3, 64, 64))[0], before, rtol=1e-4, atol=1e-4)
    with pytest.raises(TypeError, match="running statistics"):
        normalisation.freeze_batch_norm(torch.nn.Sequential(torch.nn.BatchNorm2d(2, track_running_stats=False)))


@pytest.mark.parametrize(("variant", "count"), [("lightning", 2_299_168), ("thunder", 6_207_240)])
def test_movenet_trunk(variant, count) -> None:
    assert parameters(lambda: movenet.MoveNetTrunk(variant)) == count
    with torch.device("meta"):
        features = movenet.MoveNetTrunk(variant)(torch.empty(1, 3, 224, 160))
    assert {stride: tuple(f.shape[1:]) for stride, f in features.items()} == {16: (32, 14, 10), 8: (24, 28, 20), 4: (24, 56, 40)}


@pytest.mark.parametrize("size", [(128, 64), (256, 256)])
def test_small_pg2_draws_both_stages(size) -> None:
    config = pg2.PG2Config(height=size[0], width=size[1], channels=4, refinement_channels=4, discriminator_channels=4)
    x = torch.randn(2, 21, *size)
    generator = pg2.Generator(config)
    coarse, image = generator(x)
    assert coarse.shape == image.shape == (2, 3, *size)
    assert torch.equal(image, coarse + generator.refine(coarse, x[:, :3]))
    assert pg2.Discriminator(config)(image).shape == (2,)


@pytest.mark.parametrize("size", [(128, 64), (256, 256)])
def test_folding_the_twin_input_is_exact(size) -> None:
    torch.manual_seed(0)
    refine = pg2.RefinementGenerator(pg2.PG2Config(height=size[0], width=size[1], refinement_channels=6)).double()
    coarse, source = torch.randn(2, 2, 3, *size, dtype=torch.float64)
    before, count = refine(coarse, source), sum(p.numel() for p in refine.parameters())
    refine.fold_twin_input()
    after = refine(coarse, source)
    assert sum(p.numel() for p in refine.parameters()) < count
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)
    refine.fold_twin_input()  # a second time changes nothing
    torch.testing.assert_close(refine(coarse, source), after, rtol=0, atol=0)


def test_stride_two_pads_bottom_and_right_only() -> None:
    down = pg2._Downsample(1, 1)
    torch.nn.init.constant_(down.weight, 1.0)
    corner = torch.zeros(1, 1, 6, 6)
    corner[..., 0, 0] = 1
    assert down(corner).nonzero().tolist() == [[0, 0, 0, 0]]
    corner = torch.zeros(1, 1, 6, 6)
    corner[..., 2, 2] = 1  # read by the window that starts there and by the one that ends there
    assert down(corner)[0, 0].nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_unusable_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="power of two"):
        pg2.PG2Config(height=100)
    with pytest.raises(InputError, match="multiple of 16"):
        pg2.PG2Config(width=40)
    with pytest.raises(InputError, match="discriminator"):
        pg2.PG2Config(height=64, width=8)
    with pytest.raises(InputError, match="odd"):
        cpm.CPMConfig(kernel=4)
    with pytest.raises(InputError, match="at least 1"):
        cpm.CPMConfig(depth=0)
    with pytest.raises(InputError, match="pair_mode"):
        pg2.PG2Config(pair_mode="both")
    with pytest.raises(InputError, match="backbone"):
        cpm.CPMConfig(backbone="resnet")
    with pytest.raises(InputError, match="backbone"):
        paf.PAFConfig("resnet")
    with pytest.raises(InputError, match="odd"):
        paf.PAFConfig(kernel=4)
    with pytest.raises(InputError, match="limbs must be at least 1"):
        paf.PAFConfig(limbs=0)
    with pytest.raises(InputError, match="at least 2 stages"):
        cpm.CPMConfig(stages=1)
    with pytest.raises(InputError, match="center_map"):
        cpm.CPM(cpm.CPMConfig("movenet-lightning", width=8))(torch.zeros(1, 3, 64, 64))
    with pytest.raises(InputError, match="backbone"):
        structured.StructuredConfig(backbone="resnet")
    with pytest.raises(InputError, match="unknown tree"):
        structured.StructuredConfig(tree="oak")
    with pytest.raises(InputError, match="odd"):
        structured.StructuredConfig(transform_kernel=4)
    with pytest.raises(InputError, match="at least 1"):
        structured.StructuredConfig(mixtures=0)
    with pytest.raises(InputError, match="backbone"):
        adversarial.AdversarialConfig(backbone="resnet")
    with pytest.raises(InputError, match="at least 1"):
        adversarial.AdversarialConfig(stacks=0)
    small = adversarial.AdversarialConfig("movenet-lightning", joints=3, stacks=1, width=4, depth=3)
    with pytest.raises(InputError, match="multiples of 64 pixels"):
        adversarial.Generator(small)(torch.zeros(1, 3, 96, 64))
    with pytest.raises(InputError, match="halved"):
        adversarial.Discriminator(small, (12, 8), image=False)
    with pytest.raises(InputError, match="image"):
        adversarial.Discriminator(small, (8, 8), image=True)(torch.zeros(1, 6, 8, 8))
