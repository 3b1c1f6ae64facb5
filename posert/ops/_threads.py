"""How many threads the native kernels use."""

from __future__ import annotations

from types import ModuleType

from posert.errors import MissingDependency
from posert.ops import _check
from posert.ops._dispatch import native_module

MAX_THREADS = 1024


def set_num_threads(count: int) -> None:
    """Set how many threads each call of a native kernel may use, for the whole process.

    Results do not depend on it. No thread is started before a kernel has work for it.

    Args:
        count: 1..1024.

    Raises:
        InputError: `count` is not an integer in that range.
        MissingDependency: the compiled kernels cannot be loaded.
    """
    _native().set_num_threads(_check.integer(count, "count", 1, MAX_THREADS))


def get_num_threads() -> int:
    """How many threads each call of a native kernel may use.

    Until `set_num_threads` is called: the CPUs that this process may run on, or its cgroup's CPU quota rounded up, whichever is
    less, as they are when the number is first asked for (here or by a kernel); later changes of affinity or quota do not count.

    Raises:
        MissingDependency: the compiled kernels cannot be loaded.
    """
    count: int = _native().get_num_threads()
    return count


def _native() -> ModuleType:
    native = native_module()
    if isinstance(native, str):
        raise MissingDependency(native)
    return native
