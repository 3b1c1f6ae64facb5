"""Curves as a picture: shares of right joints over thresholds, and shares over scores."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from posert.evaluation.report import Evaluation
from posert.extras import require
from posert.media.files import write_bytes
from posert.skeleton import Skeleton

_SIDES = ("left_", "right_")


def write_curves(path: str | Path, evaluation: Evaluation, skeleton: Skeleton, title: str) -> None:
    """Write a PNG with two diagrams: the curve of each part of the body and of all, and the reliability of the scores.

    Args:
        path: the file.
        evaluation: what was measured.
        skeleton: the data set's joints.
        title: stands above.

    Raises:
        MissingDependency: Matplotlib is not installed.
        InputError: the file cannot be written.
    """
    figures = require("matplotlib.figure", "drawing curves")
    require("matplotlib.backends.backend_agg", "drawing curves")
    figure = figures.Figure(figsize=(11, 4.6), layout="constrained", dpi=130)
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    _draw_shares(left, evaluation, skeleton)
    _draw_reliability(right, evaluation)
    data = io.BytesIO()
    figure.savefig(data, format="png", metadata={"Software": "posert"})
    write_bytes(path, data.getvalue())


def _draw_shares(axes: Any, evaluation: Evaluation, skeleton: Skeleton) -> None:
    from posert.evaluation.metrics import Curve

    curve, results = evaluation.curve, evaluation.results["curve"]
    parts: dict[str, list[int]] = {}
    for k, joint in enumerate(skeleton.joints):
        if not np.isnan(evaluation.distances[:, k]).all():
            parts.setdefault(joint.removeprefix(_SIDES[0]).removeprefix(_SIDES[1]), []).append(k)
    for part, joints in parts.items():
        both = Curve.of(evaluation.distances[:, joints].reshape(-1, 1))
        axes.plot(both.thresholds, both.total, linewidth=1, label=part.replace("_", " "))
    axes.plot(curve.thresholds, curve.total, color="black", linewidth=2.2, label=f"all, area {results['area'] or 0:.3f}")
    axes.set(xlim=(0, curve.thresholds[-1]), ylim=(0, 1), ylabel="share of right joints")
    axes.set_xlabel(f"{results['name']}: threshold in units of the {results['unit']}'s size")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="lower right")


def _draw_reliability(axes: Any, evaluation: Evaluation) -> None:
    table, count = evaluation.calibration, len(evaluation.calibration.counts)
    centres = (np.arange(count) + 0.5) / count
    filled = table.counts > 0
    axes.bar(centres, table.counts / max(1, table.counts.sum()), width=0.9 / count, color="0.85", label="share of all joints")
    axes.plot([0, 1], [0, 1], color="0.5", linestyle="--", linewidth=1, label="score = share of right joints")
    axes.plot(table.scores[filled], table.right[filled], color="tab:blue", marker="o", label="measured")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel=f"right at {evaluation.results['metric']}")
    axes.set_title(f"expected calibration error {table.expected_error:.3f}", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="upper left")
