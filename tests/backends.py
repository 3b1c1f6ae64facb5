"""The backends that tests of operations run with, as pytest parameters."""

import os
from typing import Any

import pytest

from posert.ops._dispatch import NO_TRITON

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Whether this process has Triton's kernels run in its interpreter on the CPU: then they alone are tested."""

_TRITON = pytest.param("triton", marks=[] if INTERPRETED else pytest.mark.gpu)
COMPILED = [_TRITON] if INTERPRETED else ["native", _TRITON]
"""What is compared with the reference."""

ALL: list[Any] = COMPILED if INTERPRETED else [*COMPILED, "reference"]


def having(*operations: str) -> list[Any]:
    """`ALL`, without Triton where one of the operations has no kernel for it."""
    return [backend for backend in ALL if backend is not _TRITON or not any(name in NO_TRITON for name in operations)]
