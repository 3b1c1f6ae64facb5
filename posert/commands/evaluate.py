"""`posert eval`: how good a model is on a labelled data set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posert.commands.console import (
    DEFAULT_MAX_PIXELS,
    Backend,
    Device,
    FlipTest,
    Json,
    MaxPixels,
    RotationTest,
    Scales,
    TrustPlans,
    print_json,
    print_table,
    progress,
    read_scales,
    say,
)
from posert.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from posert.evaluation import Detections, Evaluation, PoseDataset

_Model = Annotated[str, typer.Argument(metavar="NAME|FILE", help="An estimation model; see 'posert models'.")]
_Data = Annotated[str, typer.Option(metavar="lsp|lspet|mpii|coco|market", help="The data set, in its published layout.")]
_Root = Annotated[Path, typer.Option(metavar="FOLDER", help="Where it lies.")]
_ANNOTATIONS = "The annotation, where FOLDER has several or it has another name (mpii, coco, market)."
_Annotations = Annotated[Path | None, typer.Option(metavar="FILE", help=_ANNOTATIONS)]
_Subset = Annotated[str | None, typer.Option(metavar="NUMBERS", help="Only these pictures, such as 901-1000 or 1-10,17.")]
_Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the first N of them.")]
_BOXES = "Where people are looked for: true (default), joints, none, or a detector's results as JSON."
_Boxes = Annotated[str, typer.Option(metavar="true|joints|none|FILE.json", help=_BOXES, show_default=False)]
_DETECTOR = "A model that finds everybody; its boxes are taken instead of --boxes."
_Detector = Annotated[str | None, typer.Option(metavar="NAME|FILE", help=_DETECTOR)]
_BatchSize = Annotated[int, typer.Option(metavar="N", min=1, help="Pictures in memory at a time.")]
_OBSERVER = "Left and right as an observer sees them, as some papers on LSP have it."
_Observer = Annotated[bool, typer.Option("--observer-centric", help=_OBSERVER)]
_OUT = "Write results.json, curves.png and worst.png there."
_Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FOLDER", help=_OUT)]

WORST = 16
"""How many people are shown among the worst."""


def run(
    model: _Model,
    data: _Data,
    root: _Root,
    annotations: _Annotations = None,
    subset: _Subset = None,
    limit: _Limit = None,
    boxes: _Boxes = "true",
    detector: _Detector = None,
    batch_size: _BatchSize = 16,
    flip_test: FlipTest = False,
    scales: Scales = "1",
    rotation_test: RotationTest = False,
    observer_centric: _Observer = False,
    out: _Out = None,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    backend: Backend = None,
    device: Device = None,
    trust_plans: TrustPlans = False,
    as_json: Json = False,
) -> None:
    """Measure a model on a labelled data set: PCK, PCKh, strict PCP, average precision, and what its scores mean.

    \b
    Leeds Sports Pose, held out:   posert eval cpm-s --data lsp --root lsp --subset 901-1000
    With curves and the worst:     posert eval cpm-s --data lsp --root lsp -o report
    As some papers count:          posert eval cpm-s --data lsp --root lsp --observer-centric
    MPII's validation part:        posert eval cpm-s --data mpii --root mpii --annotations annot/valid.json
    COCO, a detector's boxes:      posert eval cpm-s --data coco --root coco --boxes detections.json
    A quick look:                  posert eval cpm-s --data coco --root coco --limit 100
    Into another program:          posert eval cpm-s --data lsp --root lsp --json | jq .total

    \b
    --boxes true     the data set's own boxes (COCO's, MPII's centre and scale),
                     or tight ones around the labelled joints (LSP, Market)
    --boxes joints   always tight ones around the labelled joints
    --boxes none     one person is looked for in the whole picture
    --boxes FILE     COCO results: a list of image_id, bbox and score

    Every box is enlarged by the model's own margin. A model that finds all
    people by itself takes no boxes. docs/evaluation.md defines each number.
    """
    from posert.commands.pictures import read_picture
    from posert.estimator import Estimator
    from posert.evaluation import evaluate, load_dataset, predict
    from posert.extras import require
    from posert.media.files import check_folder_writable

    if out is not None:
        check_folder_writable(out)
        require("matplotlib.figure", "drawing curves")
    dataset = _chosen(load_dataset(data, root, annotations), subset, limit)
    if dataset.areas is not None:
        require("faster_coco_eval", "COCO's average precision")
    where = _boxes(boxes, dataset) if detector is None else "detector"
    looks: dict[str, Any] = {"flip_test": flip_test, "scales": read_scales(scales), "rotation_test": rotation_test}
    opened: dict[str, Any] = {"backend": backend, "device": device, "trust_plans": trust_plans}
    with Estimator(model, detector=detector, **opened, **looks) as estimator:
        manifest = estimator.engine.manifest
        used = "none: the model finds all people by itself" if estimator.finds_everybody else detector or boxes
        with _bar(len(dataset.files)) as advance:
            predictions = predict(
                estimator,
                dataset,
                boxes=where,
                batch_size=batch_size,
                read=lambda path: read_picture(path, max_pixels=max_pixels),
                advance=advance,
            )
    evaluation = evaluate(predictions, dataset, manifest.skeleton, observer_centric=observer_centric)
    about = {"model": manifest.name, "data": data, "subset": subset, "boxes": used, **looks}
    results = {**about, **evaluation.results}
    if out is not None:
        _write(out, results, evaluation, dataset, f"{manifest.name} on {data}")
    if as_json:
        print_json(results)
        return
    _print(results)
    if out is not None:
        say(f"wrote results.json, curves.png and worst.png to {out}")


def _chosen(dataset: PoseDataset, subset: str | None, limit: int | None) -> PoseDataset:
    from posert.evaluation import parse_numbers

    count = len(dataset.files)
    images = list(range(count)) if subset is None else parse_numbers(subset, count)
    images = images[:limit]
    return dataset if len(images) == count else dataset.part(images)


def _boxes(option: str, dataset: PoseDataset) -> str | Detections:
    from posert.evaluation import read_detections

    if option in ("true", "joints", "none"):
        return option
    if not option.lower().endswith(".json"):
        raise InputError(f"--boxes must be true, joints, none or the name of a .json file, got {option!r}")
    return read_detections(option, dataset)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int, float], None]]:
    """A progress bar with pictures a second."""
    with progress() as bar:
        task = bar.add_task("evaluating", total=total)

        def advance(images: int, seconds: float) -> None:
            rate = f"{images / seconds:.1f} pictures/s" if seconds else ""
            bar.update(task, completed=images, description=f"evaluating, {rate}")

        yield advance


def _print(results: dict[str, Any]) -> None:
    title = f"{results['model']} on {results['data']}: {results['images']} pictures, {results['people_measured']} people measured"
    side = "left and right as an observer sees them" if results["observer_centric"] else ""
    rate = f"{results['images_per_second']:.1f} pictures/s" if results["images_per_second"] else ""
    say("; ".join(part for part in (title, f"boxes: {results['boxes']}", side, rate) if part))
    rows = [
        (joint.replace("_", " "), _share(entry["right"]), str(entry["measured"]), _share(entry["score"]))
        for joint, entry in results["joints"].items()
    ]
    rows.append(("all", _share(results["total"]), str(results["joints_measured"]), ""))
    print_table("", ("joint", results["metric"], "measured", "mean score"), rows)
    curve = results["curve"]
    say(f"Area below the {curve['name']} curve from 0 to {curve['thresholds'][-1]:g}: {_share(curve['area'])}")
    if "pcp" in results:
        parts = results["pcp"]["parts"]
        sticks = [(part.replace("_", " "), _share(value)) for part, value in parts.items()]
        print_table("", ("part", "strict PCP@0.5"), [*sticks, ("mean of the sticks", _share(results["pcp"]["mean"]))])
    if "average_precision" in results:
        precision = results["average_precision"]
        print_table("", tuple(precision), [tuple(_share(value) for value in precision.values())])
    calibration = results["calibration"]
    rows = [
        (f"{b['from']:g} to {b['to']:g}", str(b["joints"]), _share(b["score"]), _share(b["right"]))
        for b in calibration["bins"]
        if b["joints"]
    ]
    print_table("What a score means", ("score", "joints", "mean score", "right"), rows)
    say(f"Expected calibration error: {_share(calibration['expected_error'])}")
    if (fitted := calibration["logistic"]) is not None and fitted["expected_error"] is not None:
        say(
            f"With scores mapped to 1 / (1 + exp(-({fitted['slope']:.2f} logit(score) {fitted['intercept']:+.2f}))): "
            f"{_share(fitted['expected_error'])}, cross-validated over people"
        )
    for note in _notes(results):
        say(f"Note: {note}")


def _notes(results: dict[str, Any]) -> list[str]:
    notes = list(results["notes"])
    for key, text in (
        ("joints_not_given", "the model does not find, and the numbers leave out: {}"),
        ("joints_derived", "no joints of the model, derived from others: {}"),
        ("joints_not_in_total", "shown, but not part of the total: {}"),
    ):
        if results[key]:
            notes.append(text.format(", ".join(joint.replace("_", " ") for joint in results[key])))
    if "average_precision" in results and results["joints_not_given"]:
        notes.append("average precision over fewer joints cannot be compared with numbers over all of COCO's")
    return notes


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _write(folder: Path, results: dict[str, Any], evaluation: Evaluation, dataset: PoseDataset, title: str) -> None:
    from posert.commands.worst import worst_people
    from posert.evaluation.curves import write_curves
    from posert.formats import write_json
    from posert.media.files import staged_folder
    from posert.media.images import write_image

    with staged_folder(folder) as staged:
        write_json(staged / "results.json", results)
        write_curves(staged / "curves.png", evaluation, dataset.skeleton, title)
        write_image(staged / "worst.png", worst_people(evaluation, dataset, WORST))
