"""Training part affinity fields: what is read, what is drawn, what counts, and that it can be learnt."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch; pip install posert[train]")
pytest.importorskip("safetensors", reason="training needs safetensors; pip install posert[train]")
pytest.importorskip("skimage", reason="training needs scikit-image; pip install posert[train]")

from posert.errors import InputError  # noqa: E402
from posert.evaluation import Predictions, load_dataset  # noqa: E402
from training import crowd, paf, weights  # noqa: E402
from training.data.crowd import SKELETON, UNKNOWN, CrowdPicture, load_coco, load_labelled, to_coco18  # noqa: E402
from training.pixels import normalise  # noqa: E402

NECK, RIGHT_HIP = SKELETON.joints.index("neck"), SKELETON.joints.index("right_hip")
NOTHING = np.float32([np.nan, np.nan, 0])


def missing(*shape):
    return np.tile(NOTHING, (*shape, 1))


def encoded(height=120, width=100):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".png", image)[1].tobytes()


def standing(x, y, height):
    """A person upright: (17, 3), COCO order, all visible."""
    places = [(0, 0), (0.03, -0.03), (-0.03, -0.03), (0.06, -0.01), (-0.06, -0.01), (0.12, 0.15), (-0.12, 0.15)]
    places += [(0.16, 0.32), (-0.16, 0.32), (0.18, 0.48), (-0.18, 0.48)]
    places += [(0.08, 0.5), (-0.08, 0.5), (0.09, 0.72), (-0.09, 0.72), (0.1, 0.95), (-0.1, 0.95)]
    return np.concatenate([np.array(places) * height + [x, y], np.full((17, 1), 2)], 1)


@pytest.fixture
def coco_folder(tmp_path):
    """Two pictures: one with two people, of whom one has no joints labelled, and one with nobody."""
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).write_bytes(encoded())
    points = standing(40, 20, 90)
    points[15:] = 0
    head = {"category_id": 1, "iscrowd": 0, "area": 4000.0}
    annotations = [
        {"id": 1, "image_id": 5, "keypoints": points.ravel().tolist(), "num_keypoints": 15, "bbox": [20, 15, 40, 95], **head},
        {"id": 2, "image_id": 5, "keypoints": [0] * 51, "num_keypoints": 0, "bbox": [70, 30, 20, 60], **head},
    ]
    images = [{"id": i, "file_name": f"images/{n}.png", "width": 100, "height": 120} for i, n in ((5, "a"), (9, "b"))]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    return tmp_path


def test_coco_annotations(coco_folder):
    with_people, empty = load_coco(coco_folder)
    assert with_people.people.shape == (1, 18, 3)
    assert with_people.image().shape == (120, 100, 3)
    np.testing.assert_allclose(with_people.people[0, NECK, :2], (40, 20 + 0.15 * 90), atol=1e-4)
    np.testing.assert_array_equal(with_people.people[0, [10, 13]], missing(2))
    np.testing.assert_array_equal(with_people.ignored, [[70, 30, 90, 90]])
    assert empty.people.shape == (0, 18, 3)
    assert empty.vouched is None


def test_damaged_annotations_are_refused(coco_folder):
    (coco_folder / "images" / "b.png").unlink()
    with pytest.raises(InputError, match=r"b\.png cannot be read"):
        load_coco(coco_folder)
    (coco_folder / "annotations.json").write_text('{"images": []}')
    with pytest.raises(InputError, match="not a file of COCO keypoint annotations"):
        load_coco(coco_folder)
    with pytest.raises(InputError, match="not a file of COCO"):
        load_coco(coco_folder / "nowhere")


def test_labels_of_a_network(tmp_path):
    (tmp_path / "images").mkdir()
    points = standing(50, 20, 80)
    points[:, 2] = 0.9
    points[[5, 9], 2] = 0.2  # left shoulder and wrist
    unsure = points.copy()
    unsure[4:, 2] = 0.1
    for name in ("a.png", "b.png"):
        (tmp_path / "images" / name).write_bytes(encoded())
    np.savez(tmp_path / "movenet_thunder_coco17.npz", files=["a.png", "b.png"], keypoints=np.stack([points, unsure]))
    (picture,) = load_labelled(tmp_path, 0, 2)
    unknown = [SKELETON.joints[k] for k in np.flatnonzero(picture.people[0, :, 2] == UNKNOWN)]
    assert unknown == ["neck", "left_shoulder", "left_wrist"]
    assert picture.vouched[0] < points[:, 0].min()
    assert picture.vouched[3] > points[:, 1].max()
    with pytest.raises(InputError, match="needs movenet"):
        load_labelled(tmp_path / "images", 0, 1)


def test_targets_are_those_of_the_specification():
    people = missing(1, 2, 18)
    people[0, 0, NECK] = (80 + 3.5, 96 + 3.5, 1)  # specs R-11, K11: fields have no half cell there
    people[0, 0, RIGHT_HIP] = (200 + 3.5, 140 + 3.5, 1)
    people[0, 1, 4] = (100.2, 57.9, 1)  # specs R-11, K9
    fields, heat = (maps.numpy() for maps in crowd.targets(people, (368, 368)))
    assert fields.shape == (1, 38, 46, 46)
    assert heat.shape == (1, 19, 46, 46)
    rows, columns = np.nonzero(fields[0, 0])
    assert (len(rows), columns.min(), columns.max(), rows.min(), rows.max()) == (36, 9, 25, 11, 18)
    np.testing.assert_allclose(fields[0, :2, rows, columns], np.tile([[0.938876, 0.344255]], (36, 1)), atol=1e-6)
    assert not fields[0, 2:].any()
    assert np.count_nonzero(heat[0, 4]) == 22
    assert heat[0, 4].sum() == pytest.approx(4.768124, abs=1e-5)
    assert heat[0, 4, 7, 12] == pytest.approx(0.969357, abs=1e-6)
    np.testing.assert_allclose(heat[0, 18], 1 - heat[0, :18].max(0), atol=1e-6)


def test_where_people_meet_fields_are_the_mean_and_heatmaps_the_maximum():
    people = missing(1, 2, 18)
    people[0, 0, [NECK, RIGHT_HIP]] = [(35.5, 67.5, 1), (99.5, 67.5, 1)]
    people[0, 1, [NECK, RIGHT_HIP]] = [(67.5, 35.5, 1), (67.5, 99.5, 1)]
    fields, heat = (maps.numpy() for maps in crowd.targets(people, (128, 128)))
    np.testing.assert_allclose(fields[0, :2, 8, 8], (0.5, 0.5), atol=1e-6)
    np.testing.assert_allclose(fields[0, :2, 8, 5], (1, 0), atol=1e-6)
    assert heat.max() <= 1


def test_what_is_not_known_has_no_weight():
    people = missing(2, 1, 18)
    people[0, 0, :, :2], people[0, 0, :, 2] = 20, 1
    people[0, 0, RIGHT_HIP, 2] = UNKNOWN
    fields, heat = (weights.numpy() for weights in crowd.channel_weights(people))
    assert np.flatnonzero(heat[0] == 0).tolist() == [RIGHT_HIP, 18]
    assert np.flatnonzero(fields[0] == 0).tolist() == [0, 1, 2, 3]  # neck to hip, hip to knee
    assert fields[1].all()
    assert heat[1].all()
    target = (torch.zeros(1, 38, 4, 4), torch.zeros(1, 19, 4, 4))
    wrong = (torch.zeros(1, 38, 4, 4), torch.zeros(1, 19, 4, 4))
    wrong[0][0, :4], wrong[1][0, [RIGHT_HIP, 18]] = 3.0, 3.0
    channels = (torch.from_numpy(fields[:1]), torch.from_numpy(heat[:1]))
    assert paf.paf_loss([wrong], target, torch.ones(1, 4, 4), channels) == 0
    wrong[1][0, 0] = 3.0
    assert paf.paf_loss([wrong], target, torch.ones(1, 4, 4), channels) > 0
    assert paf.paf_loss([wrong], target, torch.zeros(1, 4, 4), channels) == 0


def one_person(**fields):
    return CrowdPicture(encoded(), to_coco18(standing(50, 20, 90)[None].astype(np.float32).clip(0, 1e3)), **fields)


def test_views_move_joints_with_the_picture():
    """A white spot at a joint stays under the joint through scale, rotation, shift and mirroring."""
    image = np.zeros((120, 100, 3), np.uint8)
    cv2.circle(image, (30, 60), 6, (255, 255, 255), -1)
    people = missing(1, 18)
    people[0, RIGHT_HIP] = (30, 60, 1)
    picture = CrowdPicture(cv2.imencode(".png", image)[1].tobytes(), people, np.zeros((0, 4), np.float32))
    amount = crowd.CrowdAugmentation(colour=0, occlusion=0)
    rng, sides = np.random.default_rng(1), set()
    for _ in range(40):
        view, joints, weights = crowd.crowd_view(picture, (96, 128), amount, rng)
        assert view.shape == (96, 128, 3)
        assert weights.shape == (12, 16)
        (found,) = np.flatnonzero(joints[0, :, 2] > 0)
        x, y = joints[0, found, :2].round().astype(int)
        assert view[y, x].min() > 200
        sides.add(SKELETON.joints[found])
    assert sides == {"left_hip", "right_hip"}


def test_views_weigh_only_what_is_known():
    rng = np.random.default_rng(2)
    nobody = np.zeros((0, 4), np.float32)
    assert crowd.crowd_view(one_person(ignored=nobody), (96, 96), crowd.CrowdAugmentation(), rng)[2].all()
    small = crowd.CrowdAugmentation(person=(0.3, 0.3), shift=0.0)
    weights = crowd.crowd_view(one_person(ignored=nobody, vouched=np.float32([30, 10, 70, 110])), (160, 160), small, rng)[2]
    assert weights[10, 10] == 1
    assert 0.02 < weights.mean() < 0.3
    still = crowd.CrowdAugmentation(zoom=(1, 1.001), rotation=0, shift=0.0)
    ignored = one_person(ignored=np.float32([[30, 10, 70, 110]]))
    weights = crowd.crowd_view(ignored, (160, 160), still, rng)[2]
    assert weights[10, 10] == 0
    assert 0.8 < weights.mean() < 0.95


def test_batches_repeat_and_differ(coco_folder):
    pictures = load_coco(coco_folder)
    sampler = crowd.CrowdSampler([(pictures, 0.5), ([one_person(ignored=np.zeros((0, 4), np.float32))], 0.5)], (64, 96), seed=3)
    first, again, other = sampler.batch(4, 5), sampler.batch(4, 5), sampler.batch(5, 5)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.people, again.people)
    assert not np.array_equal(first.images, other.images)
    assert first.images.shape == (5, 64, 96, 3)
    assert first.people.shape[2:] == (18, 3)


@pytest.fixture
def one_thread():
    """Maps of a few cells are learnt faster by one thread than by several that wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_it_can_be_learnt(one_thread):
    """Sixty steps of the stages alone on four views bring the error well down."""
    torch.manual_seed(0)
    sizes = {"stages": 2, "width": 16, "first_depth": 1, "depth": 2, "first_hidden": 32, "features": 32}
    model = paf.build({"model": {"backbone": "movenet-lightning", "kernel": 3} | sizes, "frozen": 0})
    sampler = crowd.CrowdSampler([([one_person(ignored=np.zeros((0, 4), np.float32))], 1.0)], (96, 96), seed=0)
    views = sampler.batch(0, 4)
    target, weights = crowd.targets(views.people, (96, 96)), torch.from_numpy(views.weights)
    with torch.no_grad():
        levels = model.backbone.trunk(normalise(views.images))
    optimizer = torch.optim.Adam([*model.backbone.adapt.parameters(), *model.stages.parameters()], 5e-3)
    model.backbone.trunk.forward = lambda image: levels
    losses = []
    for _ in range(60):
        stages = model(views.images)
        assert [tuple(maps.shape) for maps in stages[-1]] == [(4, 38, 12, 12), (4, 19, 12, 12)]
        loss = paf.paf_loss(stages, target, weights, crowd.channel_weights(views.people))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_a_run_goes_on_where_it_stopped(coco_folder, tmp_path):
    pytest.importorskip("faster_coco_eval", reason="average precision needs faster-coco-eval; pip install posert[eval]")
    model_settings = {"backbone": "movenet-lightning", "stages": 1, "width": 4, "kernel": 3}
    sizes = {"first_depth": 1, "depth": 1, "first_hidden": 4, "features": 4}
    settings = {"model": model_settings | sizes, "frozen": 24, "steps": 2, "batch": 2, "rate": 1e-3, "trunk_rate": 1e-4}
    sampler = crowd.CrowdSampler([(load_coco(coco_folder), 1.0)], (64, 64), seed=0)
    paf.train(paf.build(settings), settings, sampler, coco_folder, tmp_path, 2)
    settings["steps"] = 3
    average = paf.train(paf.build(settings), settings, sampler, None, tmp_path, 2)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3]
    assert lines[0]["AP"] <= 1
    assert average.updates == 3
    assert (tmp_path / "validation-000002.png").exists()
    weights.save(tmp_path, "paf", average.state, config=settings["model"])
    trunk = paf.build(settings, init=tmp_path / "weights.safetensors").backbone.trunk  # an estimator gives its trunk
    kept = average.state["backbone.trunk.stem.weight"].half().float()
    assert torch.equal(trunk.stem.weight, kept)


def test_average_precision_of_true_people_is_one(coco_folder):
    pytest.importorskip("faster_coco_eval", reason="average precision needs faster-coco-eval; pip install posert[eval]")
    dataset = load_dataset("coco", coco_folder)
    people = dataset.keypoints[dataset.labelled]
    index = np.zeros(len(people), np.int64)
    assert paf.score(Predictions(people, index, np.ones(len(people)), None, 1, 0.0), dataset)["AP"] == pytest.approx(1)
