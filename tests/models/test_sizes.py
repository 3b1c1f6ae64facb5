"""The networks have the sizes of the published ones: parameter counts and shapes of specs R-8."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the networks are torch modules; pip install posert[train]")

from posert.errors import InputError  # noqa: E402
from posert.models import cpm, movenet, paf, pg2  # noqa: E402


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
