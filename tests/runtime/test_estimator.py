"""The estimator on a network whose joints are known, so every step from box to keypoint is checked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posert import Engine, Estimator, InputError, Poses


@pytest.fixture(scope="module")
def engine(tiny_estimator_bundle):
    with Engine.open(tiny_estimator_bundle) as engine:
        yield engine


@pytest.fixture(scope="module")
def estimator(engine):
    return Estimator(engine)


def blob_image(height, width, x, y, side):
    """Black, with a red square of `side` pixels whose top left corner is (x, y)."""
    image = np.zeros((height, width, 3), np.uint8)
    image[y : y + side, x : x + side, 0] = 255
    return image


def joints_of(cell_x, cell_y, offsets, scale=1.0, x0=0.0, y0=0.0):
    """Where the tiny network finds the joints of a blob in a cell, in image pixels, for a crop that starts at (x0, y0)."""
    network = 8 * (np.array([cell_x, cell_y]) + offsets) + 3.5
    return (network + 0.5) * scale - 0.5 + [x0, y0]


def test_whole_images(estimator, estimator_offsets):
    images = np.stack([blob_image(256, 192, 8 * 11, 8 * 15, 8), blob_image(256, 192, 8 * 8, 8 * 12, 8)])
    poses = estimator.run(images)
    assert poses.skeleton.name == "cpm14"
    assert poses.keypoints.dtype == np.float32
    np.testing.assert_allclose(poses.keypoints[0, :, :2], joints_of(11, 15, estimator_offsets), atol=1e-4)
    np.testing.assert_allclose(poses.keypoints[1, :, :2], joints_of(8, 12, estimator_offsets), atol=1e-4)
    np.testing.assert_allclose(poses.keypoints[..., 2], 1, atol=1e-5)
    np.testing.assert_array_equal(poses.image_index, [0, 1])
    np.testing.assert_array_equal(poses.boxes, [[0, 0, 192, 256]] * 2)


def test_boxes_are_cut_out_and_mapped_back(estimator, estimator_offsets):
    big = blob_image(700, 900, 300 + 16 * 10, 100 + 16 * 14, 16)
    box = [300, 100, 300 + 384, 100 + 512]  # twice the network's size
    poses = estimator.run([big], [[box]])
    np.testing.assert_allclose(poses.keypoints[0, :, :2], joints_of(10, 14, estimator_offsets, 2, 300, 100), atol=1e-3)
    np.testing.assert_array_equal(poses.boxes, [box])
    narrow = estimator.run([big], [[[300 + 92, 100, 300 + 292, 612]]])  # grown to the same crop
    np.testing.assert_allclose(narrow.keypoints, poses.keypoints, atol=1e-3)


def test_wide_images_are_padded_not_squeezed(estimator, estimator_offsets):
    image = blob_image(192, 192, 80, 80, 8)  # the crop is (0, -32, 192, 224)
    poses = estimator.run(image[None])
    np.testing.assert_allclose(poses.keypoints[0, :, :2], joints_of(10, 14, estimator_offsets, y0=-32), atol=1e-3)


def test_box_scale(tmp_path, estimator_document, tiny_estimator_onnx, estimator_offsets):
    from posert import Bundle

    document = {**estimator_document, "preprocess": {**estimator_document["preprocess"], "box_scale": 2.0}}
    path = Bundle.write(tmp_path / "x.posert", document, {"estimator.onnx": tiny_estimator_onnx}).path
    image = blob_image(512, 384, 16 * 10, 16 * 14, 16)
    with Estimator(path) as estimator:
        inner = estimator.run([image], [[96, 128, 288, 384]])  # doubled about its centre: the whole image
        whole = estimator.run([image])  # an image without a box is not enlarged
    np.testing.assert_allclose(inner.keypoints[0, :, :2], joints_of(10, 14, estimator_offsets, 2), atol=1e-3)
    np.testing.assert_allclose(whole.keypoints, inner.keypoints, atol=1e-3)


def test_colour_order(estimator):
    image = blob_image(256, 192, 88, 120, 8)
    rgb = estimator.run(image[None]).keypoints
    np.testing.assert_array_equal(estimator.run(image[None, ..., ::-1], color="bgr").keypoints, rgb)
    assert not (estimator.run(image[None], color="bgr").keypoints[..., 2] > 0).any()


def test_nothing_there_is_missing(estimator):
    poses = estimator.run(np.zeros((2, 100, 80, 3), np.uint8))
    np.testing.assert_array_equal(poses.keypoints, np.broadcast_to(np.float32([np.nan, np.nan, 0]), (2, 14, 3)))


def test_scores(estimator):
    dim = (blob_image(256, 192, 88, 120, 8) * 0.6).astype(np.uint8)
    np.testing.assert_allclose(estimator.run(dim[None]).keypoints[..., 2], 153 / 255, atol=1e-5)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_flip_test(engine, estimator_offsets, color):
    image = blob_image(256, 192, 8 * 9, 8 * 14, 8)
    image = image[..., ::-1] if color == "bgr" else image
    flipped = Estimator(engine, flip_test=True).run(image[None], color=color)
    np.testing.assert_allclose(flipped.keypoints[0, :, :2], joints_of(9, 14, estimator_offsets), atol=1e-3)
    np.testing.assert_allclose(flipped.keypoints[..., 2], 1, atol=1e-5)  # both looks agree, so averaging changes nothing


def test_empty_batches(estimator):
    for images in (np.zeros((0, 256, 192, 3), np.uint8), [], np.zeros((0, 0, 0, 3), np.uint8)):
        for boxes in (None, [], np.zeros((0, 4))):
            poses = estimator.run(images, boxes)
            assert isinstance(poses, Poses)
            assert poses.keypoints.shape == (0, 14, 3)
            assert poses.boxes.shape == (0, 4)
    image = blob_image(256, 192, 88, 120, 8)
    poses = estimator.run([image, image, image], [[], np.zeros((0, 4)), [[0, 0, 192, 256]]])
    np.testing.assert_array_equal(poses.image_index, [2])
    assert len(estimator.run([image], [[]])) == 0


@settings(max_examples=10)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 2**31))
def test_grouping_makes_no_difference(estimator, people, seed):
    rng = np.random.default_rng(seed)
    images, boxes = [], []
    for count in people:
        height, width = rng.integers(20, 300, 2)
        images.append(rng.integers(0, 256, (height, width, 3), np.uint8))
        low = rng.uniform(-20, 15, (count, 2))
        boxes.append(np.concatenate([low, low + rng.uniform(30, 200, (count, 2))], axis=1))
    together = estimator.run(images, boxes)
    alone = [estimator.run([image], [box[None]]) for image, group in zip(images, boxes, strict=True) for box in group]
    assert len(together) == sum(people) == len(alone)
    np.testing.assert_array_equal(together.image_index, np.repeat(np.arange(len(people)), people))
    if alone:
        np.testing.assert_array_equal(together.keypoints, np.concatenate([a.keypoints for a in alone]))
        np.testing.assert_array_equal(together.boxes, np.concatenate([a.boxes for a in alone]))


def test_more_people_than_the_largest_batch(estimator):
    images = np.stack([blob_image(256, 192, 8 * (6 + i % 10), 8 * (7 + i % 17), 8) for i in range(21)])
    poses = estimator.run(images)
    assert len(poses) == 21
    for i in range(21):
        np.testing.assert_array_equal(poses.keypoints[i], estimator.run(images[i : i + 1]).keypoints[0])


def test_results_are_fresh_memory(estimator):
    image = blob_image(256, 192, 88, 120, 8)[None]
    first = estimator.run(image)
    before = first.keypoints.copy()
    estimator.run(np.zeros_like(image))
    np.testing.assert_array_equal(first.keypoints, before)


def test_inputs_are_left_alone_and_may_be_views(estimator):
    base = np.zeros((2, 300, 400, 3), np.uint8)
    base[:, 30:286, 50:242] = blob_image(256, 192, 88, 120, 8)
    before = base.copy()
    boxes = np.array([[0, 0, 192, 256]] * 2)
    view = estimator.run(base[:, 30:286, 50:242], boxes)
    base.flags.writeable = False
    packed = estimator.run(np.ascontiguousarray(base[:, 30:286, 50:242]), boxes)
    np.testing.assert_array_equal(view.keypoints, packed.keypoints)
    np.testing.assert_array_equal(base, before)
    backwards = estimator.run(base[::-1, 30:286, 50:242][:, ::-1, ::-1])
    assert backwards.keypoints.shape == (2, 14, 3)


def test_threads_share_it(estimator, estimator_offsets):
    def work(i):
        count = 1 + i % 11
        image = blob_image(256, 192, 8 * (7 + i % 9), 8 * (8 + i % 15), 8)
        poses = estimator.run(np.stack([image] * count))
        return np.abs(poses.keypoints[..., :2] - joints_of(7 + i % 9, 8 + i % 15, estimator_offsets)).max(initial=0)

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(60))) < 1e-3


def test_warmup_and_stage_times(estimator):
    estimator.warmup()
    estimator.warmup([1, 20])
    estimator.run(np.zeros((1, 50, 50, 3), np.uint8))
    assert list(estimator.stage_ms) == ["crop", "network", "decode"]
    assert all(ms > 0 for ms in estimator.stage_ms.values())
    for bad in ([0], [1.5], [True], ["a"], -1):
        with pytest.raises(InputError, match="batch sizes"):
            estimator.warmup(bad)


def test_engines(tiny_estimator_bundle, tiny_transfer_bundle, engine):
    with Estimator(tiny_estimator_bundle, backend="onnxruntime", device="cpu") as own:
        assert "Estimator" in repr(own)
    with pytest.raises(Exception, match="closed"):
        own.run(np.zeros((1, 50, 50, 3), np.uint8))
    with Estimator(engine):
        pass
    assert engine.session()  # a borrowed engine stays open
    with pytest.raises(InputError, match="model for transfer"):
        Estimator(tiny_transfer_bundle)
    with pytest.raises(InputError, match="open already"):
        Estimator(engine, backend="onnxruntime")


IMAGE = np.zeros((40, 30, 3), np.uint8)


class Tensor:
    """Something like a tensor on a device."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (IMAGE, r"image\[None\]"),
        (IMAGE[..., 0], "shape"),
        (IMAGE[None].astype(np.float32), "image 0 is float32"),
        (IMAGE[None, ..., :1], "image 0 is uint8"),
        (np.zeros((1, 40, 30, 4), np.uint8), "image 0 is uint8"),
        (np.zeros((1, 0, 30, 3), np.uint8), "image 0 .* no pixels"),
        (np.zeros((2, 40, 0, 3), np.uint8), "no pixels"),
        ([IMAGE, IMAGE[:0]], "image 1 .* no pixels"),
        ([IMAGE, IMAGE.astype(np.int64)], "image 1 is int64"),
        ([IMAGE, None], "image 1"),
        ([IMAGE, "person.jpg"], "image 1"),
        ("person.jpg", "got str"),
        (None, "got NoneType"),
        (3, "got int"),
        (Tensor(), "bring it to the CPU"),
        ([Tensor()], "bring it to the CPU"),
    ],
)
def test_bad_images(estimator, images, match):
    with pytest.raises(InputError, match=match):
        estimator.run(images)


@pytest.mark.parametrize(
    ("boxes", "match"),
    [
        ([[0, 0, 10, 10]], "got 1"),
        (np.zeros((3, 4)), "got 3"),
        ([[0, 0, 10, 10], [5, 5, 5, 10]], r"image 1, box 0 .* no area"),
        ([[[0, 0, 10, 10]], [[0, 0, 9, 9], [5, 5, 9, 5]]], r"image 1, box 1 .* no area"),
        ([[[0, 0, 10, 10]], [[0, 0, 9, np.nan]]], r"image 1, box 0 .* finite"),
        ([[0, 0, 10, 10], [0, 0, np.inf, 9]], "finite"),
        ([[0, 0, 10, 10], [30, 0, 60, 9]], r"image 1, box 0: .* outside the image of 30 x 40"),
        ([[0, 0, 10, 10], [0, 40, 10, 50]], "outside"),
        ([[-9, 0, 0, 10], [0, 0, 10, 10]], "image 0, box 0: .* outside"),
        ([[0, 0, 10, 10], [[0, 0, 10, 10]]], "mixture"),
        ([[0, 0, 10], [0, 0, 10]], "shape"),
        ("ab", "numbers"),
        (7, "boxes must be"),
        ([["a"] * 4] * 2, "numbers"),
    ],
)
def test_bad_boxes(estimator, boxes, match):
    with pytest.raises(InputError, match=match):
        estimator.run([IMAGE, IMAGE], boxes)


def test_bad_color(estimator):
    with pytest.raises(InputError, match="color"):
        estimator.run([IMAGE], color="gray")


def test_bad_input_harms_nothing(estimator):
    good = blob_image(256, 192, 88, 120, 8)[None]
    before = estimator.run(good).keypoints
    with pytest.raises(InputError):
        estimator.run([good[0], IMAGE], [[0, 0, 9, 9], [99, 99, 100, 100]])
    np.testing.assert_array_equal(estimator.run(good).keypoints, before)


def test_results_in_another_skeleton(engine, estimator):
    image = blob_image(256, 192, 8 * 11, 8 * 15, 8)
    own = estimator.run([image])
    poses = Estimator(engine, skeleton="coco18").run([image])
    assert poses.skeleton.name == "coco18"
    np.testing.assert_array_equal(poses.keypoints, own.convert("coco18").keypoints)
    left_ear = poses.keypoints[0, poses.skeleton.joints.index("left_ear")]
    assert np.isnan(left_ear[:2]).all()
    assert left_ear[2] == 0
    with pytest.raises(InputError, match="unknown skeleton 'coco19'"):
        Estimator(engine, skeleton="coco19")


def test_scales_agree_about_where_joints_are(engine, estimator, estimator_offsets):
    """The joints of a smooth blob stay where they are, whatever the sizes at which it is looked at."""
    rows, columns = np.mgrid[:512, :384]
    image = np.zeros((512, 384, 3), np.uint8)
    image[..., 0] = 255 * np.exp(-((columns - 190) ** 2 + (rows - 260) ** 2) / (2 * 40**2))
    once = estimator.run([image], [[[20, 30, 360, 490]]])
    same = Estimator(engine, scales=1).run([image], [[[20, 30, 360, 490]]])
    np.testing.assert_array_equal(same.keypoints, once.keypoints)
    # This network finds each joint a number of cells beside the blob, and a cell of an enlarged box is larger.
    joint = int(np.abs(estimator_offsets).sum(1).argmin())
    cell = 8 * 480 / 256
    several = Estimator(engine, scales=(0.8, 1.0, 1.25), flip_test=True).run([image], [[[20, 30, 360, 490]]])
    off = np.abs(several.keypoints[0, joint, :2] - once.keypoints[0, joint, :2])
    assert (off <= cell * (1 + 0.25 * np.abs(estimator_offsets[joint]))).all()
    with pytest.raises(InputError, match="scales"):
        Estimator(engine, scales=(1.0, 0.0))
    with pytest.raises(InputError, match="scales"):
        Estimator(engine, scales=())


def test_maps_of_larger_boxes_are_brought_back():
    """A plane that rises along both axes is read at the places that the smaller box has in the larger one."""
    from posert.scales import resample_maps

    y, x = np.mgrid[:20, :13].astype(np.float32)
    maps = (2 * x + 3 * y)[None, None]
    middle = np.array([6, 9.5])
    back = resample_maps(maps, maps.shape[2:], 1.6)
    expected = 2 * ((x - middle[0]) / 1.6 + middle[0]) + 3 * ((y - middle[1]) / 1.6 + middle[1])
    np.testing.assert_allclose(back[0, 0], expected, rtol=1e-5)
    assert resample_maps(maps, maps.shape[2:], 0.5)[0, 0, 0, 0] == 0, "outside of what was seen"
    np.testing.assert_allclose(resample_maps(maps, maps.shape[2:]), maps, rtol=1e-6)


def test_transforms_of_boxes():
    from posert.geometry import box_transforms
    from posert.ops import crop_resize

    boxes = np.array([[3, 4, 60, 90], [-20.5, 7, 333, 41]], np.float32)
    image = np.zeros((100, 100, 3), np.uint8)
    _, expected = crop_resize([image], boxes, (64, 48), 0.0, 1.0, image_index=[0, 0])
    np.testing.assert_allclose(box_transforms(boxes, (64, 48)), expected, rtol=1e-6, atol=1e-6)


def test_scores_are_calibrated_and_low_ones_are_missing(tiny_estimator_onnx, estimator_document, estimator, tmp_path):
    from posert import Bundle
    from posert.scores import calibrated

    post = {**estimator_document["postprocess"], "calibration": [1.5, -1.0], "min_score": 0.4}
    document = {**estimator_document, "postprocess": post}
    bundle = Bundle.write(tmp_path / "calibrated.posert", document, {"estimator.onnx": tiny_estimator_onnx})
    image = np.full((256, 192, 3), 70, np.uint8)
    image[100:140, 80:100, 0] = 180
    plain = estimator.run([image])
    with Estimator(bundle.path) as changed:
        poses = changed.run([image])
    expected = calibrated(plain.keypoints[..., 2], 1.5, -1.0)
    there = expected >= 0.4
    np.testing.assert_array_equal(poses.keypoints[..., 2], np.where(there, expected, 0))
    np.testing.assert_array_equal(poses.keypoints[there], np.concatenate([plain.keypoints[there, :2], expected[there, None]], 1))
    assert np.isnan(poses.keypoints[~there, :2]).all()


def test_joints_may_have_least_scores_of_their_own(tiny_estimator_onnx, estimator_document, estimator, tmp_path):
    from posert import Bundle

    post = {**estimator_document["postprocess"], "min_score": {"neck": 1.0, "left_knee": 1.0}}
    document = {**estimator_document, "postprocess": post}
    bundle = Bundle.write(tmp_path / "least.posert", document, {"estimator.onnx": tiny_estimator_onnx})
    image = np.full((256, 192, 3), 70, np.uint8)
    plain = estimator.run([image]).keypoints
    with Estimator(bundle.path) as changed:
        keypoints = changed.run([image]).keypoints
    gone = np.isin(estimator.skeleton.joints, ["neck", "left_knee"])
    assert (plain[0, gone, 2] < 1).all()
    np.testing.assert_array_equal(keypoints[0, gone], [(np.nan, np.nan, 0)] * 2)
    np.testing.assert_array_equal(keypoints[0, ~gone], plain[0, ~gone])


@given(st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.floats(0.1, 5), st.floats(-5, 5))
def test_calibration_keeps_the_order(first, second, slope, intercept):
    from posert.scores import calibrated

    low, high = calibrated(np.array(sorted([first, second]), np.float32), slope, intercept)
    assert 0 <= low <= high <= 1
    np.testing.assert_array_equal(calibrated(np.array([0, 1], np.float32), slope, intercept), [0, 1])
    np.testing.assert_allclose(calibrated(np.array([first], np.float32), 1, 0), first, rtol=1e-6)
