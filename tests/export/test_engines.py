"""The command with a backend that compiles: ONNX in a precision, judged, and real plans of TensorRT-RTX in the bundle."""

from __future__ import annotations

from dataclasses import replace
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
from export.quantisation import quantise  # noqa: E402
from export.storage import widen  # noqa: E402
from posert import BuildError, Bundle, InputError, builders  # noqa: E402
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


@rtx
def test_int8_is_calibrated_judged_and_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the zoo's own file, whose weights are widened, in place of an export; one batch size is enough here."""
    model = onnx.load_from_string(Bundle.open(ROOT / "posert" / "zoo" / "cpm-s.posert").read("estimator.onnx"))
    widen(model.graph)

    def export(module: Any, examples: Any, outputs: Any, precision: str, calibration: Any) -> bytes:
        assert precision == "int8"
        assert calibration["image"].shape == (3, 3, 224, 160)
        return bytes(quantise(model, calibration).SerializeToString())

    load = build_engines.recipes.load
    monkeypatch.setattr(build_engines, "export_onnx", export)
    monkeypatch.setattr(build_engines.recipes, "load", lambda *arguments: replace(load(*arguments), batch_sizes=(2,)))
    monkeypatch.setenv("POSERT_CACHE", str(tmp_path / "cache"))
    target = replace(TARGET, precision="int8")
    work = ("cpm-s", None, target, PICTURES[:2], tmp_path / "out", lambda step, share=0.0: None, PICTURES[2:5])
    with monkeypatch.context() as patch:
        patch.setattr(parity, "KEYPOINT_TOLERANCE", 1e-6)
        with pytest.raises(BuildError, match="the gate failed"):
            build_engines.build(*work)
        assert not list(tmp_path.iterdir())
    build_engines.build(*work)
    (variant,) = Bundle.open(tmp_path / "out" / "cpm-s.posert").manifest.variants
    assert (variant.precision, variant.plans[0].file) == ("int8", "plans/tensorrt_rtx-int8-estimator.plan")
    assert variant.parity["calibration_images"] == 3
    assert 1e-3 < variant.parity["max_abs"] <= variant.parity["tolerance"]
    assert variant.parity["max_keypoint_cells"] <= 0.5


def test_int8_is_refused_for_transfer_models(tmp_path: Path) -> None:
    target = build_engines.Target("tensorrt_rtx", "int8")
    with pytest.raises(InputError, match="the picture itself"):
        build_engines.build("pg2-s", None, target, PICTURES, tmp_path, lambda step, share=0.0: None)
    said = run("--precision", "int8", "--models", "pg2-s", "--models", "cpm-s")
    assert said.exit_code == 2
    assert "pg2-s: int8 is for estimators" in words_of(said)
    assert "pg2-s" not in build_engines.recipes.estimators()
    assert "paf-s" in build_engines.recipes.estimators()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--backend", "onnxruntime", "--precision", "fp16"), "computes half precision in float32"),
        (("--backend", "onnxruntime", "--precision", "int8"), "takes longer for this graph"),
        (("--calibration", "."), "--calibration is for int8"),
    ],
)
def test_options_that_do_not_fit_each_other(arguments: tuple[str, ...], words: str) -> None:
    said = run("--models", "cpm-s", *arguments)
    assert said.exit_code == 2
    assert words in words_of(said)


def words_of(said: Any) -> str:
    """What a command has printed, without the frame and the line ends."""
    return " ".join(said.output.replace("│", " ").split())


def run(*arguments: str) -> Any:
    """The command in this process, with the backend and precision of `TARGET` where the arguments name no others."""
    app = typer.Typer()
    app.command()(build_engines.main)
    return CliRunner().invoke(app, ["--backend", "tensorrt_rtx", "--precision", "fp16", *arguments])


def test_where_bundles_go() -> None:
    zoo, half = build_engines.Target(), build_engines.Target("tensorrt_rtx", "fp16")
    assert zoo.folder(None, True) == ROOT / "posert" / "zoo"
    assert zoo.folder(None, False) == ROOT / "zoo-extra"
    assert half.folder(None, True) == ROOT / "engines" / "tensorrt_rtx-fp16"
    assert zoo.folder(Path("x"), True) == half.folder(Path("x"), False) == Path("x")
