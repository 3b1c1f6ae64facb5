"""The command with a backend that compiles: ONNX in a precision, judged, and real plans of TensorRT-RTX in the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="export needs torch; pip install posert[export]")
onnx = pytest.importorskip("onnx", reason="export needs onnx; pip install posert[export]")
pytest.importorskip("onnxscript", reason="export needs onnxscript; pip install posert[export]")
pytest.importorskip("onnxconverter_common", reason="export needs onnxconverter-common; pip install posert[export]")
pytest.importorskip("safetensors", reason="export needs safetensors; pip install posert[export]")

import typer  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from export import build_engines, parity  # noqa: E402
from posert import BuildError, Bundle, builders  # noqa: E402
from posert.media.images import list_images, read_image  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
NO_RTX = builders.missing("tensorrt_rtx")
rtx = pytest.mark.skipif(NO_RTX is not None, reason=str(NO_RTX))
TARGET = build_engines.Target("tensorrt_rtx", "fp16", compute_capabilities=("8.6",))
PICTURES = [read_image(path) for path in list_images(ROOT / "posert" / "examples")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The bundle of cpm-s in half precision, where its plans were kept, and what was heard of the work."""
    folder, heard = tmp_path_factory.mktemp("engines"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSERT_CACHE", str(folder / "cache"))
        build_engines.build("cpm-s", None, TARGET, PICTURES, folder, lambda step, share=0.0: heard.append((step, share)))
    return Bundle.open(folder / "cpm-s.posert"), folder / "cache", heard


@rtx
def test_a_bundle_with_a_plan(built: Any) -> None:
    bundle, cache, heard = built
    (variant,) = bundle.manifest.variants
    assert (variant.backend, variant.precision) == ("tensorrt_rtx", "fp16")
    assert 0 < variant.parity["max_abs"] <= variant.parity["tolerance"] == 3e-2
    assert variant.parity["max_keypoint_cells"] <= 0.5
    assert "was not run" in variant.parity["judged"]
    (plan,) = variant.plans
    assert plan.profiles == ((1, 1, 1), (2, 8, 8), (9, 32, 32))
    assert plan.compute_capabilities == ("8.6",)
    assert bundle.read(plan.file) == next((cache / "plans").glob("*.plan")).read_bytes()
    model = onnx.load_from_string(bundle.read("estimator.onnx"))
    kinds = [tensor.data_type for tensor in model.graph.initializer]
    assert kinds.count(onnx.TensorProto.FLOAT16) > 0.9 * len(kinds)
    steps = [step for step, _ in heard]
    assert [step for i, step in enumerate(steps) if step not in steps[:i]] == list(build_engines.STEPS)
    assert len([share for step, share in heard if step == "build" and 0 < share < 1]) > 3


@rtx
def test_the_command_takes_plans_from_the_cache(built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same network gives the same bundle, byte for byte, though the vendor's builds differ from run to run."""
    bundle, cache, _ = built
    exported = bundle.read("estimator.onnx")
    monkeypatch.setenv("POSERT_CACHE", str(cache))
    monkeypatch.setattr(build_engines, "export_onnx", lambda *arguments: exported)
    said = run("--models", "cpm-s", "--compute-capability", "8.6", "--out", str(tmp_path))
    assert said.exit_code == 0, said.output
    assert "tensorrt_rtx fp16" in said.output
    assert (tmp_path / "cpm-s.posert").read_bytes() == bundle.path.read_bytes()


@rtx
def test_a_failed_gate_builds_and_writes_nothing(built: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision differs by more than the tolerance of float32 allows."""
    exported = built[0].read("estimator.onnx")
    monkeypatch.setenv("POSERT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build_engines, "export_onnx", lambda *arguments: exported)
    monkeypatch.setitem(parity.TOLERANCE, "fp16", 1e-7)
    with pytest.raises(BuildError, match="the gate failed"):
        build_engines.build("cpm-s", None, TARGET, PICTURES[:1], tmp_path / "out", lambda step, share=0.0: None)
    assert not list(tmp_path.iterdir())


@rtx
@pytest.mark.parametrize(
    ("arguments", "cache", "words"),
    [
        (("--compute-capability", "3.5"), "cache", "does not build for compute capability 3.5; it does for"),
        (("--compute-capability", "8.6", "--compute-capability", "8.6"), "cache", "may be given once"),
        (("--backend", "tensorrt"), "cache", "pip install 'posert[tensorrt]'"),
        ((), "file/cache", "cannot use the plan cache"),
    ],
)
def test_what_cannot_be_built_is_said_before_any_work(
    arguments: tuple[str, ...], cache: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: Any) -> None:
        raise AssertionError("a model was worked on")

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("POSERT_CACHE", str(tmp_path / cache))
    monkeypatch.setattr(build_engines, "build", never)
    said = run("--models", "cpm-s", "--out", str(tmp_path / "out"), *arguments)
    assert said.exit_code == 2, said.output
    assert words in " ".join(said.output.split())
    assert not (tmp_path / "out").exists()


def run(*arguments: str) -> Any:
    """The command in this process, with the backend and precision of `TARGET` where the arguments name no others."""
    app = typer.Typer()
    app.command()(build_engines.main)
    return CliRunner().invoke(app, ["--backend", "tensorrt_rtx", "--precision", "fp16", *arguments])


def test_where_bundles_go() -> None:
    zoo, half = build_engines.Target(), build_engines.Target("onnxruntime", "fp16")
    assert zoo.folder(None, True) == ROOT / "posert" / "zoo"
    assert zoo.folder(None, False) == ROOT / "zoo-extra"
    assert half.folder(None, True) == ROOT / "engines" / "onnxruntime-fp16"
    assert zoo.folder(Path("x"), True) == half.folder(Path("x"), False) == Path("x")
