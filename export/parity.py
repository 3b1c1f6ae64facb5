"""The gate: a variant is kept only if it agrees with the float32 module, on pictures, at every batch size (specs R-5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export import keypoints
from export.recipes import Recipe
from posert import Estimator, Session, ops
from posert.errors import BuildError, InputError
from posert.geometry import fit_aspect, person_boxes, to_box
from posert.people import find_people
from posert.redrawing.unseen import pose_maps
from posert.skeleton import convert_keypoints

TOLERANCE = {"fp32": 1e-4, "fp16": 3e-2, "bf16": 3e-2, "int8": 6e-2}
"""Largest absolute difference on outputs of unit scale, by precision (specs R-5). It is silent on int8, whose joints have to
agree as those of half precision do, and whose maps may differ by twice as much."""

KEYPOINT_TOLERANCE = 0.5
"""Largest distance of decoded keypoints in heatmap cells (specs R-5)."""


def gate(
    recipe: Recipe,
    session: Session,
    precision: str,
    pictures: Sequence[NDArray[np.uint8]],
    batches: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Compare a session with the float32 modules, network by network, each on the same inputs.

    Args:
        recipe: the model.
        session: an open session of the variant to judge.
        precision: the variant's precision, a key of `TOLERANCE`.
        pictures: uint8 (H, W, 3) pictures of people, any sizes; all of them at every batch size.
        batches: batch sizes to run; None = the recipe's.

    Returns:
        The report that goes into the bundle: ``max_abs``, ``mean_abs``, ``tolerance``, ``batches``, ``images``, and for
        estimators ``max_keypoint_cells``, and ``undecided_keypoints`` where there are any: see `export.keypoints`.

    Raises:
        BuildError: an output is not finite or differs by more than the tolerance.
    """
    sizes = list(recipe.batch_sizes if batches is None else batches)
    inputs = prepare_inputs(recipe, pictures)
    differences, cells, undecided = [], [], 0
    for network in recipe.networks:
        for batch in sizes:
            for part in _batches(inputs[network.name], batch):
                expected, found = network.run_reference(part), session.run(network.name, part)
                for name in network.outputs:
                    if not (np.isfinite(found[name]).all() and np.isfinite(expected[name]).all()):
                        raise BuildError(f"{recipe.name}, {precision}: output {name!r} is not finite at batch {batch}")
                    difference = np.abs(found[name].astype(np.float64) - expected[name])
                    differences.append((float(difference.max()), float(difference.mean())))
                if "heatmaps" in found:
                    distance, ties = keypoints.distance(found, expected, recipe.manifest)
                    cells.append(distance)
                    undecided += ties if batch == sizes[0] else 0  # each batch size has all pictures
    tolerance, largest = TOLERANCE[precision], max(most for most, _ in differences)
    report = {
        "max_abs": largest,
        "mean_abs": float(np.mean([mean for _, mean in differences])),
        "tolerance": tolerance,
        "batches": sizes,
        "images": len(pictures),
    }
    if cells:
        report["max_keypoint_cells"] = max(cells)
    if undecided:
        report["undecided_keypoints"] = undecided
    if not (largest <= tolerance and max(cells, default=0.0) <= KEYPOINT_TOLERANCE):
        raise BuildError(
            f"{recipe.name}, {precision}: the gate failed: largest difference {largest:.2e} (allowed {tolerance:.0e}), "
            f"keypoints {max(cells, default=0.0):.2f} cells (allowed {KEYPOINT_TOLERANCE}); nothing was written"
        )
    return report


def _batches(inputs: Mapping[str, NDArray[np.float32]], batch: int) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Every input in batches of one size; the last is filled up with the first pictures again."""
    count = len(next(iter(inputs.values())))
    rounds = -(-count // batch)
    filled = {name: np.resize(value, (rounds * batch, *value.shape[1:])) for name, value in inputs.items()}
    for start in range(0, rounds * batch, batch):
        yield {name: value[start : start + batch] for name, value in filled.items()}


def prepare_inputs(recipe: Recipe, pictures: Sequence[NDArray[np.uint8]]) -> dict[str, dict[str, NDArray[np.float32]]]:
    """The inputs of every network, by its name, made from pictures as the pipelines make them, one a picture."""
    pre = recipe.manifest["preprocess"]
    size = (pre["size"][0], pre["size"][1])
    if recipe.manifest["task"] == "estimation":
        whole = np.array([(0, 0, p.shape[1], p.shape[0]) for p in pictures], np.float32)
        boxes = fit_aspect(whole, size[1] / size[0])
        return {
            "estimator": {"image": ops.crop_resize(pictures, boxes, size, pre["mean"], pre["scale"], fill=pre.get("fill"))[0]}
        }
    poses = find_people(Estimator("cpm-s"), list(pictures))
    found = np.flatnonzero((poses.keypoints[..., 2] > 0).sum(1) >= 2)
    if not len(found):
        raise InputError("no person was found in any of the pictures; give pictures of people")
    frames = fit_aspect(person_boxes(poses.keypoints[found]), size[1] / size[0])
    people = [pictures[i] for i in found]
    images = ops.crop_resize(people, frames, size, pre["mean"], pre["scale"], fill=pre.get("fill"))[0]
    joints = to_box(convert_keypoints(poses.keypoints[found], poses.skeleton, recipe.manifest["skeleton"]), frames, size)
    others = np.roll(joints, 1, axis=0)  # each person in the pose of another
    if recipe.manifest["paper"] == "unseen":
        return _unseen_inputs(recipe, images, joints, others)
    return {"generator": {"input": np.concatenate([images, ops.rasterize_discs(others, size, pre["radius"])], 1)}}


def _unseen_inputs(
    recipe: Recipe, images: NDArray[np.float32], joints: NDArray[np.float32], others: NDArray[np.float32]
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Each network is given what the references before it make."""
    segmentation, inputs = recipe.networks[0], {}
    maps, other_maps = (pose_maps(points, images.shape[2:]) for points in (joints, others))
    inputs["segmentation"] = {"image": images, "pose": maps}
    parts = ops.part_masks(segmentation.run_reference(inputs["segmentation"])["logits"], joints)
    inputs["background"] = {"image": np.concatenate([images * parts[:, :1], parts[:, :1]], 1), "pose": maps}
    moved = ops.warp_parts(images, parts[:, 1:], ops.part_transforms(others, joints)[:, 1:])
    inputs["foreground"] = {"image": moved.reshape(len(images), -1, *images.shape[2:]), "pose": other_maps}
    return inputs
