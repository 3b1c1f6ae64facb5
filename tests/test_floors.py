"""Every room of the house imports only what lies below it (docs/design.md): checked by importing each with the rest blocked."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "posert"

HEAVY = {"torch", "triton", "tensorrt", "tensorrt_rtx", "onnx", "onnxruntime", "openvino", "scipy", "safetensors", "pybind11"}
SCREEN = {"typer", "rich", "click"}
MEASURING = {"matplotlib", "faster_coco_eval"}
PIPELINES = {"posert.estimator", "posert.transfer", "posert.cli"}

# Room -> packages that importing it must do without.
ROOMS = {
    "posert": HEAVY | SCREEN | {"cv2", "posert.engine", "posert.ops", "posert._native"} | PIPELINES,
    "posert.errors": HEAVY | SCREEN | {"cv2", "posert.ops"} | PIPELINES,
    "posert.skeleton": HEAVY | SCREEN | {"cv2", "posert.ops"} | PIPELINES,
    "posert.trees": HEAVY | SCREEN | {"cv2", "posert.ops"} | PIPELINES,
    "posert.types": HEAVY | SCREEN | {"cv2", "posert.ops"} | PIPELINES,
    "posert.geometry": HEAVY | SCREEN | {"cv2", "posert.ops"} | PIPELINES,
    "posert.manifest": HEAVY | SCREEN | {"cv2", "posert.ops", "posert.engine"} | PIPELINES,
    "posert.processing": HEAVY | SCREEN | {"cv2", "posert.ops", "posert.engine"} | PIPELINES,
    "posert.images": HEAVY | SCREEN | {"cv2", "posert.ops", "posert.engine"} | PIPELINES,
    "posert.tensors": HEAVY | SCREEN | {"cv2", "posert.ops", "posert.engine"} | PIPELINES,
    "posert.people": HEAVY | SCREEN | {"posert.cli"},
    "posert.bundle": HEAVY | SCREEN | {"cv2", "posert.ops", "posert.engine"} | PIPELINES,
    "posert.ops": HEAVY | SCREEN | {"cv2", "posert.bundle", "posert.engine"} | PIPELINES,
    "posert.tree_decoding": HEAVY | SCREEN | {"cv2", "posert.engine"} | PIPELINES,
    "posert.engine": HEAVY | SCREEN | {"cv2"} | PIPELINES,
    "posert.estimator": HEAVY | SCREEN | {"posert.cli", "posert.transfer"},
    "posert.detection": HEAVY | SCREEN | PIPELINES,
    "posert.top_down": HEAVY | SCREEN | PIPELINES,
    "posert.mosaic": HEAVY | SCREEN | {"posert.ops", "posert.engine"} | PIPELINES,
    "posert.separate_peaks": HEAVY | SCREEN | {"posert.ops", "posert.engine"} | PIPELINES,
    "posert.bottom_up": HEAVY | SCREEN | PIPELINES,
    "posert.redrawing.pg2": HEAVY | SCREEN | PIPELINES,
    "posert.redrawing.unseen": HEAVY | SCREEN | PIPELINES,
    "posert.redrawing.replayed": HEAVY | SCREEN | PIPELINES,
    "posert.warmup": HEAVY | SCREEN | {"posert.ops"} | PIPELINES,
    "posert.retarget": HEAVY | SCREEN | {"cv2", "posert.ops", "posert.engine"} | PIPELINES,
    "posert.smoothing": HEAVY | SCREEN | {"cv2", "posert.ops", "posert.engine"} | PIPELINES,
    "posert.flicker": HEAVY | SCREEN | {"posert.ops", "posert.engine"} | PIPELINES,
    "posert.prefetch": HEAVY | SCREEN | {"cv2", "numpy"} | PIPELINES,
    "posert.paste": HEAVY | SCREEN | {"posert.engine"} | PIPELINES,
    "posert.track": HEAVY | SCREEN | {"posert.cli", "posert.transfer"},
    "posert.reenactment": HEAVY | SCREEN | {"posert.cli"},
    "posert.pairs": HEAVY | SCREEN | {"posert.cli"},
    "posert.formats": HEAVY | SCREEN | {"posert.engine", "posert.evaluation"} | PIPELINES,
    "posert.media.video_writer": HEAVY | SCREEN | {"av", "posert.engine"} | PIPELINES,
    "posert.transfer": HEAVY | SCREEN | {"posert.cli"},
    "posert.backends.onnxruntime": (HEAVY - {"onnxruntime"}) | SCREEN | {"posert.engine", "posert.ops"} | PIPELINES,
    "posert.backends.torch": HEAVY | SCREEN | {"posert.engine", "posert.ops"} | PIPELINES,
    "posert.backends.tensorrt": HEAVY | SCREEN | {"posert.engine", "posert.ops", "posert.builders"} | PIPELINES,
    "posert.backends.tensorrt_rtx": HEAVY | SCREEN | {"posert.engine", "posert.ops", "posert.builders"} | PIPELINES,
    "posert.backends.pipeline_graphs": HEAVY | SCREEN | {"posert.engine", "posert.ops"} | PIPELINES,
    "posert.backends.device": HEAVY | SCREEN | {"posert.engine", "posert.ops"} | PIPELINES,
    "posert.nvidia": HEAVY | SCREEN | {"cv2", "numpy"} | PIPELINES,
    "posert.builders": HEAVY | SCREEN | {"cv2", "filelock", "posert.ops", "posert.engine"} | PIPELINES,
    "posert.builders.tensorrt": HEAVY | SCREEN | {"cv2", "filelock", "posert.ops", "posert.engine"} | PIPELINES,
    "posert.builders.tensorrt_rtx": HEAVY | SCREEN | {"cv2", "filelock", "posert.ops", "posert.engine"} | PIPELINES,
    "posert.draw": HEAVY | SCREEN | {"posert.engine"} | PIPELINES,
    "posert.evaluation": HEAVY | SCREEN | MEASURING | {"posert.cli", "posert.commands", "posert.transfer"},
    "posert.cli": HEAVY | MEASURING | {"cv2", "posert.engine", "posert._native"},
}

# Vendor package -> the only places that may import it.
VENDORS = {
    "onnxruntime": ("backends/onnxruntime.py", "builders/onnxruntime.py"),
    "tensorrt": ("backends/tensorrt.py", "builders/tensorrt.py"),
    "tensorrt_rtx": ("backends/tensorrt_rtx.py", "builders/tensorrt_rtx.py"),
    "openvino": ("backends/openvino.py", "builders/openvino.py"),
}

BLOCKED_IMPORT = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if any(name == blocked or name.startswith(blocked + ".") for blocked in {blocked!r}):
            raise ImportError(f"{{name}} is not allowed below this floor")
sys.meta_path.insert(0, Block())
import {room}
"""


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_room_imports_nothing_above_it(room: str) -> None:
    code = BLOCKED_IMPORT.format(blocked=sorted(ROOMS[room]), room=room)
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_models_need_torch_and_nothing_of_the_runtime() -> None:
    pytest.importorskip("torch", reason="the networks are torch modules; pip install posert[train]")
    blocked = ["onnxruntime", "onnx", "cv2", "typer", "rich", "posert.engine", "posert.ops"]
    for room in (
        "posert.models.cpm",
        "posert.models.paf",
        "posert.models.pg2",
        "posert.models.movenet",
        "posert.models.structured",
        "posert.models.adversarial",
    ):
        code = BLOCKED_IMPORT.format(blocked=blocked, room=room)
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def _sources() -> list[Path]:
    sources = sorted(PACKAGE.rglob("*.py"))
    assert len(sources) > 20
    return sources


def test_the_package_imports_neither_export_nor_training() -> None:
    for path in _sources():
        tops = {name.split(".")[0] for name in _imports(path)}
        assert not tops & {"export", "training", "tests", "benchmarks"}, path


def test_each_vendor_is_imported_in_its_own_place_only() -> None:
    for path in _sources():
        place = path.relative_to(PACKAGE).as_posix()
        for name in {name.split(".")[0] for name in _imports(path)} & VENDORS.keys():
            assert place in VENDORS[name], f"{place} imports {name}"


def test_files_stay_small() -> None:
    folders = ("posert", "export", "training", "benchmarks", "csrc")
    paths = [path for folder in folders for end in ("*.py", "*.cpp", "*.hpp") for path in (ROOT / folder).rglob(end)]
    assert {str(path.relative_to(ROOT)): count for path in paths if (count := len(path.read_text().splitlines())) > 400} == {}


def test_functions_stay_small() -> None:
    long = {}
    for path in (p for folder in ("posert", "export", "training") for p in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                if lines > 60:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert long == {}
