"""MPII Human Pose (Andriluka et al., CVPR 2014) in the layout it is published in, and as the JSON files that the field uses.

    mpii_human_pose_v1_u12_1.mat    a struct `RELEASE`: annolist(i).image.name, annolist(i).annorect(j) with x1, y1, x2, y2 of the
                                    head, annopoints.point(k) with x, y, id, and scale, objpos; img_train(i) = 1 where labels are
    valid.json                      a list of people: image, joints, joints_vis, center, scale; head rectangles beside it in
                                    gt_valid.mat, `headboxes_src` (2, 2, N)
    mpii_annotations.json           a list of people: img_paths, joint_self (16 x 3), objpos, scale_provided, isValidation;
                                    head rectangles beside it in mpii_headboxes.npy (2, 2, N)

Coordinates count from 1 in all of them. Pictures lie in images/, or beside the annotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posert.errors import InputError
from posert.evaluation.dataset import PoseDataset, unlabelled_as_missing
from posert.formats.mpii import Person, read_release
from posert.formats.mpii_json import read_people
from posert.paths import path_kind
from posert.skeleton import get_skeleton

HEAD_SHARE = 0.6
"""PCKh measures in 0.6 times the diagonal of the head's rectangle."""


def load_mpii(root: str | Path, annotations: str | Path | None = None) -> PoseDataset:
    """Read MPII Human Pose.

    Args:
        root: folder with the annotation, and with the pictures in ``images`` or beside it.
        annotations: the annotation; by default the first of the known names in `root`, in ``annot`` or in ``annotations``.

    Returns:
        The annotated pictures in the order of the file. Their own boxes are squares of the person's height, from the published
        centre and scale.

    Raises:
        InputError: a file is missing or not in one of the layouts.
        MissingDependency: SciPy is not installed, and the annotation is a .mat file.
    """
    root = Path(root)
    file = Path(annotations) if annotations is not None else _find(root)
    people = list(read_release(file)) if file.suffix.lower() == ".mat" else read_people(file)
    if not people:
        raise InputError(f"{str(file)!r} holds nobody with labelled joints; is it the test part, whose labels are not public?")
    return _dataset(root, file, people)


_KNOWN = ("mpii_human_pose_v1_u12_1.mat", "valid.json", "mpii_annotations.json")


def _find(root: Path) -> Path:
    for folder in (root, root / "annot", root / "annotations"):
        for name in _KNOWN:
            if path_kind(folder / name) == "file":
                return folder / name
    raise InputError(f"{str(root)!r} is not MPII: none of {', '.join(_KNOWN)} lies in it; name the annotation with --annotations")


def _dataset(root: Path, file: Path, people: Sequence[Person]) -> PoseDataset:
    names = list(dict.fromkeys(person.image for person in people))
    number = {name: i for i, name in enumerate(names)}
    people = sorted(people, key=lambda person: number[person.image])  # stable: people keep their order within a picture
    folder = next((f for f in (root / "images", root, file.parent) if path_kind(f / names[0]) == "file"), None)
    if folder is None:
        raise InputError(f"there is no picture {names[0]!r} in {str(root / 'images')!r} or beside the annotation")
    joints = np.stack([person.joints for person in people])
    heads = np.array([person.head for person in people])
    notes = []
    if (missing := int(np.isnan(heads).sum())) == len(people):
        notes.append("the annotation has no head rectangles, so PCKh cannot be had: PCK is measured in torsos")
    elif missing:
        notes.append(f"{missing} of {len(people)} people have no head rectangle and are not measured")
    return PoseDataset(
        "mpii",
        get_skeleton("mpii16"),
        tuple(folder / name for name in names),
        unlabelled_as_missing(joints - 1, np.asarray(np.isfinite(joints).all(-1))),
        np.array([number[person.image] for person in people], np.int64),
        tuple(names),
        boxes=np.array([person.box() for person in people], np.float32),
        head_sizes=None if missing == len(people) else HEAD_SHARE * heads,
        notes=tuple(notes),
    )
