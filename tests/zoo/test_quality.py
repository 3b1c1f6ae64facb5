"""The zoo's models, through the public pipelines, are as good on real held-out pictures as their cards say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("scipy", reason="reading LSP needs SciPy; pip install posert[train]")
pytest.importorskip("skimage", reason="SSIM needs scikit-image; pip install posert[train]")
torch = pytest.importorskip("torch", reason="LPIPS needs torch; pip install posert[train]")

from posert import Estimator, Transfer, TransferBatch, zoo  # noqa: E402
from posert.evaluation.metrics import pck  # noqa: E402
from training.data import market1501  # noqa: E402
from training.data.lsp import load_lsp  # noqa: E402
from training.data.pairs import VALIDATION_CLIPS, load_clips  # noqa: E402
from training.evaluate_pairs import evaluate  # noqa: E402
from training.lpips import LPIPS  # noqa: E402
from training.metrics import mask_ssim, ssim  # noqa: E402
from training.pair_judge import clip_validation, rendered_validation  # noqa: E402

TORSO = (5, 8)  # left shoulder and right hip in cpm14


EXTRA = Path(__file__).parents[2] / "zoo-extra"
LEAST_PCK = {
    **{"cpm-s": 0.87, "structured-s": 0.865, "adversarial-s": 0.865},
    **{"cpm-m": 0.905, "structured-m": 0.905, "adversarial-m": 0.905},
}
"""PCK@0.2 that each estimator of one person has to reach."""


LEAST_GAIN = {"fashion": (0.55, 0.06), "action": (0.6, 0.03), "clips": (0.98, 0.01)}
"""What share of the unchanged source's LPIPS Unseen Poses may have, and by how much its SSIM has to be above."""


@pytest.mark.parametrize("name", LEAST_PCK)
def test_estimators_on_leeds_sports_pose(name: str, data_root: Path) -> None:
    """PCK@0.2 over 14 joints on images 901 to 1000 with true boxes (specs R-7)."""
    model = name if name in zoo.names() else EXTRA / f"{name}.posert"
    people = load_lsp(data_root / "lsp").part(900, 1000)
    with Estimator(model, skeleton="cpm14") as estimator:
        poses = estimator.run([people.image(i) for i in range(len(people))], boxes=people.boxes())
    joints = pck(poses.keypoints, people.keypoints[:, :14], TORSO)
    assert joints.mean() >= LEAST_PCK[name]
    assert joints.min() >= 0.7


def test_paf_s_finds_whom_cpm_s_looks_at(data_root: Path) -> None:
    """PCK@0.2 over 14 joints on images 901 to 1000 without boxes, of the people that are nearest to the true ones."""
    people = load_lsp(data_root / "lsp").part(900, 1000)
    images, truth = [people.image(i) for i in range(len(people))], people.keypoints[:, :14]
    with Estimator("cpm-s", detector="paf-s") as estimator:
        poses = estimator.run(images)
    found = np.full_like(truth, np.nan)
    for image in range(len(images)):
        candidates = poses.keypoints[poses.image_index == image]
        if len(candidates):
            distances = np.nan_to_num(np.abs(candidates - truth[image])[..., :2], nan=1e3).mean((1, 2))
            found[image] = candidates[distances.argmin()]
    assert pck(found, truth, TORSO).mean() >= 0.79


def test_pg2_s_on_market1501(data_root: Path) -> None:
    """SSIM, mask-SSIM and LPIPS on the 1,000 pairs of the card, of identities that were not trained on."""
    people = market1501.load(data_root / "market1501").split()[1]
    pairs = people.pairs(1000, seed=0)
    source, target, pose = people.images[pairs[:, 0]], people.images[pairs[:, 1]], people.keypoints[pairs[:, 1]]
    with Transfer("pg2-s") as transfer:
        result = transfer.run(TransferBatch(source=source, target=pose))
    lpips = LPIPS(data_root / "weights")
    coarse = (ssim(result.coarse, target), mask_ssim(result.coarse, target, result.mask))
    final = (
        ssim(result.images, target),
        mask_ssim(result.images, target, result.mask),
        lpips.mean_distance(result.images, target),
    )
    assert coarse[0] >= 0.34
    assert coarse[1] >= 0.82
    assert final[0] >= 0.27
    assert final[1] >= 0.81
    assert final[2] <= 0.33  # the aim is 0.28: see the card
    assert final[2] < lpips.mean_distance(source, target)
    assert np.isfinite(final).all()


def test_unseen_s_on_pairs_of_frames(data_root: Path, tmp_path: Path) -> None:
    """SSIM and LPIPS on rendered pairs and frames of clips that were not trained on, beside the source left unchanged."""
    synth = data_root.parent / "synth"
    if not synth.is_dir():
        pytest.skip(f"needs the renderer in {synth}")
    with Transfer("unseen-s") as transfer:
        size = transfer.engine.manifest.preprocess.size
        clips = clip_validation(load_clips(data_root / "davis_people", VALIDATION_CLIPS), size, 16)
        sets = rendered_validation(synth, size, 16) | {"clips": clips}
        scores = evaluate(transfer, sets, LPIPS(data_root / "weights"), tmp_path)
    for name, found in scores.items():
        assert found["lpips"] < LEAST_GAIN[name][0] * found["lpips, source unchanged"]
        assert found["ssim"] > found["ssim, source unchanged"] + LEAST_GAIN[name][1]
