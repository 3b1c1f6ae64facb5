"""Export the zoo's models to ONNX, check them against PyTorch, and write them as `.posert` bundles, with plans if wished.

python export/build_engines.py                                         every model, into posert/zoo and zoo-extra
python export/build_engines.py --models cpm-s --out build/bundles
python export/build_engines.py --backend tensorrt_rtx --precision fp16   every model with its plans, into engines; needs no GPU
python export/build_engines.py --backend tensorrt_rtx --precision int8 --calibration people   estimators only
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))  # behind the installed posert, which has the compiled kernels

import numpy as np  # noqa: E402
import torch  # noqa: E402
import typer  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.markup import escape  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: E402
from rich.table import Table  # noqa: E402

from export import parity, recipes  # noqa: E402
from export.cost import multiply_accumulates  # noqa: E402
from export.onnx_export import export_onnx, tensor_specs  # noqa: E402
from export.precision import imitate  # noqa: E402
from export.quantisation import ENOUGH  # noqa: E402
from posert import Bundle, Engine, builders  # noqa: E402
from posert.errors import InputError, PosertError  # noqa: E402
from posert.manifest import NetworkSpec  # noqa: E402
from posert.media.images import list_images, read_image  # noqa: E402

NO_INT8 = (
    "int8 is for estimators, whose keypoints survive small differences in their maps; a transfer model's output is the picture "
    "itself, where each rounding is seen; build it in fp16"
)

NO_USE = {
    "fp16": "computes half precision in float32 with casts in between, and the fp32 bundles hold half-precision weights already",
    "bf16": "has no such convolutions",
    "int8": "takes longer for this graph than for fp32: it does not fuse such convolutions with their rounding",
}
"""What ONNX Runtime on a CPU does with the precisions that are refused for it (docs/tensorrt.md)."""

STEPS = ("export", "gate", "build", "write")
EMBEDDED, EXTRA, ENGINES = ROOT / "posert" / "zoo", ROOT / "zoo-extra", ROOT / "engines"


class Backend(str, Enum):
    """Backends that variants are built for."""

    onnxruntime = "onnxruntime"
    tensorrt_rtx = "tensorrt_rtx"
    tensorrt = "tensorrt"


class Precision(str, Enum):
    """Precisions that variants are built in."""

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"
    int8 = "int8"


@dataclass(frozen=True)
class Target:
    """What variants are built for.

    Attributes:
        backend: which runtime.
        precision: of the tensors inside the networks.
        compute_capabilities, workspace, level: of plans, see `posert.builders.PlanRequest`.
    """

    backend: str = "onnxruntime"
    precision: str = "fp32"
    compute_capabilities: tuple[str, ...] = ()
    workspace: int = 4 << 30
    level: int = 3

    @property
    def compiled(self) -> bool:
        """Whether the backend runs plans, and not the ONNX files themselves."""
        return self.backend in builders.NAMES

    def folder(self, out: Path | None, embedded: bool) -> Path:
        """Where a bundle goes: what is not the zoo's own variant never takes its place."""
        if (self.backend, self.precision) != ("onnxruntime", "fp32"):
            return out or ENGINES / f"{self.backend}-{self.precision}"
        return out or (EMBEDDED if embedded else EXTRA)


def build(
    name: str,
    weights: Path | None,
    target: Target,
    pictures: list[NDArray[np.uint8]],
    out: Path | None,
    progress: Any,
    calibration: list[NDArray[np.uint8]] | None = None,
) -> dict[str, Any]:
    """Export one model, judge it, compile it, and write its bundle; return the row for the table.

    `pictures` are those that it is judged on; int8 measures its ranges on those of `calibration`, or on the same.

    The networks are first written to a temporary folder and opened by the engine that users will open them with; the bundle takes
    its place in `out`, or where the zoo has it, only once the gate is passed and every plan is built.
    """
    recipe = recipes.load(name, weights)
    if target.precision == "int8" and recipe.manifest["task"] != "estimation":
        raise InputError(f"{name}: {NO_INT8}")
    progress("export")
    typical = pictures if calibration is None else calibration
    document, files = _export(recipe, target.precision, typical)
    progress("gate")
    report = _judge(recipe, target, document, files, pictures)
    if target.precision == "int8":
        report["calibration_images"] = len(typical)
    variant: dict[str, Any] = {"backend": target.backend, "precision": target.precision, "parity": report}
    progress("build")
    if target.compiled:
        variant["plans"], plans = _compile(document, files, target, lambda phase, share: progress("build", share))
        files = files | plans
    progress("write")
    document["metrics"] = dict(document["metrics"]) | {"cost": {"GMAC a picture": round(multiply_accumulates(recipe) / 1e9, 3)}}
    folder = target.folder(out, recipe.embedded)
    folder.mkdir(parents=True, exist_ok=True)
    bundle = Bundle.write(folder / f"{name}.posert", document | {"variants": [variant]}, files)
    return {"name": name, "report": report, "bytes": bundle.path.stat().st_size}


def _export(recipe: recipes.Recipe, precision: str, typical: list[NDArray[np.uint8]]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest without its variants, and the ONNX files; int8 measures its ranges on `typical` pictures."""
    networks, files = [], {}
    calibration = parity.prepare_inputs(recipe, typical) if precision == "int8" else {}
    for network in recipe.networks:
        examples = {key: torch.zeros(2, *shape) for key, shape in network.inputs.items()}
        data = export_onnx(network.exported, examples, network.outputs, precision, calibration.get(network.name))
        inputs, outputs = tensor_specs(data)
        file = f"{network.name}.onnx"
        files[file] = data
        networks.append({"name": network.name, "file": file, "inputs": inputs, "outputs": outputs})
    document = dict(recipe.manifest) | {
        "format": "posert-bundle",
        "version": 1,
        "name": recipe.name,
        "networks": networks,
        "batch_sizes": list(recipe.batch_sizes),
    }
    return document, files


def _judge(
    recipe: recipes.Recipe, target: Target, document: dict[str, Any], files: dict[str, bytes], pictures: list[NDArray[np.uint8]]
) -> dict[str, Any]:
    """The report of the gate, with ONNX Runtime on the CPU.

    Of a network that is to be compiled, the same graph is judged with each tensor rounded as its type demands: ONNX Runtime
    itself may leave roundings out, and lacks bfloat16.
    """
    imitated = target.compiled and target.precision != "fp32"
    judged = {file: imitate(data) for file, data in files.items()} if imitated else files
    draft = document | {"variants": [{"backend": "onnxruntime", "precision": target.precision, "parity": {}}]}
    with tempfile.TemporaryDirectory() as temporary:
        path = Bundle.write(Path(temporary) / f"{recipe.name}.posert", draft, judged).path
        with Engine.open(path, backend="onnxruntime", device="cpu", precision=target.precision) as engine:
            report = parity.gate(recipe, engine.session(), target.precision, pictures)
    if target.compiled:
        report["judged"] = "the same ONNX graph, by ONNX Runtime on the CPU; the plan itself was not run"
    return report


def _compile(
    document: dict[str, Any], files: dict[str, bytes], target: Target, progress: Any
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """A plan of every network: what it needs, for the manifest, and its member."""
    entries, plans = [], {}
    for network in document["networks"]:
        request = builders.PlanRequest(
            NetworkSpec.parse(network, network["name"]),
            files[network["file"]],
            target.precision,
            tuple(document["batch_sizes"]),
            compute_capabilities=target.compute_capabilities,
            workspace=target.workspace,
            level=target.level,
        )
        plan = builders.build(target.backend, request, progress=progress)
        file = f"plans/{target.backend}-{target.precision}-{network['name']}.plan"
        needs = {key: plan.identity[key] for key in ("version", "cuda", "system", "machine", "compute_capabilities", "profiles")}
        entries.append({"network": network["name"], "file": file} | needs)
        plans[file] = plan.data
    return entries, plans


def _table(rows: list[dict[str, Any]], variant: str) -> Table:
    table = Table(
        "model", "variant", "difference", "cells", "batches", "MB", caption="difference: from PyTorch float32; cells: keypoints"
    )
    for row in rows:
        if "error" in row:
            table.add_row(row["name"], variant, "[red]failed[/red]", "", "", "")
            continue
        report = row["report"]
        difference = f"{report['max_abs']:.1e} < {report['tolerance']:.0e}"
        cells = f"{report['max_keypoint_cells']:.3f}" if "max_keypoint_cells" in report else "-"
        table.add_row(
            row["name"], variant, difference, cells, ", ".join(map(str, report["batches"])), f"{row['bytes'] / 1e6:.1f}"
        )
    return table


def main(
    models: Annotated[
        list[str] | None, typer.Option(help="Models to build, repeatable; default: all of them, for int8 all estimators.")
    ] = None,
    backend: Annotated[Backend, typer.Option(help="Backend to build for; tensorrt needs the GPU.")] = Backend.onnxruntime,
    precision: Annotated[
        Precision, typer.Option(help="Precision of the networks; all but fp32 need a backend that compiles.")
    ] = Precision.fp32,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help=f"Folder of pictures of people that int8 measures its ranges on; {ENOUGH} are enough. Default: --images."
        ),
    ] = None,
    compute_capability: Annotated[
        list[str] | None, typer.Option(help="GPUs to build plans for, such as 8.6, repeatable; default: all usual ones.")
    ] = None,
    workspace: Annotated[int, typer.Option(help="MiB of GPU memory that a plan may use for intermediate results.")] = 4096,
    level: Annotated[int, typer.Option(help="How hard the vendor optimises plans, 0 to 5.")] = 3,
    weights: Annotated[Path | None, typer.Option(help="Weights (safetensors) instead of the zoo's; with a single model.")] = None,
    images: Annotated[Path, typer.Option(help="Folder of pictures of people for the gate.")] = ROOT / "posert" / "examples",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the bundles; default: posert/zoo and zoo-extra, or engines/BACKEND-PRECISION.")
    ] = None,
) -> None:
    """Export models to ONNX, compare them with PyTorch on pictures of people, and write `.posert` bundles.

    A model whose gate fails is not written, what was there before stays, and the exit status is 1. Without options the whole
    zoo is built again. With a backend that compiles (tensorrt_rtx, tensorrt) the bundles hold plans, too, which are kept in the
    plan cache (docs/tensorrt.md): a second run takes them from there.
    """
    console, errors = Console(), Console(stderr=True)
    chosen = models or list(recipes.estimators() if precision == Precision.int8 else recipes.names())
    target = Target(backend.value, precision.value, tuple(compute_capability or ()), workspace << 20, level)
    _refuse_bad_options(chosen, weights, target, calibration)
    try:
        if target.compiled:
            builders.check(target.backend, target.compute_capabilities)
        for embedded in (True, False):
            target.folder(out, embedded).mkdir(parents=True, exist_ok=True)
        pictures, typical = ([read_image(path) for path in list_images(folder)] for folder in (images, calibration or images))
    except (PosertError, OSError) as error:
        errors.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        raise typer.Exit(2) from error
    rows = _build_all(chosen, weights, target, pictures, out, console, errors, typical)
    console.print(_table(rows, f"{target.backend} {target.precision}"))
    places = sorted({str(target.folder(out, embedded)) for embedded in (True, False)})
    console.print(
        f"compared on {len(pictures)} pictures of {images}; bundles in {' and '.join(places)}", highlight=False, soft_wrap=True
    )
    if target.precision == "int8":
        hint = "" if len(typical) >= ENOUGH else f"; {ENOUGH} are enough, and fewer may be too few: --calibration FOLDER"
        console.print(f"calibrated on {len(typical)} pictures of {calibration or images}{hint}", highlight=False, soft_wrap=True)
    if any("error" in row for row in rows):
        raise typer.Exit(1)


def _refuse_bad_options(chosen: list[str], weights: Path | None, target: Target, calibration: Path | None) -> None:
    if weights is not None and len(chosen) != 1:
        raise typer.BadParameter(f"--weights belongs to one model, but {len(chosen)} are to be built; add --models NAME")
    unknown = sorted(set(chosen) - set(recipes.names()))
    if unknown:
        raise typer.BadParameter(f"unknown models {', '.join(unknown)}; known: {', '.join(recipes.names())}")
    if not target.compiled and target.precision != "fp32":
        raise typer.BadParameter(
            f"--precision {target.precision} needs --backend tensorrt_rtx or tensorrt: "
            f"on a CPU, ONNX Runtime {NO_USE[target.precision]}"
        )
    transfer = sorted(set(chosen) - set(recipes.estimators())) if target.precision == "int8" else []
    if transfer:
        raise typer.BadParameter(f"{', '.join(transfer)}: {NO_INT8}")
    if calibration is not None and target.precision != "int8":
        raise typer.BadParameter(f"--calibration is for int8, and --precision is {target.precision}; add --precision int8")
    if not target.compiled and target.compute_capabilities:
        raise typer.BadParameter(f"--compute-capability is for plans, and {target.backend} has none; add --backend tensorrt_rtx")
    if not 1 <= target.workspace >> 20 <= 1 << 20:
        raise typer.BadParameter(f"--workspace must be 1 to {1 << 20} MiB, got {target.workspace >> 20}")
    if not 0 <= target.level <= 5:
        raise typer.BadParameter(f"--level must be 0 to 5, got {target.level}")


def _build_all(
    chosen: list[str],
    weights: Path | None,
    target: Target,
    pictures: list[NDArray[np.uint8]],
    out: Path | None,
    console: Console,
    errors: Console,
    calibration: list[NDArray[np.uint8]],
) -> list[dict[str, Any]]:
    """A row for every model, with an `error` where it failed; the bar shows where the work is."""
    rows: list[dict[str, Any]] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(chosen) * len(STEPS))
        for i, name in enumerate(chosen):

            def progress(step: str, share: float = 0.0, name: str = name, i: int = i) -> None:
                bar.update(task, description=f"{name}: {step}", completed=i * len(STEPS) + STEPS.index(step) + share)

            try:
                rows.append(build(name, weights, target, pictures, out, progress, calibration))
            except PosertError as error:
                errors.print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
                rows.append({"name": name, "error": error})
        bar.update(task, description="done", completed=len(chosen) * len(STEPS))
    return rows


if __name__ == "__main__":
    typer.run(main)
