"""Transfer on a network that copies the source and paints the pose, so framing, mapping and drawing are checked."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from posert import Bundle, Engine, Estimator, InputError, Poses, Transfer, TransferBatch, ops
from posert.engine import open_for
from posert.people import find_people


@pytest.fixture(scope="module")
def engine(tiny_transfer_bundle):
    with Engine.open(tiny_transfer_bundle) as engine:
        yield engine


@pytest.fixture(scope="module")
def transfer(engine, tiny_estimator_bundle):
    with Transfer(engine, estimator=tiny_estimator_bundle) as transfer:
        yield transfer


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def pose(rng, count, width=64, height=128):
    points = rng.uniform(0, 1, (count, 18, 3)).astype(np.float32) * [width, height, 0.5] + [0, 0, 0.5]
    points[:, 13] = np.nan, np.nan, 0
    return points.astype(np.float32)


def pictures(rng, count, height=128, width=64):
    return rng.integers(0, 200, (count, height, width, 3), np.uint8)


def painted(source, points):
    """What the tiny network makes: the source, white where a disc is."""
    discs = ops.rasterize_discs(points, (128, 64), backend="reference").max(1) > 0
    return np.where(discs[..., None], 255, source)


def same(result, wanted):
    assert result.dtype == np.uint8
    assert np.abs(result.astype(int) - wanted.astype(int)).max() <= 1  # to_uint8 truncates


def test_values(transfer, rng):
    source, points = pictures(rng, 5), pose(rng, 5)
    result = transfer.run(TransferBatch(source, points))
    same(result.coarse, source)
    same(result.images, painted(source, points))
    np.testing.assert_array_equal(result.mask, ops.pose_mask(points, (128, 64), backend="reference")[:, 0])
    assert list(result.stage_ms) == ["crop", "rasterize", "network", "to_uint8", "mask"]
    assert all(ms > 0 for ms in result.stage_ms.values())
    assert len(result) == 5


def test_dictionaries_and_poses(transfer, rng):
    source, points = pictures(rng, 2), pose(rng, 2)
    wanted = transfer.run(TransferBatch(source, points)).images
    np.testing.assert_array_equal(transfer.run({"source": list(source), "target": Poses(points)}).images, wanted)


def test_target_of_another_skeleton(transfer, rng):
    source = pictures(rng, 2)
    points = np.concatenate([rng.uniform(5, 60, (2, 14, 2)), np.ones((2, 14, 1))], axis=2).astype(np.float32)
    target = Poses(points, skeleton="cpm14")
    same(transfer.run({"source": source, "target": target}).images, painted(source, target.convert("coco18").keypoints))


def test_target_with_boxes_is_framed_by_them(transfer, rng):
    source, points = pictures(rng, 2), pose(rng, 2)
    far = points * np.float32([3, 3, 1]) + np.float32([101.5, 201.5, 0])  # x0 + 3 (u + 0.5) - 0.5
    boxes = np.float32([[100.5, 200.5, 100.5 + 192, 200.5 + 384]] * 2)
    same(transfer.run({"source": source, "target": Poses(far, boxes=boxes)}).images, painted(source, points))
    narrow = boxes + np.float32([40, 0, -40, 0])  # grown back to the same frame
    same(transfer.run({"source": source, "target": Poses(far, boxes=narrow)}).images, painted(source, points))


def test_larger_sources_are_resized_with_the_target(transfer, rng):
    small, points = pictures(rng, 1), pose(rng, 1)
    big = small.repeat(2, axis=1).repeat(2, axis=2)
    twice = points * np.float32([2, 2, 1]) + np.float32([0.5, 0.5, 0])
    result = transfer.run({"source": big, "target": twice})
    same(result.coarse, small)
    same(result.images, painted(small, points))


def test_proportions_within_two_percent_are_taken_whole(transfer, rng):
    source = pictures(rng, 1, 128, 65)
    result = transfer.run({"source": source, "target": pose(rng, 1)})
    assert "locate" not in result.stage_ms


def test_source_pose_decides_what_is_cut_out(transfer, rng):
    wide = pictures(rng, 1, 200, 300)
    here = np.full((1, 18, 3), np.nan, np.float32)
    here[..., 2] = 0
    here[0, 0], here[0, 10] = (150, 30, 1), (150, 149, 1)
    points = pose(rng, 1)
    target = Poses(points, boxes=np.float32([[0, 0, 64, 128]]))
    result = transfer.run(TransferBatch(wide, target, Poses(here)))
    height = 119 * 1.2
    box = [150.5 - height / 4, 30.5 - 11.9, 150.5 + height / 4, 149.5 + 11.9]
    crop, _ = ops.crop_resize(wide, [box], (128, 64), 127.5, 1 / 127.5, backend="reference")
    same(result.coarse, ops.to_uint8(crop, backend="reference"))
    same(result.images, painted(result.coarse, points))
    assert "locate" not in result.stage_ms


def test_target_without_boxes_lands_in_the_same_place(transfer, rng):
    """A pose in pixels of the source image is drawn over the person there, however the image was cropped."""
    wide = np.zeros((1, 200, 300, 3), np.uint8)
    joints = np.full((1, 18, 3), np.nan, np.float32)
    joints[..., 2] = 0
    for k, (x, y) in enumerate([(100, 40), (104, 100), (96, 160), (110, 140)]):
        joints[0, k] = x, y, 1
        wide[0, y - 1 : y + 2, x - 1 : x + 2] = 200
    result = transfer.run(TransferBatch(wide, Poses(joints), Poses(joints)))
    spots = result.coarse[0].max(-1) > 50
    assert spots.any()
    assert (result.images[0].min(-1)[spots] == 255).all()  # every marked spot lies under its disc


def test_estimator_finds_the_person(transfer, rng, estimator_offsets):
    wide = np.zeros((2, 300, 400, 3), np.uint8)
    wide[0, 140:156, 200:216, 0] = 255
    wide[1, 150:166, 180:196, 0] = 255
    target = Poses(pose(rng, 3), boxes=np.float32([[0, 0, 64, 128]] * 3))
    portrait = pictures(rng, 1)
    result = transfer.run(TransferBatch([wide[0], portrait[0], wide[1]], target))
    assert next(iter(result.stage_ms)) == "locate"
    same(result.coarse[1:2], portrait)
    assert (result.coarse[[0, 2], ..., 0].max((1, 2)) > 200).all()  # the blob is in the crop
    found = find_people(transfer.estimator, wide).boxes
    assert (np.abs((found[:, :2] + found[:, 2:]) / 2 - [[208, 148], [188, 158]]) < 40).all()


def test_nobody_found(transfer, rng):
    empty = np.zeros((200, 300, 3), np.uint8)
    with pytest.raises(InputError, match=r"no person found in source images \[1\]"):
        transfer.run({"source": [pictures(rng, 1)[0], empty], "target": pose(rng, 2)})
    nobody = Poses(np.zeros((1, 18, 3)))
    with pytest.raises(InputError, match=r"source_pose has no joints for images \[0\]"):
        transfer.run(TransferBatch([empty], pose(rng, 1), nobody))
    assert len(transfer.run(TransferBatch(pictures(rng, 1), pose(rng, 1), nobody))) == 1  # taken whole, so the pose is not needed


def test_colour_order(transfer, rng):
    source, points = pictures(rng, 3), pose(rng, 3)
    rgb = transfer.run({"source": source, "target": points})
    bgr = transfer.run({"source": source[..., ::-1], "target": points}, color="bgr")
    np.testing.assert_array_equal(bgr.images, rgb.images[..., ::-1])
    np.testing.assert_array_equal(bgr.coarse, rgb.coarse[..., ::-1])
    assert bgr.images.flags.c_contiguous


def test_empty(transfer):
    result = transfer.run({"source": [], "target": np.zeros((0, 18, 3))})
    assert result.images.shape == result.coarse.shape == (0, 128, 64, 3)
    assert result.mask.shape == (0, 128, 64)
    handle = transfer.prepare([])
    assert len(handle.run(np.zeros((0, 18, 3)))) == 0


def test_grouping_makes_no_difference(transfer, rng):
    source, points = pictures(rng, 21), pose(rng, 21)
    together = transfer.run({"source": source, "target": points})
    for i in range(21):
        alone = transfer.run({"source": source[i : i + 1], "target": points[i : i + 1]})
        for name in ("images", "coarse", "mask"):
            np.testing.assert_array_equal(getattr(together, name)[i], getattr(alone, name)[0])


def test_nothing_is_left_of_earlier_poses(transfer, rng):
    source = pictures(rng, 8)
    nobody = np.zeros((8, 18, 3), np.float32)
    clean = transfer.run({"source": source, "target": nobody})
    assert not clean.mask.any()
    for count in (8, 3, 5, 8, 1):
        points = pose(rng, count)
        same(transfer.run({"source": source[:count], "target": points}).images, painted(source[:count], points))
    np.testing.assert_array_equal(transfer.run({"source": source, "target": nobody}).images, clean.images)


def test_results_are_fresh_memory(transfer, rng):
    source, points = pictures(rng, 2), pose(rng, 2)
    first = transfer.run({"source": source, "target": points})
    kept = copy.deepcopy((first.images, first.coarse, first.mask))
    transfer.run({"source": source[::-1], "target": points[::-1]})
    for before, now in zip(kept, (first.images, first.coarse, first.mask), strict=True):
        np.testing.assert_array_equal(before, now)


def test_prepare(transfer, rng):
    source, points = pictures(rng, 3), pose(rng, 3)
    handle = transfer.prepare(source)
    assert handle.backgrounds() is None  # PG2's network makes no background
    assert len(handle) == 3
    np.testing.assert_array_equal(handle.boxes, [[0, 0, 64, 128]] * 3)
    wanted = transfer.run({"source": source, "target": points})
    result = handle.run(points)
    np.testing.assert_array_equal(result.images, wanted.images)
    np.testing.assert_array_equal(result.mask, wanted.mask)
    grid = handle.run(np.tile(points, (3, 1, 1)), source_index=np.repeat(np.arange(3), 3))
    for i in range(3):
        for j in range(3):
            one = transfer.run({"source": source[i : i + 1], "target": points[j : j + 1]})
            np.testing.assert_array_equal(grid.images[3 * i + j], one.images[0])
    video = transfer.prepare(source[:1], color="bgr").run(Poses(pose(rng, 10)))
    assert len(video) == 10
    assert len(transfer.prepare(source[:1]).run(np.zeros((0, 18, 3)))) == 0


@pytest.mark.parametrize(
    ("count", "index", "match"),
    [
        (3, None, "2 sources take 2 poses, got 3"),
        (2, [0], "2 integers"),
        (2, [0, 2], "0..1"),
        (2, [0, -1], "0..1"),
        (2, [0.0, 1.0], "integers"),
    ],
)
def test_bad_source_index(transfer, rng, count, index, match):
    with pytest.raises(InputError, match=match):
        transfer.prepare(pictures(rng, 2)).run(pose(rng, count), index)


def test_threads_share_it(transfer):
    def work(seed):
        rng = np.random.default_rng(seed)
        count = 1 + seed % 10
        source, points = pictures(rng, count), pose(rng, count)
        same(transfer.run({"source": source, "target": points}).images, painted(source, points))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(24)))


def test_one_stage_models(tmp_path, transfer_document, tiny_transfer_onnx, rng):
    import onnx

    model = onnx.load_from_string(tiny_transfer_onnx)
    del model.graph.output[0]
    document = copy.deepcopy(transfer_document)
    del document["networks"][0]["outputs"][0]
    path = Bundle.write(tmp_path / "x.posert", document, {"generator.onnx": model.SerializeToString()}).path
    with Transfer(path) as transfer:
        result = transfer.run({"source": pictures(rng, 2), "target": pose(rng, 2)})
    assert result.coarse is None
    assert result.images.shape == (2, 128, 64, 3)


def test_warmup(transfer):
    transfer.warmup()
    transfer.warmup([2])
    with pytest.raises(InputError, match="batch sizes"):
        transfer.warmup([-1])


def test_engines(engine, tiny_estimator_bundle, tiny_transfer_bundle, monkeypatch):
    with pytest.raises(InputError, match="model for estimation"):
        Transfer(tiny_estimator_bundle)
    with Estimator(tiny_estimator_bundle) as estimator:
        with Transfer(tiny_transfer_bundle, estimator=estimator, device="cpu") as transfer:
            assert transfer.estimator is estimator
            assert "Transfer" in repr(transfer)
        assert estimator.engine.session()  # a borrowed estimator stays open
        with Transfer(engine, estimator=estimator.engine) as other:
            assert other.estimator.engine is estimator.engine
    assert engine.session()
    with Transfer(tiny_transfer_bundle, estimator=tiny_estimator_bundle, backend="onnxruntime", device="cpu") as chosen:
        asked = []
        monkeypatch.setattr("posert.estimator.open_for", lambda *given: asked.append(given) or open_for(*given))
        assert chosen.estimator.engine.device == "cpu"
        assert asked == [("estimation", tiny_estimator_bundle, "onnxruntime", "cpu", False)]
        monkeypatch.undo()
    with Transfer(engine, estimator="cmp-s") as misspelt, pytest.raises(InputError, match="cmp-s"):
        misspelt.run({"source": np.zeros((1, 50, 50, 3), np.uint8), "target": np.zeros((1, 18, 3))})


NOBODY = np.zeros((1, 18, 3), np.float32)
FAR = np.full((1, 18, 3), 1, np.float32) * np.float32([3e38, 3e38, 1])
IMAGE = np.zeros((1, 128, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("batch", "match"),
    [
        ({"source": IMAGE}, "keys source and target"),
        (IMAGE, "TransferBatch"),
        ({"source": IMAGE[0], "target": np.zeros((128, 18, 3))}, r"image\[None\]"),
        ({"source": IMAGE.astype(float), "target": NOBODY}, "image 0 is float64"),
        ({"source": IMAGE[:, :0], "target": NOBODY}, "no pixels"),
        ({"source": IMAGE, "target": np.zeros((2, 18, 3))}, "1 images, 2 poses"),
        ({"source": IMAGE, "target": np.zeros((1, 17, 3))}, r"\(P, 18, 3\)"),
        ({"source": IMAGE, "target": np.zeros((18, 3))}, "shape"),
        ({"source": IMAGE, "target": np.full((1, 18, 3), np.inf)}, "infinite"),
        ({"source": IMAGE, "target": np.full((1, 18, 3), 2.0)}, "scores"),
        ({"source": IMAGE, "target": NOBODY, "source_pose": 3}, "source_pose"),
        ({"source": IMAGE[:, :8, :4], "target": FAR}, "too far"),
        ({"source": 5, "target": NOBODY}, "source"),
    ],
)
def test_bad_input(transfer, rng, batch, match):
    with pytest.raises(InputError, match=match):
        transfer.run(batch)
    test_values(transfer, rng)


def test_a_bad_target_is_refused_before_the_estimator_is_opened(engine, rng):
    wide = np.zeros((1, 50, 90, 3), np.uint8)
    with Transfer(engine, estimator="no such model") as transfer, pytest.raises(InputError, match=r"\(P, 18, 3\)"):
        transfer.run({"source": wide, "target": np.zeros((1, 14, 3))})


def test_bad_color_and_poses(transfer, rng):
    with pytest.raises(InputError, match="color"):
        transfer.run({"source": IMAGE, "target": NOBODY}, color="hsv")
    with pytest.raises(InputError, match="source_pose"):
        transfer.prepare(IMAGE, NOBODY)
    with pytest.raises(InputError, match="source_pose"):
        transfer.prepare(IMAGE, Poses(np.zeros((2, 18, 3))))
    with pytest.raises(InputError, match="no area"):
        transfer.run({"source": IMAGE, "target": Poses(NOBODY, boxes=np.zeros((1, 4)))})


def test_stages_can_be_looked_at(transfer, rng):
    source, points = pictures(rng, 2), pose(rng, 3)
    prepared = transfer.prepare(source)
    stages = prepared.explain(points, [0, 1, 1])
    assert list(stages) == ["source", "pose", "coarse", "difference", "image"]
    same(stages["source"], source[[0, 1, 1]])
    discs = ops.rasterize_discs(points, (128, 64), backend="reference").max(1) > 0
    same(stages["pose"], np.repeat(discs[..., None] * np.uint8(255), 3, -1))
    np.testing.assert_array_equal(stages["image"], prepared.run(points, [0, 1, 1]).images)
    bgr = transfer.prepare(source, color="bgr").explain(points, [0, 1, 1])
    same(bgr["source"], source[[0, 1, 1]])
    with pytest.raises(InputError, match="at most 8 poses"):
        prepared.explain(pose(rng, 9), np.zeros(9, int))
