"""Plans in a bundle: what the manifest says of them is checked, and shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from posert import Bundle, BundleError, Engine, NoVariantError
from posert.cli import app

FILE = "plans/tensorrt_rtx-fp16-estimator.plan"


def plan(**changes: Any) -> dict[str, Any]:
    return {
        **{"network": "estimator", "file": FILE, "version": "1.7.1.116", "cuda": "cu13", "system": "Linux", "machine": "x86_64"},
        **{"compute_capabilities": ["8.6", "12.0"], "profiles": [[1, 1, 1], [2, 3, 3], [4, 8, 8]]},
        **changes,
    }


@pytest.fixture
def write(tmp_path: Path, estimator_document: dict[str, Any], tiny_estimator_onnx: bytes) -> Any:
    def write(*plans: dict[str, Any]) -> Bundle:
        variant = {"backend": "tensorrt_rtx", "precision": "fp16", "parity": {"max_abs": 0.001}, "plans": list(plans)}
        document = estimator_document | {"variants": [variant]}
        return Bundle.write(tmp_path / "x.posert", document, {"estimator.onnx": tiny_estimator_onnx, FILE: b"a plan"})

    return write


def test_what_a_plan_needs_is_read(write: Any) -> None:
    found = write(plan()).manifest.variants[0].plans[0]
    assert (found.network, found.version, found.compute_capabilities) == ("estimator", "1.7.1.116", ("8.6", "12.0"))
    assert found.profiles == ((1, 1, 1), (2, 3, 3), (4, 8, 8))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"network": "generator"}, "plans of the bundle's networks"),
        ({"file": "plans/other.plan"}, "members of the bundle"),
        ({"file": "estimator.onnx"}, "plans"),
        ({"file": "plans/../estimator.onnx"}, "plans"),
        ({"version": ""}, "version"),
        ({"version": 1.7}, "version"),
        ({"cuda": None}, "cuda"),
        ({"compute_capabilities": []}, "compute_capabilities"),
        ({"compute_capabilities": ["sm_86"]}, "compute_capabilities"),
        ({"profiles": []}, "profiles"),
        ({"profiles": [[1, 1]]}, "profiles"),
        ({"profiles": [[2, 1, 1]]}, "do not fall"),
        ({"profiles": [[0, 1, 1]]}, "profiles"),
        ({"profiles": [[True, 1, 1]]}, "profiles"),
        ({"licence": "?"}, "does not know"),
    ],
)
def test_what_does_not_fit_is_refused(write: Any, change: dict[str, Any], match: str) -> None:
    with pytest.raises(BundleError, match=match):
        write(plan(**change))


def test_two_plans_of_one_network_are_refused(write: Any) -> None:
    with pytest.raises(BundleError, match="distinct"):
        write(plan(), plan())


def test_they_are_shown(write: Any) -> None:
    path = write(plan()).path
    said = CliRunner().invoke(app, ["inspect", str(path)])
    assert said.exit_code == 0, said.output
    for word in (FILE, "tensorrt_rtx 1.7.1.116 (cu13)", "Linux x86_64", "8.6, 12.0", "4 to 8, best at 8", "max_abs: 0.001"):
        assert word in said.stdout
    listed = json.loads(CliRunner().invoke(app, ["inspect", str(path), "--json"]).stdout)
    assert listed["manifest"]["variants"][0]["plans"] == [plan()]


def test_the_default_targets_are_said_in_words(write: Any) -> None:
    said = CliRunner().invoke(app, ["inspect", str(write(plan(compute_capabilities=["default"])).path)]).stdout
    assert "compute capability: default" in said


def test_a_bundle_without_plans_shows_none(tiny_estimator_bundle: Path) -> None:
    assert "Plans" not in CliRunner().invoke(app, ["inspect", str(tiny_estimator_bundle)]).stdout


def test_a_plan_alone_runs_nothing(write: Any) -> None:
    with pytest.raises(NoVariantError, match="no variant for onnxruntime"):
        Engine.open(write(plan()).path, backend="onnxruntime")
