"""What a case is, and how it is called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from posert import ops

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One call of an operation, on inputs that a seed decides.

    Attributes:
        op: name in `posert.ops`.
        name: what is special about it.
        make: random generator -> positional and keyword arguments.
        tolerance: largest absolute difference between a backend and the reference (specs R-5); 0 means the same bytes.
    """

    op: str
    name: str
    make: Callable[[np.random.Generator], Arguments]
    tolerance: float = field(default=0.0)

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def arguments(self, seed: int = 0) -> Arguments:
        return self.make(np.random.default_rng([seed, *self.name.encode()]))


def call(case: Case, arguments: Arguments, **more: Any) -> tuple[np.ndarray, ...]:
    """The results of a call, always as a tuple."""
    positional, named = arguments
    result = getattr(ops, case.op)(*positional, **named, **more)
    return result if isinstance(result, tuple) else (result,)
