"""The loaders read the published layouts, on tiny sets written in those layouts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

scipy_io = pytest.importorskip("scipy.io", reason="loaders need SciPy; pip install posert[train]")

from posert.errors import InputError  # noqa: E402
from posert.skeleton import SKELETONS  # noqa: E402
from training.augment import Augmentation, view  # noqa: E402
from training.data import lsp, market1501  # noqa: E402
from training.views import ViewSampler  # noqa: E402

LSP = SKELETONS["lsp14"].joints
CPM = SKELETONS["cpm14"].joints
FACES = SKELETONS["lsp19"].joints


def write_lsp(root: Path, joints: np.ndarray, digits: int) -> Path:
    (root / "images").mkdir(parents=True)
    scipy_io.savemat(root / "joints.mat", {"joints": joints})
    for number in range(1, joints.shape[2] + 1):
        cv2.imwrite(str(root / "images" / f"im{number:0{digits}}.jpg"), np.full((40, 30, 3), number, np.uint8))
    return root


def test_lsp(tmp_path: Path) -> None:
    joints = np.random.default_rng().uniform(1, 30, (3, 14, 4))
    joints[2] = np.arange(4) == 1
    data = lsp.load_lsp(write_lsp(tmp_path / "lsp", joints, 4))
    assert len(data) == 4
    assert data.image(2).shape == (40, 30, 3)
    np.testing.assert_allclose(
        data.keypoints[1, CPM.index("left_knee"), :2], joints[:2, LSP.index("left_knee"), 1] - 1, atol=1e-4
    )
    assert (data.keypoints[:, :14, 2] == 1).all()
    assert (data.keypoints[:, 14:, 2] == 0).all()  # the face has no labels
    assert data.occluded[:, :14].tolist() == [[0.0] * 14, [1.0] * 14, [0.0] * 14, [0.0] * 14]
    assert np.isnan(data.occluded[:, 14:]).all()
    box = data.boxes()[3]
    np.testing.assert_allclose(box, [*(joints[:2, :, 3].min(1) - 1), *joints[:2, :, 3].max(1)], atol=1e-4)


def test_lspet_ignores_what_is_not_visible_and_takes_the_networks_labels(tmp_path: Path) -> None:
    joints = np.random.default_rng().uniform(1, 30, (14, 3, 2))
    joints[:, 2] = 1
    joints[LSP.index("head_top"), 2, 0] = 0
    root = write_lsp(tmp_path / "lspet", joints, 5)
    crowd = lsp.load_lspet(root)
    assert np.isnan(crowd.keypoints[0, CPM.index("head_top"), :2]).all()
    assert (crowd.keypoints[1, :14, 2] == 1).all()
    found = np.zeros((2, 17, 3), np.float16)
    found[0, SKELETONS["coco17"].joints.index("right_wrist")] = (7, 9, 0.9)
    found[0, SKELETONS["coco17"].joints.index("left_wrist")] = (3, 4, 0.3)
    found[1, SKELETONS["coco17"].joints.index("left_ear")] = (5, 6, 0.6)
    np.savez(root / lsp.NETWORK_LABELS, keypoints=found)
    mixed = lsp.load_lspet(root)
    assert mixed.keypoints[0, CPM.index("right_wrist")].tolist() == [7, 9, 1]
    unchanged = [k for k in range(14) if CPM[k] != "right_wrist"]
    np.testing.assert_array_equal(mixed.keypoints[0, unchanged], crowd.keypoints[0, unchanged])
    assert mixed.keypoints[1, FACES.index("left_ear")].tolist() == [5, 6, 1]
    assert mixed.keypoints[1, 14:, 2].sum() == 1
    assert mixed.absent.sum() == 9, "the other joints of the faces"
    assert mixed.person(1).known[14:].all()
    assert not crowd.person(1).known[14:].any()
    assert np.isnan(mixed.occluded).all()
    settled = np.full((2, 14, 3), (3, 4, 1), np.float32)
    np.save(root / "settled.npy", settled)
    labelled = lsp.load_lspet(root, labels=root / "settled.npy")
    np.testing.assert_array_equal(labelled.keypoints[:, :14], settled)
    np.testing.assert_array_equal(labelled.keypoints[:, 14:], mixed.keypoints[:, 14:])
    for damaged in (settled[:1], settled.astype(np.float64)):
        np.save(root / "damaged.npy", damaged)
        with pytest.raises(InputError, match="expected float32 of shape"):
            lsp.load_lspet(root, labels=root / "damaged.npy")
    (root / "damaged.npy").write_bytes(b"no array")
    with pytest.raises(InputError, match="cannot be read as labels"):
        lsp.load_lspet(root, labels=root / "damaged.npy")


def test_lsp_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"joints\.mat"):
        lsp.load_lsp(tmp_path)
    root = write_lsp(tmp_path / "lsp", np.ones((3, 14, 2)), 4)
    with pytest.raises(InputError, match="shape"):
        lsp.load_lspet(root)
    (root / "images" / "im0002.jpg").unlink()
    with pytest.raises(InputError, match=r"im0002\.jpg"):
        lsp.load_lsp(root)


def write_market(root: Path, size: tuple[int, int] = (128, 64)) -> Path:
    folder = root / "bounding_box_train"
    folder.mkdir(parents=True)
    lines = ["name:keypoints_y:keypoints_x"]
    for identity in (2, 7, 9):
        for number in range(3):
            name = f"{identity:04}_c{number + 1}s1_00045{number}_03.jpg"
            cv2.imwrite(str(folder / name), np.full((*size, 3), (255, 0, 0), np.uint8))  # blue, as OpenCV writes it
            y, x = list(range(10, 28)), list(range(30, 48))
            x[13] = y[13] = -1
            lines.append(f"{name}: {y}: {x}")
    (root / "market-annotation-train.csv").write_text("\n".join(lines) + "\n")
    return root


def test_market(tmp_path: Path) -> None:
    data = market1501.load(write_market(tmp_path))
    assert data.images.shape == (9, 128, 64, 3)
    assert data.images[0, 5, 5, 2] > 200 > 50 > data.images[0, 5, 5, 0]  # RGB
    assert data.keypoints[4, 2].tolist() == [32, 12, 1]
    assert np.isnan(data.keypoints[4, 13, :2]).all()
    training, validation = data.split(validation_identities=1)
    assert set(training.identities) == {2, 7}
    assert set(validation.identities) == {9}
    pairs = data.pairs(200, seed=0)
    assert (data.identities[pairs[:, 0]] == data.identities[pairs[:, 1]]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert len(np.unique(pairs, axis=0)) == 18  # all ordered pairs of three identities of three pictures
    np.testing.assert_array_equal(pairs, data.pairs(200, seed=0))


def test_market_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bounding_box_train"):
        market1501.load(tmp_path)
    with pytest.raises(InputError, match="128 x 64"):
        market1501.load(write_market(tmp_path / "small", (64, 64)))
    root = write_market(tmp_path / "cut")
    path = root / "market-annotation-train.csv"
    path.write_text(path.read_text()[:-9])
    with pytest.raises(InputError, match="line 10"):
        market1501.load(root)


def test_views_move_keypoints_with_the_picture() -> None:
    """Dots of one colour a joint are found again at the joint's place in the view; a mirrored view swaps left and right."""
    rng = np.random.default_rng(3)
    flip = [1, 0, 2]
    plain = Augmentation(occlusion=0, colour=0)
    followed, mirrored = 0, 0
    for _ in range(40):
        places = np.array([[45, 50], [75, 55], [60, 80]]) + rng.uniform(-5, 5, (3, 2))
        image = np.zeros((120, 120, 3), np.uint8)
        for joint, (x, y) in enumerate(places):
            cv2.circle(image, (round(x), round(y)), 3, tuple(255 * (np.arange(3) == joint).astype(float)), -1)
        keypoints = np.concatenate([places, np.ones((3, 1))], 1).astype(np.float32)
        picture, moved = view(image, keypoints, np.array([35, 35, 85, 95], np.float32), (96, 64), flip, plain, rng)
        dots = [np.argwhere((picture[..., joint] > 200) & (picture.min(-1) < 50)) for joint in range(3)]
        if min(map(len, dots)) < 5:
            continue  # a dot left the view
        seen = np.array([dot.mean(0)[::-1] for dot in dots])
        ways = {
            name: np.linalg.norm(moved[order, :2] - seen, axis=1).max()
            for name, order in (("as is", [0, 1, 2]), ("mirrored", flip))
        }
        assert min(ways.values()) < 2
        # In a mirrored picture the dot that was the left joint's is now where the right joint is expected.
        handedness = np.linalg.det(np.stack([seen[1] - seen[0], seen[2] - seen[0]]))
        assert (ways["mirrored"] < 2) == (handedness < 0)
        followed, mirrored = followed + 1, mirrored + (handedness < 0)
    assert followed > 15
    assert 3 < mirrored < followed - 3


def test_views_carry_what_is_known_of_each_joint(tmp_path: Path) -> None:
    """Mirrored views mirror the labels' flags too, and a batch depends on its number alone."""
    joints = np.random.default_rng(1).uniform(1, 30, (3, 14, 3))
    joints[2] = 0
    joints[2, LSP.index("left_wrist")] = 1  # hidden
    data = lsp.load_lsp(write_lsp(tmp_path / "lsp", joints, 4))
    sampler = ViewSampler([(data, 1.0)], (64, 48), seed=3)
    sides = set()
    for number in range(8):
        views, again = sampler.batch(number, 4), sampler.batch(number, 4)
        assert views.images.shape == (4, 64, 48, 3)
        np.testing.assert_array_equal(views.keypoints, again.keypoints)
        assert (views.known[:, :14]).all()
        assert not views.known[:, 14:].any()
        assert (views.occluded[:, :14].sum(1) == 1).all()
        assert np.isnan(views.occluded[:, 14:]).all()
        sides |= {CPM[joint] for joint in np.nonzero(views.occluded[:, :14])[1]}
    assert sides == {"left_wrist", "right_wrist"}
