"""The backends that tests of operations run with, as pytest parameters."""

import os
from typing import Any

import pytest
from cases import Case

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


def for_the_layout_of_memory(cases: list[Case]) -> list[Case]:
    """The cases that tests of memory and of tensors run with: in the interpreter, which is slow, two an operation.

    Equivalence tests run with all but those called "many", which are there for the threads of the native kernels.
    """
    if not INTERPRETED:
        return cases
    return of_every_kind(cases, 2)


def of_every_kind(cases: list[Case], most: int) -> list[Case]:
    """The first case of each kind, which is what its name begins with; of every operation `most` at most, none called "many"."""
    chosen: dict[tuple[str, str], Case] = {}
    for case in cases:
        kind = case.name.partition("-")[0]
        if kind != "many" and not case.name.endswith("-many") and sum(op == case.op for op, _ in chosen) < most:
            chosen.setdefault((case.op, kind), case)
    return list(chosen.values())
