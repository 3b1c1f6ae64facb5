"""Export the zoo's models to ONNX, check them against PyTorch, and write them as `.posert` bundles.

python export/build_engines.py                          every model, into posert/zoo and zoo-extra
python export/build_engines.py --models cpm-s --out build/bundles
"""

from __future__ import annotations

import sys
import tempfile
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
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: E402
from rich.table import Table  # noqa: E402

from export import parity, recipes  # noqa: E402
from export.cost import multiply_accumulates  # noqa: E402
from export.onnx_export import export_onnx, tensor_specs  # noqa: E402
from posert import Bundle, Engine  # noqa: E402
from posert.errors import PosertError  # noqa: E402
from posert.media.images import list_images, read_image  # noqa: E402

STEPS = ("export", "build", "gate", "write")
EMBEDDED, EXTRA = ROOT / "posert" / "zoo", ROOT / "zoo-extra"


class Backend(str, Enum):
    """Backends that variants are built for."""

    onnxruntime = "onnxruntime"


class Precision(str, Enum):
    """Precisions that variants are built in."""

    fp32 = "fp32"


def build(
    name: str, weights: Path | None, precision: str, pictures: list[NDArray[np.uint8]], out: Path | None, progress: Any
) -> dict[str, Any]:
    """Export one model, judge it, and write its bundle; return the row for the table.

    The bundle is first written to a temporary folder and opened by the engine that users will open it with; it takes its place in
    `out`, or where the zoo has it, only once the gate is passed.
    """
    recipe = recipes.load(name, weights)
    progress("export")
    networks, files = [], {}
    for network in recipe.networks:
        examples = {key: torch.zeros(2, *shape) for key, shape in network.inputs.items()}
        data = export_onnx(network.exported, examples, network.outputs)
        inputs, outputs = tensor_specs(data)
        file = f"{network.name}.onnx"
        files[file] = data
        networks.append({"name": network.name, "file": file, "inputs": inputs, "outputs": outputs})
    document = dict(recipe.manifest) | {
        "format": "posert-bundle",
        "version": 1,
        "name": name,
        "networks": networks,
        "batch_sizes": list(recipe.batch_sizes),
        "variants": [{"backend": "onnxruntime", "precision": precision, "parity": {}}],
    }
    with tempfile.TemporaryDirectory() as temporary:
        progress("build")
        draft = Bundle.write(Path(temporary) / f"{name}.posert", document, files)
        with Engine.open(draft.path, backend="onnxruntime", device="cpu", precision=precision) as engine:
            progress("gate")
            report = parity.gate(recipe, engine.session(), precision, pictures)
    progress("write")
    document["variants"][0]["parity"] = report
    document["metrics"] = dict(document["metrics"]) | {"cost": {"GMAC a picture": round(multiply_accumulates(recipe) / 1e9, 3)}}
    folder = out or (EMBEDDED if recipe.embedded else EXTRA)
    bundle = Bundle.write(folder / f"{name}.posert", document, files)
    return {"name": name, "report": report, "bytes": bundle.path.stat().st_size}


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
    models: Annotated[list[str] | None, typer.Option(help="Models to build, repeatable; default: all of them.")] = None,
    backend: Annotated[Backend, typer.Option(help="Backend to build for.")] = Backend.onnxruntime,
    precision: Annotated[Precision, typer.Option(help="Precision of the networks.")] = Precision.fp32,
    weights: Annotated[Path | None, typer.Option(help="Weights (safetensors) instead of the zoo's; with a single model.")] = None,
    images: Annotated[Path, typer.Option(help="Folder of pictures of people for the gate.")] = ROOT / "posert" / "examples",
    out: Annotated[Path | None, typer.Option(help="Folder for the bundles; default: posert/zoo and zoo-extra.")] = None,
) -> None:
    """Export models to ONNX, compare them with PyTorch on pictures of people, and write `.posert` bundles.

    A model whose gate fails is not written, what was there before stays, and the exit status is 1. Without options the whole
    zoo is built again.
    """
    console, errors = Console(), Console(stderr=True)
    chosen = models or list(recipes.names())
    if weights is not None and len(chosen) != 1:
        raise typer.BadParameter(f"--weights belongs to one model, but {len(chosen)} are to be built; add --models NAME")
    unknown = sorted(set(chosen) - set(recipes.names()))
    if unknown:
        raise typer.BadParameter(f"unknown models {', '.join(unknown)}; known: {', '.join(recipes.names())}")
    rows: list[dict[str, Any]] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        for folder in (EMBEDDED, EXTRA) if out is None else (out,):
            folder.mkdir(parents=True, exist_ok=True)
        pictures = [read_image(path) for path in list_images(images)]
    except (PosertError, OSError) as error:
        errors.print(f"[red]error:[/red] {error}", highlight=False)
        raise typer.Exit(2) from error
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=len(chosen) * len(STEPS))
        for i, name in enumerate(chosen):

            def progress(step: str, name: str = name, i: int = i) -> None:
                bar.update(task, description=f"{name}: {step}", completed=i * len(STEPS) + STEPS.index(step))

            try:
                rows.append(build(name, weights, precision.value, pictures, out, progress))
            except PosertError as error:
                errors.print(f"[red]error:[/red] {error}", highlight=False)
                rows.append({"name": name, "error": error})
        bar.update(task, description="done", completed=len(chosen) * len(STEPS))
    console.print(_table(rows, f"{backend.value} {precision.value}"))
    console.print(
        f"compared on {len(pictures)} pictures of {images}; bundles in {out or 'posert/zoo and zoo-extra'}",
        highlight=False,
        soft_wrap=True,
    )
    if any("error" in row for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
