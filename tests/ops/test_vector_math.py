"""The kernels' own exp and log are as accurate as their header says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "csrc"


@pytest.mark.skipif(sys.platform == "win32", reason="calls a compiler the Unix way")
def test_stated_errors(tmp_path: Path):
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    program = tmp_path / "vector_math_test"
    source = Path(__file__).with_name("vector_math_test.cpp")
    command = [compiler, "-std=c++20", "-O2", "-ffp-contract=off", f"-I{SOURCES}", str(source), "-o", str(program)]
    subprocess.run(command, check=True, timeout=120)
    result = subprocess.run([str(program)], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
