"""What must hold for body parts and layers, whatever the numbers are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from posert import ops

sides = st.integers(1, 70)
seeds = st.integers(0, 2**32 - 1)
coordinates = st.floats(width=32, allow_nan=True, allow_infinity=False)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
poses = st.lists(st.tuples(coordinates, coordinates, st.floats(0, 1, width=32)), min_size=14, max_size=14)
BACKENDS = ("native", "reference")


def pose(rng: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    points = np.ones((count, 14, 3), np.float32)
    points[..., :2] = rng.uniform(low, high, (count, 14, 2))
    return points


@given(poses, sides, sides)
def test_any_finite_keypoints_are_safe(points: list[tuple[float, float, float]], height: int, width: int):
    keypoints = np.array([points], np.float32)
    logits = np.random.default_rng(0).normal(0, 3, (1, 11, height, width)).astype(np.float32)
    for backend in BACKENDS:
        priors = ops.limb_priors(keypoints, (height, width), backend=backend)
        assert ((priors >= -23.02586) & (priors <= 1e-6)).all()
        masks = ops.part_masks(logits, keypoints, backend=backend)
        assert ((masks >= 0) & (masks <= 1 + 1e-6)).all()
        np.testing.assert_allclose(masks.sum(1), 1, atol=2e-6)
        matrices = ops.part_transforms(keypoints, keypoints[:, ::-1], backend=backend)
        assert np.isfinite(matrices).all()
        layers = ops.warp_parts(logits[:, :3].clip(-1, 1), masks, matrices, backend=backend)
        assert (np.abs(layers) <= 1 + 1e-5).all()


@given(seeds, st.integers(1, 60), st.integers(1, 60))
def test_priors_are_the_masks_of_no_logits(seed: int, height: int, width: int):
    keypoints = pose(np.random.default_rng(seed), 2, -20, 80)
    keypoints[1, 3] = (np.nan, np.nan, 0)
    priors = ops.limb_priors(keypoints, (height, width)).astype(np.float64)
    masks = ops.part_masks(np.zeros((2, 11, height, width), np.float32), keypoints)
    weights = np.exp(priors)
    np.testing.assert_allclose(masks, weights / weights.sum(1, keepdims=True), rtol=0, atol=5e-6)
    assert (priors[1, [2, 3]] == np.float32(np.log(1e-10))).all()
    largest = (weights[:, 1:] - 1e-10).max(1)
    np.testing.assert_allclose(weights[:, 0], 1 - largest, rtol=0, atol=2e-6)


@given(seeds, st.integers(-9, 9), st.integers(-9, 9))
def test_priors_shift_with_their_keypoints(seed: int, dx: int, dy: int):
    # In eighths of a pixel, and with both frames around all limbs: the largest value of a part is then the same in both.
    keypoints = np.ones((1, 14, 3), np.float32)
    keypoints[..., :2] = np.random.default_rng(seed).integers(160, 400, (1, 14, 2)) / 8
    before = ops.limb_priors(keypoints, (70, 70))
    after = ops.limb_priors(keypoints + np.array([dx, dy, 0], np.float32), (70, 70))
    moved = after[..., 9 + dy : 61 + dy, 9 + dx : 61 + dx]
    # Logarithms where there is something, values elsewhere: the background may come close to 0.
    np.testing.assert_allclose(np.exp(moved), np.exp(before[..., 9:61, 9:61]), rtol=0, atol=2e-6)
    np.testing.assert_allclose(moved[:, 1:], before[:, 1:, 9:61, 9:61], rtol=0, atol=2e-5)


@given(seeds)
def test_transforms_take_target_joints_to_source_joints(seed: int):
    rng = np.random.default_rng(seed)
    target, source = pose(rng, 3, 0, 256), pose(rng, 3, 0, 256)
    matrices = ops.part_transforms(target, source).astype(np.float64)
    for part, joints in enumerate(ops.UNSEEN_PARTS, start=1):
        chosen = list(joints)
        points = np.concatenate([target[:, chosen, :2], np.ones((3, len(chosen), 1))], -1)
        found = np.einsum("nij,nkj->nki", matrices[:, part], points)
        if len(chosen) == 2:
            scale = 1 + np.abs(matrices[:, part]).max((1, 2))[:, None, None]
            assert (np.abs(found - source[:, chosen, :2]) <= 1e-4 * scale).all()
        else:  # least squares: the middle is met
            np.testing.assert_allclose(found.mean(1), source[:, chosen, :2].mean(1), atol=1e-3)
    np.testing.assert_array_equal(matrices[:, 0], np.broadcast_to(np.eye(2, 3), (3, 2, 3)))


def test_transforms_of_special_parts():
    target, source = pose(np.random.default_rng(0), 1, 0, 256), pose(np.random.default_rng(1), 1, 0, 256)
    target[0, 1] = target[0, 0]  # the head has no length
    source[0, 4] = (np.nan, np.nan, 0)  # the right lower arm is missing
    target[0, 5, 2] = 0  # and so are the left shoulder and with it the torso
    matrices = ops.part_transforms(target, source)[0]
    shift = source[0, :2, :2].mean(0) - target[0, 0, :2]
    np.testing.assert_allclose(matrices[1], [[1, 0, shift[0]], [0, 1, shift[1]]], atol=1e-4)
    for part in (0, 3, 4, 10):
        np.testing.assert_array_equal(matrices[part], np.eye(2, 3))


def test_transforms_recover_a_similarity():
    source = pose(np.random.default_rng(1), 2, 0, 256)
    target = source[..., [1, 0, 2]] * np.array([2, -2, 1], np.float32) + np.array([10, 300, 0], np.float32)
    expected = np.array([[0, -0.5, 150], [0.5, 0, -5]])  # a quarter turn back, half the size
    np.testing.assert_allclose(ops.part_transforms(target, source)[:, 1:], np.broadcast_to(expected, (2, 10, 2, 3)), atol=1e-3)


def layers_of(seed: int, channels: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = rng.uniform(-1, 1, (2, channels, height, width)).astype(np.float32)
    masks = rng.random((2, 3, height, width)).astype(np.float32)
    masks[:, 1] *= rng.random((2, height, width)) < 0.05
    masks[0, 2] = 0
    return image, masks


@given(seeds, st.integers(1, 6), sides, sides)
def test_warp_by_the_identity_masks(seed: int, channels: int, height: int, width: int):
    image, masks = layers_of(seed, channels, height, width)
    identity = np.broadcast_to(np.eye(2, 3), (2, 3, 2, 3))
    almost = identity.copy()
    almost[..., 0, 1] = 1e-30  # too little to move anything, but no longer a special case
    for backend in BACKENDS:
        for matrices in (identity, almost):
            layers = ops.warp_parts(image, masks, matrices, visible_above=0, backend=backend)
            np.testing.assert_array_equal(layers, masks[:, :, None] * image[:, None])


@given(seeds, sides, sides, st.integers(-75, 75), st.integers(-75, 75))
def test_warp_by_whole_pixels_shifts(seed: int, height: int, width: int, dx: int, dy: int):
    image, masks = layers_of(seed, 3, height, width)
    matrices = np.broadcast_to(np.array([[1, 0, dx], [0, 1, dy]]), (2, 3, 2, 3))
    layers = ops.warp_parts(image, masks, matrices, visible_above=0)
    rows, columns = np.arange(height) + dy, np.arange(width) + dx

    def shown(at: np.ndarray, side: int) -> np.ndarray:
        """Beyond the frame the second outermost pixel."""
        return np.where(at < 0, min(1, side - 1), np.where(at >= side, max(side - 2, 0), at))

    expected = (masks[:, :, None] * image[:, None])[..., shown(rows, height)[:, None], shown(columns, width)]
    np.testing.assert_array_equal(layers, expected)


@given(seeds, st.lists(finite, min_size=6, max_size=6), sides, sides)
def test_any_finite_transform_is_safe(seed: int, numbers: list[float], height: int, width: int):
    image, masks = layers_of(seed, 3, height, width)
    matrices = np.broadcast_to(np.array(numbers, np.float32).reshape(2, 3), (2, 3, 2, 3))
    results = [ops.warp_parts(image, masks, matrices, backend=backend) for backend in BACKENDS]
    np.testing.assert_allclose(*results, rtol=0, atol=1e-5)


@given(seeds, st.floats(-4, 4), st.floats(-4, 4), st.floats(-90, 90), st.floats(-90, 90), sides, sides)
def test_a_warp_skips_nothing_that_is_visible(
    seed: int, a: float, b: float, shift_x: float, shift_y: float, height: int, width: int
):
    image, masks = layers_of(seed, 3, height, width)
    masks[0, 0] *= np.random.default_rng(seed).random((height, width)) < 0.01
    matrices = np.broadcast_to(np.array([[a, -b, shift_x], [b, a, shift_y]]), (2, 3, 2, 3))
    results = [ops.warp_parts(image, masks, matrices, backend=backend) for backend in BACKENDS]
    np.testing.assert_allclose(*results, rtol=0, atol=1e-5)


@given(seeds, sides, sides, st.booleans())
def test_composite_of_hard_masks_copies(seed: int, height: int, width: int, reverse: bool):
    rng = np.random.default_rng(seed)
    foreground, background = rng.uniform(-1, 1, (2, 2, 3, height, width)).astype(np.float32)
    mask = rng.integers(0, 2, (2, 1, height, width)).astype(np.float32)
    channels = "bgr" if reverse else "rgb"
    expected = np.where(mask == 1, foreground, background)[:, :: -1 if reverse else 1]
    np.testing.assert_array_equal(ops.composite(foreground, background, mask, channels=channels), expected)
    levels = ops.composite(foreground, background, mask, channels=channels, as_uint8=True)
    np.testing.assert_array_equal(levels, ops.to_uint8(np.ascontiguousarray(expected)))


@given(seeds, sides, sides)
def test_composite_in_one_pass_equals_two(seed: int, height: int, width: int):
    rng = np.random.default_rng(seed)
    foreground, background = rng.uniform(-1.2, 1.2, (2, 2, 3, height, width)).astype(np.float32)
    mask = rng.random((2, 1, height, width)).astype(np.float32)
    levels = ops.composite(foreground, background, mask, as_uint8=True)
    np.testing.assert_array_equal(levels, ops.to_uint8(ops.composite(foreground, background, mask)))
