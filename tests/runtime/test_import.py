"""`import posert` is light: NumPy alone, and quick."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import posert

HEAVY = ["torch", "onnxruntime", "cv2", "onnx", "typer", "rich", "triton", "tensorrt", "posert._native", "posert.engine"]


def in_fresh_process(code: str) -> str:
    return subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_needs_numpy_alone():
    code = f"import json, sys, posert; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    assert json.loads(in_fresh_process(code)) == []


def test_types_need_numpy_alone():
    code = "import posert, numpy as np; posert.Poses(np.zeros((1, 18, 3))); posert.Skeleton; posert.Bundle; posert.InputError;"
    code += f"import json, sys; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    assert json.loads(in_fresh_process(code)) == []


def test_import_takes_less_than_a_quarter_of_a_second():
    """Of a processor's time, at best: what else the machine does must not decide."""
    code = "import time; start = time.process_time(); import posert; posert.Poses; print(time.process_time() - start)"
    assert min(float(in_fresh_process(code)) for _ in range(5)) < 0.25


def test_every_public_name_is_there():
    for name in posert.__all__:
        assert getattr(posert, name) is not None
        assert name in dir(posert)
    assert posert.Estimator is importlib.import_module("posert.estimator").Estimator
    assert posert.find_people is importlib.import_module("posert.people").find_people
    with pytest.raises(AttributeError, match="Estimater"):
        posert.Estimater  # noqa: B018
