"""The backends that tests of operations run with, as pytest parameters."""

import os

import pytest

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether this process has Triton's kernels run in its interpreter on the CPU: then they alone are tested."""

_TRITON = pytest.param("triton", marks=[] if INTERPRETED else pytest.mark.gpu)
COMPILED = [_TRITON] if INTERPRETED else ["native", _TRITON]
"""What is compared with the reference."""

ALL = COMPILED if INTERPRETED else [*COMPILED, "reference"]
