"""Finding everybody, on a network whose people are known, so every step from image to joints is checked."""

from __future__ import annotations

import crowds
import numpy as np
import pytest

from posert import Estimator, InputError
from posert.bottom_up import decode, letterbox, mirror_back
from posert.people import find_people
from posert.processing import Decoding
from posert.separate_peaks import separate_peaks
from posert.skeleton import get_skeleton


@pytest.fixture(scope="module")
def estimator(tiny_crowd_bundle):
    with Estimator(tiny_crowd_bundle) as estimator:
        yield estimator


def scene(*cells, size=crowds.SIZE, scale=1, shift=(0, 0), values=None):
    """Black, with a red block for each cell; a block has `scale` times 8 pixels a side."""
    image = np.zeros((*size, 3), np.uint8)
    for number, (x, y) in enumerate(cells):
        left, top, side = 8 * x * scale + shift[0], 8 * y * scale + shift[1], 8 * scale
        image[top : top + side, left : left + side, 0] = 255 if values is None else values[number]
    return image


def test_everybody_is_found_joint_by_joint(estimator):
    poses = estimator.run([scene((8, 12), (22, 10)), scene(), scene((16, 9))])
    assert poses.skeleton.name == "coco18"
    np.testing.assert_array_equal(poses.image_index, [0, 0, 2])
    assert (poses.keypoints[..., 2] > 0.9).all()
    assert (poses.keypoints[..., 2] <= 1).all()
    for cell in ((8, 12), (22, 10)):
        distances = np.abs(poses.keypoints[:2, :, :2] - crowds.joints(*cell)).max((1, 2))
        assert distances.min() < 1
    assert np.abs(poses.keypoints[2, :, :2] - crowds.joints(16, 9)).max() < 1


def test_boxes_are_the_extents_of_the_joints(estimator):
    poses = estimator.run(scene((16, 9))[None])
    low, high = poses.keypoints[0, :, :2].min(0), poses.keypoints[0, :, :2].max(0)
    assert (poses.boxes[0, :2] < low).all()
    assert (poses.boxes[0, 2:] > high + 1).all()
    assert (poses.boxes[0, 2:] - poses.boxes[0, :2] < 1.35 * (high - low).max()).all()


def test_images_are_fitted_in_and_joints_mapped_back(estimator):
    wide = scene((8, 12), (22, 10), size=(384, 600), scale=2, shift=(44, 0))  # letterboxed: twice the network, wider
    poses = estimator.run([wide])
    assert len(poses) == 2
    zoom = 600 / 256
    assert letterbox([wide], crowds.SIZE)[0] == pytest.approx([0, (384 - 192 * zoom) / 2, 600, (384 + 192 * zoom) / 2])
    centre = (poses.boxes[:, 0] + poses.boxes[:, 2]) / 2
    assert sorted(np.abs(np.sort(centre) - [44 + 17 * 8, 44 + 45 * 8])) < [12, 12]


def test_the_surest_person_comes_first(estimator):
    image = scene((8, 12), (22, 10), values=(180, 255))
    poses = estimator.run(image[None])
    assert poses.keypoints[0, :, 0].mean() > poses.keypoints[1, :, 0].mean()
    assert poses.keypoints[0, 1, 2] > poses.keypoints[1, 1, 2] + 0.2


def test_colour_order_and_flip_test(estimator, tiny_crowd_bundle):
    image = scene((8, 12), (22, 10))
    rgb = estimator.run(image[None])
    bgr = estimator.run(image[None, ..., ::-1], color="bgr")
    np.testing.assert_array_equal(rgb.keypoints, bgr.keypoints)
    image = scene((8, 12), (22, 10), shift=(2, 0))  # both looks agree on what is between two cells
    with Estimator(tiny_crowd_bundle, flip_test=True) as twice:
        flipped, once = twice.run(image[None]), estimator.run(image[None])
    for poses in (flipped, once):
        order = poses.boxes[:, 0].argsort()
        for person, cell in zip(order, ((8, 12), (22, 10)), strict=True):
            assert np.abs(poses.keypoints[person, :, :2] - crowds.joints(*cell) - [2, 0]).max() < 2


@pytest.mark.parametrize("flip_test", [False, True])
def test_large_images_are_seen_in_tiles(tiny_crowd_bundle, flip_test):
    cells = ((10, 12), (33, 24), (52, 36))  # the second lies where four tiles meet
    shift = (2, 0) if flip_test else (0, 0)  # where both looks agree
    large = scene(*cells, size=(384, 512), shift=shift)
    with Estimator(tiny_crowd_bundle, scales=2, flip_test=flip_test) as estimator:
        poses = estimator.run([large, scene((8, 12)), large[:200]])
        np.testing.assert_array_equal(estimator.run([large]).keypoints, poses[poses.image_index == 0].keypoints)
    found = poses[poses.image_index == 0].keypoints
    assert len(found) == 3
    for cell in cells:
        assert np.abs(found[:, :, :2] - crowds.joints(*cell) - shift).max((1, 2)).min() < (2 if flip_test else 1)


def test_people_cut_by_the_frame_lack_joints(estimator):
    poses = estimator.run(scene((16, 21))[None])  # the knees and ankles lie below the frame
    assert len(poses) == 1
    np.testing.assert_array_equal(np.isnan(poses.keypoints[0, :, 0]), crowds.joints(16, 21)[:, 1] > 192)


def test_joints_in_the_padding_are_none(estimator):
    """A person whose left half would lie in what was added to the image."""
    narrow = scene((4, 12), size=(192, 128))  # pads 64 pixels on either side
    poses = estimator.run(narrow[None])
    assert len(poses) == 1
    there = poses.keypoints[0, :, 2] > 0
    assert (poses.keypoints[0, there, 0] >= -0.5).all()
    inside = crowds.joints(4, 12)[:, 0] >= 0
    np.testing.assert_array_equal(there, inside)


def test_grouping_and_large_batches(estimator):
    images = [scene((8 + i % 10, 9 + i % 5)) for i in range(19)]  # the largest batch is 8
    together = estimator.run(images)
    np.testing.assert_array_equal(together.image_index, np.arange(19))
    for i in (0, 7, 8, 18):
        np.testing.assert_array_equal(together.keypoints[i], estimator.run(images[i : i + 1]).keypoints[0])
    assert len(estimator.run([])) == 0
    assert estimator.run([]).keypoints.shape == (0, 18, 3)
    estimator.warmup([1, 9])
    estimator.run(images[:1])
    assert list(estimator.stage_ms) == ["crop", "network", "decode"]


def test_boxes_are_refused(estimator):
    with pytest.raises(InputError, match="finds everybody in an image and takes no boxes"):
        estimator.run(scene()[None], [[0, 0, 10, 10]])


def test_find_people_takes_the_surest(estimator):
    found = find_people(estimator, [scene((8, 12), (22, 10), values=(180, 255)), scene()])
    np.testing.assert_array_equal(found.image_index, [0, 1])
    assert np.abs(found.keypoints[0, :, :2] - crowds.joints(22, 10)).max() < 1
    assert not found.keypoints[1, :, 2].any()
    np.testing.assert_array_equal(found.boxes[1], [0, 0, 256, 192])


def test_mirrored_maps_are_those_of_the_mirrored_people():
    from posert import ops

    skeleton = get_skeleton("coco18")
    person = np.concatenate([crowds.joints(12, 9), np.ones((18, 1))], 1).astype(np.float32)[None, None]
    mirrored = person[:, :, list(skeleton.flip)].copy()
    mirrored[..., 0] = 255 - mirrored[..., 0]
    maps = []
    for people in (person, mirrored):
        heat = ops.rasterize_gaussians(people[0], (24, 32), 7.0, stride=8, cutoff=4.6052)
        maps.append((heat, ops.rasterize_pafs(people - np.float32([3.5, 3.5, 0]), (24, 32))))
    heat, fields = mirror_back(*maps[1], skeleton)
    np.testing.assert_allclose(heat, maps[0][0], atol=1e-4)
    agree = np.isclose(fields, maps[0][1], atol=1e-4).mean()  # the fields' boxes leave out their last column (specs K11)
    assert agree > 0.98


def test_limbs_beyond_the_limit_lose_score():
    """Neck and hip are 100 pixels apart, hip and knee 40; of a limit of 48 pixels only the first limb falls short."""
    from posert import ops

    person = np.full((1, 1, 18, 3), (np.nan, np.nan, 0), np.float32)
    person[0, 0, [1, 8, 9]] = [(60.25, 40.25, 1), (60.25, 140.25, 1), (64.25, 180.25, 1)]
    heat = ops.rasterize_gaussians(person[0], (25, 15), 7.0, stride=8, cutoff=4.6052)
    fields = ops.rasterize_pafs(person - np.float32([3.5, 3.5, 0]), (25, 15))
    unmoved, sizes = np.eye(2, 3, dtype=np.float32)[None], np.array([[200, 120]])

    def score(limit):
        """The person's score, of three joints and two limbs shared among the joints: the least that is not too low."""
        least = np.arange(1, 2, 0.002)
        decodings = (Decoding(accepted_fraction=0.8, length_limit=limit, min_person_score=value) for value in least)
        return least[sum(len(decode(heat, fields, unmoved, sizes, 8, decoding)[0]) for decoding in decodings)]

    assert 1 < score(None) == score(0.55) < 1.9
    assert score(None) - score(0.24) == pytest.approx((1 - 48 / 100) / 3, abs=0.004)


def test_the_decoder_of_the_papers_code():
    """It finds whom the other one finds, in whole pixels, and wants short limbs proven too."""
    from posert import ops

    rng = np.random.default_rng(5)
    people = np.concatenate([crowds.joints(9, 9), crowds.joints(24, 12)]).reshape(2, 1, 18, 2) + rng.uniform(-1, 1, (2, 1, 18, 2))
    people = np.concatenate([people, np.ones((2, 1, 18, 1))], -1).astype(np.float32)
    heat = ops.rasterize_gaussians(people[:, 0], (24, 32), 7.0, stride=8, cutoff=4.6052).max(0, keepdims=True)
    fields = ops.rasterize_pafs(people[:, 0][None] - np.float32([3.5, 3.5, 0]), (24, 32))
    unmoved, sizes = np.eye(2, 3, dtype=np.float32)[None], np.array([[192, 256]])
    usual, published = (
        decode(heat, fields, unmoved, sizes, 8, Decoding(decoder, 0.1, 0.05, 0.8))[0] for decoder in ("openpose", "cvpr17")
    )
    assert usual.shape == published.shape == (2, 18, 3)
    assert (published[..., :2] == published[..., :2].round()).all()
    assert np.abs(np.sort(usual[..., :2], 0) - np.sort(published[..., :2], 0)).max() < 2
    person = np.full((1, 1, 18, 3), (np.nan, np.nan, 0), np.float32)
    person[0, 0, [1, 8, 9]] = [(60, 40, 1), (60, 140, 1), (61, 140, 1)]
    heat = ops.rasterize_gaussians(person[0], (25, 15), 7.0, stride=8, cutoff=4.6052)
    fields = ops.rasterize_pafs(person - np.float32([3.5, 3.5, 0]), (25, 15))
    fields[:, 2:4] = 0  # nothing says that hip and knee, a pixel from each other, belong together
    found = [
        (decode(heat, fields, unmoved, np.array([[200, 120]]), 8, Decoding(decoder, accepted_fraction=0.8))[0][..., 2] > 0).sum()
        for decoder in ("openpose", "cvpr17")
    ]
    assert found == [3, 0]


def test_separate_peaks():
    maps = np.zeros((1, 3, 20, 30), np.float32)
    maps[0, 0, [3, 3, 3, 12, 0, 19], [4, 9, 16, 4, 29, 0]] = (0.5, 0.9, 0.3, 0.2, 0.6, 0.7)
    maps[0, 1, 5:7, 5] = 0.8  # equal neighbours: neither is greater
    maps[0, 2] = np.nan
    peaks = separate_peaks(maps, 0.25, max_peaks=4)
    np.testing.assert_array_equal(peaks[0, 0], np.float32([[29, 0, 0.6], [4, 3, 0.5], [16, 3, 0.3], [0, 19, 0.7]]))
    assert np.isnan(peaks[0, 1:, :, :2]).all()
    assert not peaks[0, 1:, :, 2].any()
    np.testing.assert_array_equal(separate_peaks(maps, 0.25, max_peaks=2)[0, 0], peaks[0, 0, :2])
    assert separate_peaks(np.zeros((2, 0, 4, 4), np.float32), 0.1).shape == (2, 0, 127, 3)
    assert separate_peaks(np.zeros((1, 1, 0, 4), np.float32), 0.1, stride=8).shape == (1, 1, 127, 3)
    enlarged = separate_peaks(maps[:, :1], 0.4, stride=3)[0, 0, :, :2]
    assert [4 * 3 + 1, 3 * 3 + 1] in enlarged.tolist()


def test_decoding_nothing():
    people, image_index = decode(
        np.zeros((2, 18, 8, 8), np.float32),
        np.zeros((2, 38, 8, 8), np.float32),
        np.tile(np.eye(2, 3, dtype=np.float32), (2, 1, 1)),
        np.full((2, 2), 64),
        8,
        Decoding(),
    )
    assert people.shape == (0, 18, 3)
    assert image_index.dtype == np.int64


class TestDetector:
    """Models that look into boxes, told by others where people are."""

    def test_a_function(self, tiny_estimator_bundle):
        image = np.zeros((300, 400, 3), np.uint8)
        seen = []

        def detector(images):
            seen.append(images)
            return [np.array([[10, 20, 110, 160], [200, 0, 390, 250]]), np.zeros((0, 4))]

        with Estimator(tiny_estimator_bundle, detector=detector) as estimator, Estimator(tiny_estimator_bundle) as plain:
            poses = estimator.run([image, image])
            np.testing.assert_array_equal(poses.image_index, [0, 0])
            expected = plain.run([image, image], [[[10, 20, 110, 160], [200, 0, 390, 250]], []])
            np.testing.assert_array_equal(poses.keypoints, expected.keypoints)
            np.testing.assert_array_equal(poses.boxes, expected.boxes)
            assert list(estimator.stage_ms) == ["detect", "crop", "network", "decode"]
            estimator.run([image], [[0, 0, 50, 50]])  # boxes that are given count
            estimator.warmup([1])
        assert len(seen) == 1
        assert len(seen[0]) == 2

    def test_a_model_that_finds_everybody(self, tiny_estimator_bundle, tiny_crowd_bundle):
        with Estimator(tiny_estimator_bundle, detector=tiny_crowd_bundle) as estimator:
            poses = estimator.run([scene((8, 12), (22, 10)), scene()])
            estimator.warmup([2])
        np.testing.assert_array_equal(poses.image_index, [0, 0])
        assert poses.skeleton.name == "cpm14"
        for person, box in enumerate(poses.boxes):
            cell = ((8, 12), (22, 10))[int(poses.boxes[:, 0].argsort()[0] != person)]
            low, high = crowds.joints(*cell).min(0), crowds.joints(*cell).max(0)
            assert (box[:2] <= low + 1).all()
            assert (box[2:] >= high).all()
            assert (box[2:] - box[:2] < high - low + 12).all()

    @pytest.mark.parametrize(
        ("found", "match"),
        [
            (None, "the detector's boxes"),
            ([], "for each of the 1 images"),
            ([[0, 0, 10, 10]], r"\(n, 4\) array"),
            ([[[0, 0, 0, 10]]], "no area"),
            ([[[90, 90, 99, 99]]], "outside"),
            ([[[0, 0, np.nan, 10]]], "finite"),
        ],
    )
    def test_unusable_boxes(self, tiny_estimator_bundle, found, match):
        with (
            Estimator(tiny_estimator_bundle, detector=lambda images: found) as estimator,
            pytest.raises(InputError, match=match),
        ):
            estimator.run(np.zeros((1, 40, 30, 3), np.uint8))

    def test_unusable_detectors(self, tiny_estimator_bundle, tiny_crowd_bundle):
        with pytest.raises(InputError, match="needs boxes itself"):
            Estimator(tiny_estimator_bundle, detector=str(tiny_estimator_bundle))
        with pytest.raises(InputError, match="a function or the name of a model"):
            Estimator(tiny_estimator_bundle, detector=3)
        with pytest.raises(InputError, match="leave the detector out"):
            Estimator(tiny_crowd_bundle, detector=lambda images: [])
        with pytest.raises(InputError, match="leave rotation_test out"):
            Estimator(tiny_crowd_bundle, rotation_test=True)


@pytest.mark.parametrize(
    ("keys", "value", "match"),
    [
        (("skeleton",), "coco17", "coco18"),
        (("postprocess", "threshold"), 0, "threshold"),
        (("postprocess", "accepted_fraction"), 1.5, "accepted_fraction"),
        (("postprocess", "length_limit"), 0, "length_limit"),
        (("postprocess", "decoder"), "hungarian", "decoder"),
        (("postprocess", "min_joints"), 0, "min_joints"),
        (("postprocess", "method"), "argmax", "method"),
        (("networks", 0, "outputs", 1, "shape"), ["N", 36, 24, 32], "pafs"),
        (("networks", 0, "outputs", 1, "name"), "fields", "pafs"),
    ],
)
def test_manifests_that_do_not_fit(tiny_crowd_bundle, keys, value, match):
    from posert.bundle import Bundle
    from posert.errors import BundleError
    from posert.manifest import Manifest

    document = Bundle.open(tiny_crowd_bundle).manifest.document()
    assert Manifest.of(document).postprocess.decoding == Decoding(threshold=0.1, accepted_fraction=0.8)
    published = {**document, "postprocess": {"stride": 8, "decoder": "cvpr17", "length_limit": 0.7}}
    expected = Decoding("cvpr17", 0.1, 0.05, 0.8, 0.7, 3, 0.2)
    assert Manifest.of(published).postprocess.decoding == expected
    part = document
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    with pytest.raises(BundleError, match=match):
        Manifest.of(document)


def test_the_fields_of_a_manifest_are_those_of_the_limbs():
    from posert import manifest, ops

    assert 2 * len(ops.PAF_LIMBS) == manifest._PAF_CHANNELS
