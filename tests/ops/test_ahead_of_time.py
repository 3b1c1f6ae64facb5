"""Every Triton kernel compiles for every supported architecture without a GPU, and no variant spills registers."""

import backends
import pytest
from cases import CASES

from posert.ops._dispatch import NO_TRITON, OPERATIONS

pytest.importorskip("torch", reason="launches are noted with torch tensors; pip install posert[gpu]")
pytest.importorskip("triton", reason="the compiler is Triton's; pip install posert[gpu]")
if backends.INTERPRETED:
    pytest.skip("the interpreter is on, so nothing is compiled", allow_module_level=True)

import triton_resources


@pytest.mark.parametrize("capability", triton_resources.CAPABILITIES)
@pytest.mark.parametrize("op", [op for op in OPERATIONS if op not in NO_TRITON])
def test_compiles_without_spilling(op: str, capability: int):
    launches = triton_resources.launches(backends.of_every_kind([case for case in CASES if case.op == op], 5), capability)
    assert launches
    for launch in launches:
        needs = triton_resources.compiled(launch, capability)
        assert needs.spilled_bytes == 0, (launch, needs)
        assert 0 < needs.registers <= 255
