"""Golden values of specs R-11 for body parts and layers."""

import backends
import numpy as np
import pytest

from posert import ops

_S = [(128, 40), (128, 70), (108, 74), (96, 104), (90, 134), (148, 74), (160, 104), (166, 134)]
_S += [(114, 140), (112, 180), (110, 220), (142, 140), (144, 180), (146, 220)]
_T = {**dict(enumerate(_S)), 0: (132, 42), 3: (80, 90), 4: (66, 62), 6: (170, 98), 9: (100, 176), 10: (84, 210)}
POSE_S, POSE_T = (np.array([[(*point, 1) for point in pose]], np.float32) for pose in (_S, _T.values()))


@pytest.mark.parametrize("backend", backends.having("limb_priors"))
def test_limb_priors(backend: str):
    priors = ops.limb_priors(POSE_S, (256, 256), backend=backend)[0]
    upper = [-1.76626, -6.23224, -0.18750, -0.18750, -14.63247, -16.89389]
    lower = [-3.03457, -5.84754, -9.64077, -12.57341, -3.03114]
    np.testing.assert_allclose(priors[:, 104, 96], upper + lower, rtol=0, atol=1.5e-5)
    sums = (np.exp(priors.astype(np.float64)) - 1e-10).sum((1, 2))
    arms = [1673.110, 1823.093, 1726.490, 1823.093, 1726.490]
    legs = [2256.196, 2159.204, 2256.196, 2159.204, 4287.455]
    np.testing.assert_allclose(sums, [53691.655, *arms, *legs], rtol=0, atol=2e-3)


@pytest.mark.parametrize("backend", backends.having("part_transforms"))
def test_part_transforms(backend: str):
    matrices = ops.part_transforms(POSE_T, POSE_S, backend=backend)[0]
    arm = [[0.784615, 0.623077, -22.846154], [-0.623077, 0.784615, 83.230769]]
    forearm = [[-0.771429, 0.6, 103.714286], [-0.6, -0.771429, 221.428571]]
    for part, wanted in ((0, np.eye(2, 3)), (2, arm), (3, forearm), (10, np.eye(2, 3))):
        np.testing.assert_allclose(matrices[part], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", backends.having("part_masks", "warp_parts"))
def test_warped_parts(backend: str):
    masks = ops.part_masks(np.zeros((1, 11, 256, 256), np.float32), POSE_S, backend=backend)
    assert masks[0, 0].sum(dtype=np.float64) == pytest.approx(51472.139, abs=1e-3)
    y, x = np.mgrid[:256, :256]
    image = np.stack([np.sin(0.05 * x + 0.07 * y + c) for c in range(3)])[None].astype(np.float32)
    matrices = ops.part_transforms(POSE_T, POSE_S, backend=backend)
    layers = ops.warp_parts(image, masks, matrices, visible_above=0, backend=backend)[0, 1:].astype(np.float64)
    assert layers.sum() == pytest.approx(-503.8731, abs=1e-3)
    assert np.abs(layers).sum() == pytest.approx(27417.119, abs=1e-3)
    np.testing.assert_allclose(layers[1, :, 97, 90], [0.019986, 0.247687, 0.247666], rtol=0, atol=2e-6)
    np.testing.assert_allclose(layers[9, :, 107, 128], [0.664108, 0.499826, -0.123994], rtol=0, atol=2e-6)
