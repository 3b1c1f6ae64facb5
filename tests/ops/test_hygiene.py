"""No operation reads or writes outside its arrays, keeps anything between calls, or depends on how its arrays lie in memory."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import backends
import numpy as np
import pytest
from cases import CASES, Arguments, Case, call

from posert import ops
from posert.errors import InputError

GUARD = 192

pytestmark = pytest.mark.parametrize("case", backends.for_the_layout_of_memory(CASES), ids=str)
with_backend = pytest.mark.parametrize("backend", backends.ALL)


def poisoned(shape: tuple[int, ...], dtype: np.dtype, poison: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Memory full of `poison`, an `out` in it with gaps between the items, and which bytes of the memory are not in `out`."""
    item = int(np.prod(shape[1:])) * dtype.itemsize
    step = item + GUARD
    memory = np.full(GUARD + max(shape[0], 1) * step, poison, np.uint8)
    inner = np.ndarray(shape[1:], dtype).strides
    out = np.ndarray(shape, dtype, memory, GUARD, (step, *inner))
    outside = np.ones(len(memory), bool)
    for index in range(shape[0]):
        outside[GUARD + index * step : GUARD + index * step + item] = False
    return memory, out, outside


def same(first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...]) -> bool:
    return all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


@with_backend
@pytest.mark.parametrize("poison", [0xCD] if backends.INTERPRETED else [0xCD, 0xFF])
def test_writes_all_of_out_and_nothing_else(case: Case, backend: str, poison: int):
    wanted = call(case, case.arguments(), backend=backend)
    memory, out, outside = poisoned(wanted[0].shape, wanted[0].dtype, poison)
    given = call(case, case.arguments(), backend=backend, out=out)
    assert given[0] is out
    assert same(given, wanted)
    assert (memory[outside] == poison).all()


def strange(value: Any) -> Any:
    """The same array, lying backwards with gaps in memory, read-only."""
    if isinstance(value, list):
        return [strange(item) for item in value]
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value
    wide = np.zeros(tuple(2 * length for length in value.shape), value.dtype)
    view = wide[(slice(None, None, -2),) * value.ndim]
    view[...] = value
    view.flags.writeable = False
    return view


def misaligned(value: Any) -> Any:
    """The same array, packed, at an odd address."""
    if isinstance(value, list):
        return [misaligned(item) for item in value]
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value
    memory = np.zeros(value.nbytes + 2, np.uint8)
    view = np.ndarray(value.shape, value.dtype, memory, 1 - memory.ctypes.data % 2)
    view[...] = value
    assert view.flags.aligned == (value.itemsize == 1 or value.size == 0)
    return view


@with_backend
@pytest.mark.parametrize("change", [strange] if backends.INTERPRETED else [strange, misaligned])
def test_layout_of_inputs_does_not_matter(case: Case, backend: str, change: Callable[[Any], Any]):
    positional, named = case.arguments()
    changed = (tuple(change(value) for value in positional), {name: change(value) for name, value in named.items()})
    assert same(call(case, changed, backend=backend), call(case, (positional, named), backend=backend))


@with_backend
def test_leaves_inputs_alone_and_repeats_itself(case: Case, backend: str):
    arguments = case.arguments()
    first = call(case, arguments, backend=backend)
    assert same(call(case, arguments, backend=backend), first)
    assert same(call(case, case.arguments(), backend=backend), first)


def test_number_of_threads_does_not_matter(case: Case):
    before = ops.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            ops.set_num_threads(threads)
            results.append(call(case, case.arguments(7), backend="native"))
    finally:
        ops.set_num_threads(before)
    assert all(same(result, results[0]) for result in results)


def test_calls_from_several_threads_at_once(case: Case):
    wanted = call(case, case.arguments(), backend="native")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: call(case, case.arguments(), backend="native"), range(8)))
    assert all(same(result, wanted) for result in results)


def test_out_must_fit(case: Case):
    wanted = call(case, case.arguments(), backend="reference")[0]
    other = np.float64 if wanted.dtype != np.float64 else np.float32
    locked = np.empty_like(wanted)
    locked.flags.writeable = False
    for out in (np.empty(wanted.shape, other), np.empty((*wanted.shape, 1), wanted.dtype), locked, wanted.tolist(), "out"):
        with pytest.raises(InputError, match="out must be a writable"):
            call(case, case.arguments(), out=out)
    if wanted.size and wanted.shape[-1] > 1:
        spread = np.empty((*wanted.shape[:-1], 2 * wanted.shape[-1]), wanted.dtype)[..., ::2]
        with pytest.raises(InputError, match="out must be aligned and packed"):
            call(case, case.arguments(), out=spread)


def with_other_arrays(arguments: Arguments) -> Iterator[tuple[np.ndarray, Callable[[np.ndarray], Arguments]]]:
    """Each array among the arguments, also those in lists, and what makes the arguments with another array in its place."""
    positional, named = arguments
    values = [*positional, *named.values()]

    def rebuilt(position: int, value: Any) -> Arguments:
        changed = [*values[:position], value, *values[position + 1 :]]
        return tuple(changed[: len(positional)]), dict(zip(named, changed[len(positional) :], strict=True))

    for position, value in enumerate(values):
        if isinstance(value, np.ndarray):
            yield value, lambda other, at=position: rebuilt(at, other)
        for item, array in enumerate(value) if isinstance(value, list) else ():
            if isinstance(array, np.ndarray):
                before, after = value[:item], value[item + 1 :]
                yield array, lambda other, at=position, head=before, tail=after: rebuilt(at, [*head, other, *tail])


def test_out_may_not_share_memory_with_an_input(case: Case):
    arguments = case.arguments()
    wanted = call(case, arguments, backend="reference")[0]
    if not wanted.size:
        pytest.skip("needs a result")
    for array, replaced in with_other_arrays(arguments):
        if array.nbytes == 0:
            continue
        memory = np.zeros(array.nbytes + wanted.nbytes, np.uint8)
        source = np.ndarray(array.shape, array.dtype, memory)
        source[...] = array
        start = array.nbytes // 2 // wanted.itemsize * wanted.itemsize  # in the middle of the input
        out = np.ndarray(wanted.shape, wanted.dtype, memory, start)
        with pytest.raises(InputError, match="shares memory"):
            call(case, replaced(source), out=out)
        np.testing.assert_array_equal(source, array)
