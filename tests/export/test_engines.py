"""The command with a backend that compiles: ONNX in a precision, judged, and real plans of TensorRT-RTX in the bundle."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="export needs torch; pip install posert[export]")
onnx = pytest.importorskip("onnx", reason="export needs onnx; pip install posert[export]")
pytest.importorskip("onnxscript", reason="export needs onnxscript; pip install posert[export]")
pytest.importorskip("onnxconverter_common", reason="export needs onnxconverter-common; pip install posert[export]")
pytest.importorskip("safetensors", reason="export needs safetensors; pip install posert[export]")

from export import build_engines, parity  # noqa: E402
from posert import BuildError, Bundle, builders  # noqa: E402
from posert.media.images import list_images, read_image  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NO_RTX = builders.missing("tensorrt_rtx")
rtx = pytest.mark.skipif(NO_RTX is not None, reason=str(NO_RTX))


@rtx
def test_the_command_builds_plans_and_finds_them_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def run() -> str:
        options = ["--backend", "tensorrt_rtx", "--precision", "fp16", "--models", "cpm-s"]
        command = [sys.executable, str(ROOT / "export" / "build_engines.py"), *options]
        command += ["--out", str(tmp_path / "out")]
        environment = os.environ | {"POSERT_CACHE": str(cache)}
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "tensorrt_rtx fp16" in run()
    bundle = Bundle.open(tmp_path / "out" / "cpm-s.posert")
    (variant,) = bundle.manifest.variants
    assert (variant.backend, variant.precision) == ("tensorrt_rtx", "fp16")
    assert 0 < variant.parity["max_abs"] <= variant.parity["tolerance"] == 3e-2
    assert variant.parity["max_keypoint_cells"] <= 0.5
    assert "was not run" in variant.parity["judged"]
    (plan,) = variant.plans
    assert plan.profiles == ((1, 1, 1), (2, 8, 8), (9, 32, 32))
    assert bundle.read(plan.file) == next((cache / "plans").glob("*.plan")).read_bytes()
    model = onnx.load_from_string(bundle.read("estimator.onnx"))
    kinds = [tensor.data_type for tensor in model.graph.initializer]
    assert kinds.count(onnx.TensorProto.FLOAT16) > 0.9 * len(kinds)
    first = bundle.path.read_bytes()
    run()
    assert bundle.path.read_bytes() == first, "the plan comes from the cache, and the rest is the same"


@rtx
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_other_precisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setenv("POSERT_CACHE", str(tmp_path / "cache"))
    pictures = [read_image(path) for path in list_images(ROOT / "posert" / "examples")]
    steps: list[str] = []
    target = build_engines.Target("tensorrt_rtx", precision)
    row = build_engines.build("cpm-s", None, target, pictures, tmp_path, lambda step, share=0.0: steps.append(step))
    assert [step for i, step in enumerate(steps) if step not in steps[:i]] == list(build_engines.STEPS)
    assert row["report"]["max_abs"] <= parity.TOLERANCE[precision]
    assert Bundle.open(tmp_path / "cpm-s.posert").manifest.variants[0].precision == precision


def test_a_failed_gate_builds_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision differs by more than the tolerance of float32 allows."""
    monkeypatch.setenv("POSERT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(parity.TOLERANCE, "fp16", 1e-7)
    pictures = [read_image(path) for path in list_images(ROOT / "posert" / "examples")[:1]]
    target = build_engines.Target("tensorrt_rtx", "fp16")
    with pytest.raises(BuildError, match="the gate failed"):
        build_engines.build("cpm-s", None, target, pictures, tmp_path / "out", lambda step, share=0.0: None)
    assert not list(tmp_path.iterdir())


def test_where_bundles_go() -> None:
    zoo, half = build_engines.Target(), build_engines.Target("onnxruntime", "fp16")
    assert zoo.folder(None, True) == ROOT / "posert" / "zoo"
    assert zoo.folder(None, False) == ROOT / "zoo-extra"
    assert half.folder(None, True) == ROOT / "engines" / "onnxruntime-fp16"
    assert zoo.folder(Path("x"), True) == half.folder(Path("x"), False) == Path("x")
