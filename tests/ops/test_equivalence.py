"""Every backend gives what the reference gives, within the tolerances of specs R-5."""

import backends
import numpy as np
import pytest
from cases import CASES, Case, call

from posert import ops
from posert.ops._dispatch import OPERATIONS

# The cases called "many" are there for the threads of the native kernels, and take the interpreter long.
TRIED = [case for case in CASES if not (backends.INTERPRETED and case.name.endswith("many"))]


def test_the_table_holds_every_operation():
    assert {case.op for case in CASES} == set(OPERATIONS)
    assert set(OPERATIONS) < set(ops.__all__)


@pytest.mark.parametrize("seed", range(1 if backends.INTERPRETED else 3))
@pytest.mark.parametrize("backend", backends.COMPILED)
@pytest.mark.parametrize("case", TRIED, ids=str)
def test_backend_equals_reference(case: Case, backend: str, seed: int):
    arguments = case.arguments(seed)
    for given, wanted in zip(call(case, arguments, backend=backend), call(case, arguments, backend="reference"), strict=True):
        assert given.dtype == wanted.dtype
        assert given.shape == wanted.shape
        if case.tolerance == 0:
            np.testing.assert_array_equal(given, wanted)
        else:
            np.testing.assert_allclose(given, wanted, rtol=0, atol=case.tolerance, equal_nan=True)


def test_gaussian_support_is_exact():
    for seed in range(20):
        case = next(case for case in CASES if str(case) == "rasterize_gaussians-K9")
        native, reference = (call(case, case.arguments(seed), backend=backend)[0] for backend in ("native", "reference"))
        np.testing.assert_array_equal(native > 0, reference > 0)


def test_upsampled_peaks_are_exact_on_noise():
    """Ties and near ties fall alike, because both sum the same taps in the same order."""
    rng = np.random.default_rng(3)
    for stride in (2, 5, 8):
        for quantum in (0.001, 0.25, 0.5):
            maps = (np.round(rng.uniform(0, 1, (8, 8, 11, 13)) / quantum) * quantum).astype(np.float32)
            native = ops.decode_heatmaps(maps, "upsampled", stride=stride, backend="native")
            np.testing.assert_array_equal(native, ops.decode_heatmaps(maps, "upsampled", stride=stride, backend="reference"))
