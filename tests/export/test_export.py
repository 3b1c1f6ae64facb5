"""Export and gate: the file says what the module computes, holds nothing else, and a wrong one is never written."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs torch; pip install posert[export]")
onnx = pytest.importorskip("onnx", reason="export needs onnx; pip install posert[export]")
pytest.importorskip("onnxscript", reason="export needs onnxscript; pip install posert[export]")
safetensors = pytest.importorskip("safetensors.torch", reason="export needs safetensors; pip install posert[export]")
safetensors_open = pytest.importorskip("safetensors").safe_open

from export import build_engines, keypoints, parity, recipes  # noqa: E402
from export.onnx_export import export_onnx, tensor_specs  # noqa: E402
from posert import Bundle, Engine  # noqa: E402
from posert.errors import BuildError, InputError  # noqa: E402
from posert.media.images import list_images, read_image  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "posert" / "examples"


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [read_image(path) for path in list_images(EXAMPLES)]


@pytest.fixture(scope="module")
def cpm_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of a small pose machine, in the zoo's form."""
    from posert.models.cpm import CPM, CPMConfig

    torch.manual_seed(0)
    config = {"backbone": "movenet-lightning", "stages": 2, "width": 8, "depth": 1, "center_map": False}
    state = {name: value.half() for name, value in CPM(CPMConfig(**config)).state_dict().items()}
    path = tmp_path_factory.mktemp("weights") / "cpm.safetensors"
    safetensors.save_file(state, path, metadata={"model": "cpm", "config": json.dumps(config)})
    return path


class Branch(torch.nn.Module):
    """Two outputs, a weight that half precision holds and one that it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.exact = torch.nn.Parameter(torch.randn(3, 4, 5, 5).half().float())
        self.fine = torch.nn.Parameter(torch.randn(3, 4, 5, 5))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.nn.functional.conv2d(x, self.exact), torch.nn.functional.conv2d(x, self.fine)


def test_exported_bytes_are_repeatable_clean_and_half_where_exact() -> None:
    module = Branch()
    first, second = (export_onnx(module, {"x": torch.zeros(2, 4, 9, 9)}, ("a", "b")) for _ in range(2))
    assert first == second
    model = onnx.load_model_from_string(first)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    kinds = sorted(tensor.data_type for tensor in model.graph.initializer)
    assert kinds == [onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16]
    assert str(ROOT).encode() not in first
    assert b".py" not in first
    assert tensor_specs(first)[1][1] == {"name": "b", "dtype": "float32", "shape": ["N", 3, 5, 5], "range": None}


def test_any_batch_runs(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    module = Branch()
    session = onnxruntime.InferenceSession(export_onnx(module, {"x": torch.zeros(2, 4, 9, 9)}, ("a", "b")))
    for batch in (1, 2, 5):
        x = torch.randn(batch, 4, 9, 9)
        for found, expected in zip(session.run(None, {"x": x.numpy()}), module(x), strict=True):
            np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-4)


def test_refused_operators_are_named() -> None:
    class Sampler(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            grid = torch.zeros(x.shape[0], 4, 4, 2)
            return torch.nn.functional.grid_sample(x, grid, align_corners=False)

    with pytest.raises(BuildError, match="GridSample"):
        export_onnx(Sampler(), {"x": torch.zeros(2, 3, 8, 8)}, ("y",))


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "export" / "build_engines.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_the_command_writes_a_bundle_that_opens(cpm_weights: Path, tmp_path: Path) -> None:
    done = run_command("--models", "cpm-s", "--weights", str(cpm_weights), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "cpm-s" in done.stdout
    bundle = Bundle.open(tmp_path / "cpm-s.posert")
    parity_report = bundle.manifest.variants[0].parity
    assert parity_report["max_abs"] <= parity_report["tolerance"] == 1e-4
    assert parity_report["batches"] == [1, 8, 32]
    assert set(bundle.manifest.metrics) == {"cost"}, "the zoo's accuracy is not that of other weights"
    assert bundle.manifest.licences["weights"].startswith("unknown")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--models", "cpm-x"), "cpm-x"),
        (("--weights", "w.safetensors"), "--weights"),
        (("--backend", "abacus"), "onnxruntime"),
        (("--precision", "bf16"), "no such convolutions"),
        (("--compute-capability", "8.6"), "tensorrt_rtx"),
        (("--backend", "tensorrt_rtx", "--level", "6"), "0 to 5"),
        (("--backend", "tensorrt_rtx", "--workspace", "0"), "MiB"),
        (("--backend", "tensorrt"), "tensorrt"),
        (("--precision", "int3"), "fp32"),
        (("--models", "cpm-s", "--images", "/nowhere"), "nowhere"),
    ],
)
def test_bad_arguments_end_with_status_2(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = run_command(*arguments, "--out", str(tmp_path))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_damaged_or_foreign_weights_are_refused(cpm_weights: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(cpm_weights.read_bytes()[:1000])
    for path, model in ((cut, "cpm-s"), (tmp_path / "none.safetensors", "cpm-s"), (cpm_weights, "pg2-s")):
        with pytest.raises(InputError, match=path.name):
            recipes.load(model, path)


def test_a_failed_gate_writes_nothing(
    cpm_weights: Path, pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exported network differs from the reference in one weight by a little more than the gate allows."""
    load = recipes.load

    def tampered(name: str, weights: Path | None = None) -> recipes.Recipe:
        recipe, other = load(name, weights), load(name, weights)
        with torch.no_grad():
            list(other.networks[0].exported.parameters())[-1][3] += 2e-3
        return replace(recipe, networks=(replace(recipe.networks[0], exported=other.networks[0].exported),))

    monkeypatch.setattr(build_engines.recipes, "load", tampered)
    with pytest.raises(BuildError, match="the gate failed"):
        build_engines.build("cpm-s", cpm_weights, build_engines.Target(), pictures, tmp_path, lambda step: None)
    assert not list(tmp_path.iterdir())


def test_the_gate_refuses_what_is_not_finite(cpm_weights: Path, pictures: list[np.ndarray], tmp_path: Path) -> None:
    recipe = recipes.load("cpm-s", cpm_weights)

    class Broken:
        def run(self, network: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            outputs = recipe.networks[0].run_reference(inputs)
            outputs["heatmaps"][-1, 2, 3, 4] = np.nan
            return outputs

    with pytest.raises(BuildError, match="not finite"):
        parity.gate(recipe, Broken(), "fp32", pictures, (1, 2))  # type: ignore[arg-type]


def test_the_gate_refuses_a_reference_that_is_not_finite(cpm_weights: Path, pictures: list[np.ndarray]) -> None:
    recipe = recipes.load("cpm-s", cpm_weights)
    with torch.no_grad():
        next(recipe.networks[0].reference.parameters()).fill_(torch.nan)

    class Same:
        def run(self, network: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return recipe.networks[0].run_reference(inputs)

    with pytest.raises(BuildError, match="not finite"):
        parity.gate(recipe, Same(), "fp32", pictures[:1], (1,))  # type: ignore[arg-type]


def test_a_joint_that_only_one_side_finds_fails_the_gate() -> None:
    maps = np.random.default_rng().uniform(0.1, 1, (1, 3, 6, 5)).astype(np.float32)
    lost = maps.copy()
    lost[0, 1] = -1
    assert keypoints.joint_distance(maps, maps, "softargmax") == (0, 0)
    assert keypoints.joint_distance(maps, lost, "softargmax") == (np.inf, 0)


@pytest.mark.parametrize(("height", "expected"), [(0.995, (0.0, 1)), (0.98, (4.0, 0))])
def test_a_joint_that_the_reference_itself_does_not_decide(height: float, expected: tuple[float, int]) -> None:
    """Two peaks, of which a variant takes the other: an error unless the reference has them equally high."""
    reference = np.zeros((1, 2, 8, 8), np.float32)
    reference[0, 0, 2, 1], reference[0, 0, 2, 5], reference[0, 1, 3, 3] = 1, height, 0.5
    variant = reference.copy()
    variant[0, 0, 2, 5] = 1.001
    assert keypoints.joint_distance(reference, reference, "argmax") == (0, 0)
    assert keypoints.joint_distance(variant, reference, "argmax") == expected


def test_a_person_that_only_one_side_finds_fails_the_gate() -> None:
    import crowds

    from posert import ops

    people = np.concatenate([crowds.joints(12, 9), np.ones((18, 1))], 1).astype(np.float32)[None, None]
    heat = ops.rasterize_gaussians(people[0], (24, 32), 7.0, stride=8, cutoff=4.6052)
    maps = {"heatmaps": np.concatenate([heat, 1 - heat.max(1, keepdims=True)], 1), "pafs": ops.rasterize_pafs(people, (24, 32))}
    post = {"stride": 8, "accepted_fraction": 0.5}
    assert keypoints.people_distance(maps, maps, post) == 0
    moved = {name: np.roll(value, 1, -1) for name, value in maps.items()}
    assert keypoints.people_distance(maps, moved, post) == pytest.approx(1, abs=0.05)
    assert keypoints.people_distance(maps, {name: 0 * value for name, value in maps.items()}, post) == np.inf


def test_weights_of_another_size_are_refused(cpm_weights: Path, tmp_path: Path) -> None:
    with safetensors_open(cpm_weights, "pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
    path = tmp_path / "wide.safetensors"
    safetensors.save_file(tensors, path, metadata=metadata | {"size": "[256, 192]"})
    with pytest.raises(InputError, match="256, 192"):
        recipes.load("cpm-s", path)


@pytest.mark.parametrize("name", recipes.names())
def test_the_zoo_still_agrees_with_its_weights(name: str, pictures: list[np.ndarray]) -> None:
    """The bundle that ships is the one that the weights in the repository give."""
    recipe = recipes.load(name)
    with Engine.open(name if recipe.embedded else build_engines.EXTRA / f"{name}.posert") as engine:
        report = parity.gate(recipe, engine.session(), "fp32", pictures, (1, 3))
    assert report["max_abs"] <= 1e-4


def test_cost_of_a_network() -> None:
    """Two convolutions of 3 x 3 from 3 to 8 channels on 10 x 6 pixels."""
    from export.cost import multiply_accumulates

    conv = torch.nn.Conv2d(3, 8, 3, padding=1)
    network = recipes.Network("conv", conv, conv, {"image": (3, 10, 6)}, ("out",))
    assert multiply_accumulates(recipes.Recipe("conv", (network, network), {})) == 2 * 3 * 3 * 3 * 8 * 10 * 6
