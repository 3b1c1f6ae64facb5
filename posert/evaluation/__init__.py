"""How good a model is on a labelled data set: loaders of published layouts, the field's metrics, curves (docs/evaluation.md).

>>> dataset = load_dataset("lsp", "data/lsp")
>>> predictions = predict(estimator, dataset.part(range(900, 1000)))
>>> evaluate(predictions, dataset.part(range(900, 1000)), estimator.skeleton).results["total"]
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from posert.errors import InputError
from posert.evaluation.coco import load_coco
from posert.evaluation.dataset import PoseDataset, parse_numbers
from posert.evaluation.detections import Detections, read_detections
from posert.evaluation.lsp import load_lsp, load_lspet
from posert.evaluation.market import load_market
from posert.evaluation.mpii import load_mpii
from posert.evaluation.predict import Predictions, predict
from posert.evaluation.report import Evaluation, evaluate
from posert.paths import path_kind

__all__ = [
    "DATASETS",
    "Detections",
    "Evaluation",
    "PoseDataset",
    "Predictions",
    "evaluate",
    "load_dataset",
    "parse_numbers",
    "predict",
    "read_detections",
]

_PLAIN: dict[str, Callable[[Path], PoseDataset]] = {"lsp": load_lsp, "lspet": load_lspet}
_WITH_ANNOTATION: dict[str, Callable[[Path, Path | None], PoseDataset]] = {
    "mpii": load_mpii,
    "coco": load_coco,
    "market": load_market,
}
DATASETS = (*_PLAIN, *_WITH_ANNOTATION)


def load_dataset(name: str, root: str | Path, annotations: str | Path | None = None) -> PoseDataset:
    """Read a data set in the layout that it is published in.

    Args:
        name: one of `DATASETS`.
        root: its folder.
        annotations: the annotation, for MPII, COCO and Market-1501, where it is not the usual one; looked for in `root`, too.

    Raises:
        InputError: the name is unknown, or the folder is not in the published layout.
        MissingDependency: a package that the layout needs is not installed.
    """
    root = Path(root)
    if name not in DATASETS:
        raise InputError(f"unknown data set {name!r}; known: {', '.join(DATASETS)}")
    if path_kind(root) != "folder":
        raise InputError(f"there is no folder {str(root)!r}")
    if name in _PLAIN:
        if annotations is not None:
            raise InputError(f"{name} has one annotation, joints.mat; leave --annotations out")
        return _PLAIN[name](root)
    file = None if annotations is None else Path(annotations)
    if file is not None and path_kind(file) is None and path_kind(root / file) == "file":
        file = root / file
    return _WITH_ANNOTATION[name](root, file)
