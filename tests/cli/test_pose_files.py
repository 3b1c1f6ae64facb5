"""One reader for every kind of file that holds poses; coordinates that are no pixels of the picture are refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest

import posert
from posert.errors import InputError, OutOfFrameError, SwappedAxesError, UnscaledKeypointsError
from posert.formats import read_pose_file
from posert.formats.pose_files import kind_of
from posert.media.images import write_image

# A person who stands, 18 joints in OpenPose's order, in a picture of 64 x 128 pixels.
STANDING = np.array(
    [(32, 20), (32, 32), (24, 32), (20, 46), (18, 58), (40, 32), (44, 46), (46, 58), (27, 62), (26, 84), (25, 108), (37, 62)]
    + [(38, 84), (39, 108), (30, 18), (34, 18), (28, 20), (36, 20)],
    np.float64,
)


def openpose(people, joints=18):
    flat = [np.c_[person, np.full(len(person), 0.9)].ravel().tolist() for person in people]
    return {"people": [{"pose_keypoints_2d": f} for f in flat]}


def coco(person, width=64, height=128):
    names = list(posert.Poses(np.zeros((0, 18, 3))).skeleton.joints)
    keypoints = np.c_[person, np.full(18, 2)].ravel().tolist()
    return {
        "images": [{"id": 5, "file_name": "a.jpg", "width": width, "height": height}],
        "annotations": [{"id": 1, "image_id": 5, "category_id": 1, "keypoints": keypoints}],
        "categories": [{"id": 1, "name": "person", "keypoints": names}],
    }


def patn(people, *, swapped=False):
    lines = ["name:keypoints_y:keypoints_x"]
    for number, person in enumerate(people):
        x, y = ([round(float(v)) for v in person[:, axis]] for axis in (0, 1))
        first, second = (x, y) if swapped else (y, x)
        lines.append(f"{number:04}_c1s1_000001_00.jpg: {first}: {second}")
    return "\n".join(lines) + "\n"


def mpii_listed():
    joints = np.concatenate([STANDING[:16] + 1]).tolist()
    return [{"image": "a.jpg", "joints": joints, "joints_vis": [1] * 15 + [0], "center": [30, 60], "scale": 0.5}]


def save(path, document):
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


FILES = {
    "OpenPose JSON": ("a.json", openpose([STANDING])),
    "COCO JSON": ("a.json", coco(STANDING)),
    "PATN csv": ("a.csv", patn([STANDING])),
}


@pytest.mark.parametrize("kind", FILES)
def test_it_says_which_format_it_saw(tmp_path, kind):
    name, document = FILES[kind]
    file = read_pose_file(save(tmp_path / name, document))
    assert str(file) == f"{kind}, 1 person"
    assert kind_of(file.path) == "pose file"
    np.testing.assert_allclose(file.poses.keypoints[0, :, :2], STANDING)
    assert file.poses.skeleton.name == "coco18"


def test_openpose_with_25_joints(tmp_path):
    person = np.concatenate([STANDING, STANDING[:7]])
    file = read_pose_file(save(tmp_path / "one_keypoints.json", openpose([person])))
    assert file.poses.skeleton.name == "body25"
    assert file.pictures == ("one",)


def test_mpii_counts_from_one_and_knows_missing_joints(tmp_path):
    file = read_pose_file(save(tmp_path / "valid.json", mpii_listed()))
    assert (file.format, file.poses.skeleton.name, file.pictures) == ("MPII JSON", "mpii16", ("a.jpg",))
    np.testing.assert_allclose(file.poses.keypoints[0, :15, :2], STANDING[:15])
    assert np.isnan(file.poses.keypoints[0, 15, :2]).all()


def test_mpii_in_matlab(tmp_path):
    io = pytest.importorskip("scipy.io", reason="needs SciPy: pip install posert[eval]")
    points = [{"x": float(x) + 1, "y": float(y) + 1, "id": k} for k, (x, y) in enumerate(STANDING[:16])]
    release = {"annolist": [{"image": {"name": "b.jpg"}, "annorect": [{"annopoints": {"point": points}}]}]}
    io.savemat(tmp_path / "mpii.mat", {"RELEASE": release})
    file = read_pose_file(tmp_path / "mpii.mat")
    assert (file.format, file.pictures) == ("MPII .mat", ("b.jpg",))
    np.testing.assert_allclose(file.poses.keypoints[0, :, :2], STANDING[:16])


def test_the_best_person_of_each_picture(tmp_path):
    document = openpose([STANDING, STANDING + 5])
    document["people"][1]["pose_keypoints_2d"][2::3] = [0.95] * 18
    assert read_pose_file(save(tmp_path / "a.json", document)).best_people() == [1]
    assert read_pose_file(save(tmp_path / "a.csv", patn([STANDING, STANDING, STANDING]))).best_people() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["openpose", "coco", "patn"])
def test_shares_of_the_sides_are_refused(tmp_path, kind):
    shares = STANDING / (64, 128)
    made = {"openpose": ("a.json", openpose([shares])), "coco": ("a.json", coco(shares))}
    lines = "name:y:x\na.jpg: " + json.dumps(shares[:, 1].tolist()) + ": " + json.dumps(shares[:, 0].tolist())
    name, document = made.get(kind, ("a.csv", lines))
    with pytest.raises(UnscaledKeypointsError, match=r"18 joints is 0\.844; pixels are needed, so multiply x by"):
        read_pose_file(save(tmp_path / name, document))


def test_swapped_axes_where_the_size_is_known(tmp_path):
    with pytest.raises(SwappedAxesError, match=r"'a.jpg': x and y are exchanged: .* of 64 x 128 pixels"):
        read_pose_file(save(tmp_path / "a.json", coco(STANDING[:, ::-1])))
    path = save(tmp_path / "a.json", openpose([STANDING[:, ::-1]]))
    assert len(read_pose_file(path).poses) == 1  # somebody may lie
    write_image(tmp_path / "a.png", np.zeros((128, 64, 3), np.uint8))
    with pytest.raises(SwappedAxesError):
        read_pose_file(path)
    assert len(read_pose_file(path, check=False).poses) == 1


def test_swapped_axes_where_everybody_would_lie(tmp_path):
    with pytest.raises(SwappedAxesError, match=r"3 of 3 people lie .* y before x: 'name: \[y"):
        read_pose_file(save(tmp_path / "a.csv", patn([STANDING] * 3, swapped=True)))
    assert len(read_pose_file(save(tmp_path / "b.csv", patn([STANDING] * 3))).poses) == 3
    assert len(read_pose_file(save(tmp_path / "c.csv", patn([STANDING] * 2, swapped=True))).poses) == 2
    left = [(100, 0) - person for person in [STANDING[:, ::-1] * (1, -1)] * 3]  # real people who lie, heads to the right
    assert len(read_pose_file(save(tmp_path / "d.csv", patn(left))).poses) == 3


def test_joints_outside_of_the_frame(tmp_path):
    with pytest.raises(OutOfFrameError, match=r"18 of 18 joints lie outside of the picture of 64 x 128 pixels"):
        read_pose_file(save(tmp_path / "a.json", coco(STANDING + 500)))
    with pytest.raises(OutOfFrameError, match="left of it or above"):
        read_pose_file(save(tmp_path / "a.json", openpose([STANDING - 300])))
    cut_off = STANDING - (0, 40)  # head and shoulders beyond the upper edge
    assert len(read_pose_file(save(tmp_path / "a.json", coco(cut_off))).poses) == 1


def test_huge_coordinates_are_outside(tmp_path):
    with pytest.raises(OutOfFrameError):
        read_pose_file(save(tmp_path / "a.json", coco(STANDING + 1e37)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", '{"shapes": []}', "holds no poses: it is none of OpenPose JSON"),
        ("a.json", "[]", r"\(COCO JSON\) holds no person"),
        ("a.csv", "name:y:x\n", r"\(PATN csv\) holds no person"),
        ("a.csv", "name:y:x\na.jpg: [1]: [2]", "line 2: expected 18 keypoints"),
        ("a.csv", "name:y:x\na.jpg: " + "[" * 100000, "line 2: expected"),
        ("a.mat", "no matlab", "MATLAB file"),
        ("a.txt", "?", "no file of poses: one ends in .json, .csv, .mat"),
    ],
)
def test_bad_files(tmp_path, name, content, message):
    if name.endswith(".mat"):
        pytest.importorskip("scipy", reason="needs SciPy: pip install posert[eval]")
    with pytest.raises(InputError, match=message):
        read_pose_file(save(tmp_path / name, content))


def test_what_poses_are_read_from(tmp_path):
    assert kind_of(tmp_path) == "folder"
    for name, kind in {"a.JPG": "picture", "a.mp4": "video", "a.csv": "pose file"}.items():
        (tmp_path / name).touch()
        assert kind_of(tmp_path / name) == kind
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match=r"nothing that poses are read from; what is, by its ending: picture: \.jpg"):
        kind_of(tmp_path / "a.txt")
    with pytest.raises(InputError, match="there is no file"):
        kind_of(tmp_path / "b.mp4")
