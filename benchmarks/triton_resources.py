"""Compile every Triton kernel ahead of time, without a GPU, and read what it needs from the compiled code.

python benchmarks/triton_resources.py                  # a table of registers, shared memory and spills, as in docs/triton.md
python benchmarks/triton_resources.py --capability 90 --only warp_parts

What is compiled is what runs: the operations are called with the cases of the tests, and each launch is noted instead of made.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from posert.ops import _dispatch, _triton

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from backends import of_every_kind
from cases import CASES, Case, call

CAPABILITIES = (80, 86, 89, 90, 100, 120)
TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"


@dataclass(frozen=True)
class Launch:
    """One way in which a kernel is compiled: what Triton's own launcher would specialise it for.

    Attributes:
        op: operation.
        kernel: the `triton.jit` function.
        signature: type of each argument.
        constants: values of those that are constants, by position in the signature.
        aligned: positions of arguments that 16 divides.
        options: compiler options, such as the number of warps.
    """

    op: str
    kernel: Any
    signature: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, Any], ...]
    aligned: tuple[int, ...]
    options: tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Resources:
    """What one program of a compiled kernel takes.

    Attributes:
        registers: 32-bit registers a thread.
        shared_bytes: shared memory.
        spilled_bytes: local memory a thread, into which registers that do not fit are spilled.
    """

    registers: int
    shared_bytes: int
    spilled_bytes: int


def launches(cases: Iterable[Case], capability: int) -> list[Launch]:
    """Every different launch of some cases on a GPU of a compute capability, in order, with maps of float32 and of float16."""
    found: dict[Launch, None] = {}
    for case in cases:
        if case.op in _dispatch.NO_TRITON:
            continue
        for half in (False, True):
            with noting(case.op, capability, half, found):
                call(case, case.arguments(), backend="triton")
    return list(found)


@contextlib.contextmanager
def noting(op: str, capability: int, half: bool, found: dict[Launch, None]) -> Iterator[None]:
    """Note the launches of an operation instead of making them."""
    moved = _triton.moved

    def note(kernel: Any, grid: tuple[int, ...], arguments: tuple[Any, ...], **options: Any) -> None:
        if 0 not in grid:
            found[described(op, kernel, arguments, options)] = None

    def moved_or_halved(argument: Any, device: Any) -> Any:
        result = moved(argument, device)
        # Pictures and maps may be float16; keypoints and matrices, whose rows have three numbers, are not.
        halved = half and isinstance(result, torch.Tensor) and result.dtype == torch.float32
        return result.half() if halved and result.ndim >= 4 and result.shape[-1] > 3 else result

    replaced = {
        "launch": note,
        "moved": moved_or_halved,
        "problem": lambda: None,
        "interpreting": lambda: True,
        "capability": lambda device: capability,
    }
    with contextlib.ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(mock.patch.object(_triton, name, value))
        _dispatch.find_implementation.cache_clear()
        stack.callback(_dispatch.find_implementation.cache_clear)
        yield


def described(op: str, kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Launch:
    """A launch as Triton's launcher sees it: the integer 1 becomes a constant, and it notes what 16 divides."""
    settings = {name: value for name, value in options.items() if name in ("num_warps", "num_stages", "maxnreg")}
    values = dict(zip(kernel.arg_names, arguments, strict=False))
    values |= {name: value for name, value in options.items() if name not in settings}
    missing = set(kernel.arg_names) ^ values.keys()
    assert not missing, f"{op}: arguments {missing} of {kernel.__name__}"
    names = list(kernel.arg_names)
    types = {name: argument_type(values[name], kernel.params[at].is_constexpr) for at, name in enumerate(names)}
    constants = tuple((name, values[name]) for name in names if types[name] == "constexpr")
    aligned = tuple(
        at
        for at, name in enumerate(names)
        if isinstance(values[name], torch.Tensor) or (types[name] in ("i32", "i64") and values[name] % 16 == 0)
    )
    return Launch(op, kernel, tuple(types.items()), constants, aligned, tuple(settings.items()))


def argument_type(value: Any, constant: bool) -> str:
    """The type that Triton compiles an argument for."""
    if constant or value is None or (isinstance(value, int) and not isinstance(value, bool) and value == 1):
        return "constexpr"
    if isinstance(value, torch.Tensor):
        names = {"float32": "fp32", "float16": "fp16", "float64": "fp64", "uint8": "u8", "bool": "i1"}
        name = str(value.dtype).removeprefix("torch.")
        return "*" + names.get(name, name.replace("int", "i"))
    if isinstance(value, bool):
        return "u1"
    if isinstance(value, int):
        return "i32" if -(2**31) <= value < 2**31 else "i64"
    return "fp32"


def compiled(launch: Launch, capability: int) -> Resources:
    """Compile a launch for a compute capability and read the result."""
    source = ASTSource(
        launch.kernel,
        signature=dict(launch.signature),
        constexprs=dict(launch.constants),
        attrs={(at,): [["tt.divisibility", 16]] for at in launch.aligned},
    )
    options = {**dict(launch.options), "enable_fp_fusion": False}
    result = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(result.asm["cubin"])
        usage = subprocess.run([TOOLS / "cuobjdump", "-res-usage", path], capture_output=True, text=True, check=True).stdout
    registers, stack, local = (int(re.search(rf"{name}:(\d+)", usage)[1]) for name in ("REG", "STACK", "LOCAL"))
    return Resources(registers, result.metadata.shared, max(stack, local))


def table(cases: list[Case], capabilities: Sequence[int]) -> list[str]:
    """Rows of markdown: for each kernel and architecture the most that any of its variants takes."""
    rows: dict[tuple[str, str], dict[int, list[Resources]]] = {}
    for capability in capabilities:
        for launch in launches(cases, capability):
            key = (launch.op, launch.kernel.__name__.strip("_"))
            rows.setdefault(key, {}).setdefault(capability, []).append(compiled(launch, capability))
    lines = [
        "| operation | kernel | variants | "
        + " | ".join(f"sm_{capability}" for capability in capabilities)
        + " | spilled bytes |",
        "|---|---|---:|" + "---|" * len(list(capabilities)) + "---:|",
    ]
    for (op, kernel), found in rows.items():
        cells = [f"{max(r.registers for r in kinds)} / {max(r.shared_bytes for r in kinds)}" for kinds in found.values()]
        spilled = max(r.spilled_bytes for kinds in found.values() for r in kinds)
        variants = max(map(len, found.values()))
        lines.append(f"| {op} | {kernel} | {variants} | {' | '.join(cells)} | {spilled} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="registers and shared memory of every Triton kernel, as a markdown table")
    parser.add_argument("--capability", type=int, action="append", help="80 for sm_80 and so on; all six if left out")
    parser.add_argument("--only", help="one operation")
    arguments = parser.parse_args()
    cases = [case for case in of_every_kind(CASES, 5) if arguments.only in (None, case.op)]
    print(f"Triton {triton.__version__}. Registers a thread / bytes of shared memory a program, the most of all variants.\n")
    print("\n".join(table(cases, arguments.capability or CAPABILITIES)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
