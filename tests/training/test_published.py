"""Market-1501 and DeepFashion are read in the layouts that they, and PATN's lists, are published in."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")

from posert.errors import InputError
from training.data import deepfashion, market1501
from training.data.identities import PersonPictures
from training.data.published import open_people

NAMES = [
    *("fashionMENTees_Tanksid0000148301_2side.jpg", "fashionMENTees_Tanksid0000148301_4full.jpg"),
    *("fashionWOMENDressesid0000271801_1front.jpg", "fashionWOMENDressesid0000271801_7additional.jpg"),
    "fashionWOMENDressesid0000271802_1front.jpg",  # the same dress in another colour, on another day
]
FILES = [
    *("MEN/Tees_Tanks/id_00001483/01_2_side.jpg", "MEN/Tees_Tanks/id_00001483/01_4_full.jpg"),
    *("WOMEN/Dresses/id_00002718/01_1_front.jpg", "WOMEN/Dresses/id_00002718/01_7_additional.jpg"),
    "WOMEN/Dresses/id_00002718/02_1_front.jpg",
]


def annotate(path: Path, names: list[str], missing: int = 13) -> None:
    y, x = list(range(100, 118)), list(range(60, 78))
    y[missing] = x[missing] = -1
    path.write_text("\n".join(["name:keypoints_y:keypoints_x", *(f"{name}: {y}: {x}" for name in names)]) + "\n")


def picture(width: int, number: int) -> np.ndarray:
    """Red on its left half, green on its right, each with its number in blue."""
    image = np.zeros((256, width, 3), np.uint8)
    image[:, : width // 2, 2], image[:, width // 2 :, 1], image[..., 0] = 200, 200, 40 * number
    return image


def write_patn(root: Path, width: int = 176) -> Path:
    (root / "train").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        cv2.imwrite(str(root / "train" / name), picture(width, number))
    cv2.imwrite(str(root / "train" / "fashionMENDenimid0000056501_1front.jpg"), picture(width, 0))  # without keypoints
    annotate(root / "fasion-resize-annotation-train.csv", [*NAMES, "fashionMENPantsid0000002906_3back.jpg"])
    return root


def write_in_shop(root: Path) -> Path:
    for number, file in enumerate(FILES):
        (root / "img" / file).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "img" / file), picture(256, number))
    annotate(root / "fasion-resize-annotation-train.csv", NAMES)
    return root


def check(data: PersonPictures, margin: int) -> None:
    assert data.names == NAMES
    assert data.size == (256, 256)
    assert data.identities.tolist() == [0, 0, 1, 1, 2]
    assert data.shown == slice(margin, 256 - margin)
    images = data.pictures(np.array([4, 0]))
    assert images.shape == (2, 256, 256, 3)
    assert (images[0, 10, [5, 100], 0] > 150).all()  # RGB
    assert (images[0, 10, [150, 250], 1] > 150).all()
    assert abs(int(images[0, 10, 10, 2]) - 160) < 30
    assert images[1, 10, 10, 2] < 30


def test_deepfashion_as_patn_cuts_it(tmp_path: Path) -> None:
    """Pictures of 176 columns lie in the middle of 256, and so do the keypoints."""
    data = open_people(write_patn(tmp_path))
    check(data, 40)
    assert data.keypoints[3, 2].tolist() == [62 + 40, 102, 1]
    assert np.isnan(data.keypoints[3, 13, :2]).all()


def test_deepfashion_as_patn_has_it_whole(tmp_path: Path) -> None:
    data = open_people(write_patn(tmp_path, 256))
    check(data, 0)
    assert data.keypoints[3, 2].tolist() == [62, 102, 1]


def test_deepfashion_as_published(tmp_path: Path) -> None:
    """The data set's own folders are found under PATN's names; PATN's keypoints are of what it cuts out."""
    data = open_people(write_in_shop(tmp_path))
    check(data, 0)
    assert data.keypoints[3, 2].tolist() == [62 + 40, 102, 1]
    assert [deepfashion.patn_name(Path("img") / file) for file in FILES] == NAMES


def test_identities_are_split_and_paired(tmp_path: Path) -> None:
    data = open_people(write_patn(tmp_path))
    training, validation = data.split(2)
    assert (training.names, validation.names) == (NAMES[:2], NAMES[2:])
    assert {tuple(pair) for pair in validation.pairs(20, seed=0)} == {(0, 1), (1, 0)}
    whole, nobody = data.split(0)
    assert (len(whole), len(nobody)) == (5, 0)
    everybody = data.split(99)
    assert [len(part) for part in everybody] == [0, 5]


def test_lists_of_pairs(tmp_path: Path) -> None:
    data = open_people(write_patn(tmp_path / "data"))
    path = tmp_path / "fasion-resize-pairs-train.csv"
    path.write_text(f"from,to\n{NAMES[3]},{NAMES[2]}\n{NAMES[0]},{NAMES[1]}\n\n")
    pairs = data.read_pairs(path)
    assert pairs.tolist() == [[3, 2], [0, 1]]
    data.write_pairs(tmp_path / "again.csv", pairs)
    assert data.read_pairs(tmp_path / "again.csv").tolist() == pairs.tolist()
    for text, message in (
        ("", "from,to"),
        ("to,from\n", "to,from"),
        (f"from,to\n{NAMES[0]}\n", "line 2: expected two"),
        (f"from,to\n{NAMES[0]},{NAMES[1]}\n{NAMES[0]},x.jpg\n", r"line 3: 'x\.jpg' is not among the 5"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            data.read_pairs(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="UTF-8"):
        data.read_pairs(path)


def test_market_has_two_parts(tmp_path: Path) -> None:
    """Names that begin with -1 or 0000 are nobody's."""
    names = ["0002_c1s1_000451_03.jpg", "0007_c3s3_077419_03.jpg"]
    (tmp_path / "bounding_box_test").mkdir()
    junk = ["-1_c1s1_000401_03.jpg", "0000_c1s1_000151_01.jpg"]
    for name in (*names, *junk):
        cv2.imwrite(str(tmp_path / "bounding_box_test" / name), np.zeros((128, 64, 3), np.uint8))
    annotate(tmp_path / "market-annotation-test.csv", [*names, *junk])
    data = open_people(tmp_path, "test")
    assert isinstance(data, market1501.Market1501)
    assert data.names == names
    assert data.identities.tolist() == [2, 7]
    with pytest.raises(InputError, match=r"market-annotation-train\.csv"):
        open_people(tmp_path)
    with pytest.raises(InputError, match="'train' or 'test'"):
        open_people(tmp_path, "query")


def test_damage_is_named(tmp_path: Path) -> None:
    root = write_patn(tmp_path / "a")
    cv2.imwrite(str(root / "train" / NAMES[1]), picture(200, 1))
    with pytest.raises(InputError, match="must be 176 x 256 pixels, as the first picture; got 200 x 256"):
        open_people(root).pictures(np.array([0, 1]))
    cv2.imwrite(str(root / "train" / NAMES[0]), picture(200, 1))
    with pytest.raises(InputError, match="176 or 256 x 256"):
        open_people(root)
    other = tmp_path / "b"
    other.mkdir()
    annotate(other / "fashion-resize-annotation-train.csv", NAMES)
    with pytest.raises(InputError, match="folder train"):
        open_people(other)
    (other / "train").mkdir()
    with pytest.raises(InputError, match="holds none of the 5"):
        open_people(other)
    with pytest.raises(InputError, match="not DeepFashion"):
        deepfashion.load(other, "test")
