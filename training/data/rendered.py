"""Rendered people with exact labels, drawn while a training runs.

They come from a package of the name `synthpeople`, which is not part of posert: its `Renderer` gives pictures with the joints
of everybody in them.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from posert.errors import MissingDependency
from posert.skeleton import convert_keypoints
from training.data.people import BODY, FACE, SKELETON, Person, body_box

HIDDEN, VISIBLE = 1, 2


def open_renderer(root: Path | str) -> Any:
    """The renderer of the package in a folder.

    Raises:
        MissingDependency: there is no such package, or it lacks something.
    """
    sys.path.append(str(root))
    try:
        return importlib.import_module("synthpeople").Renderer()
    except ImportError as error:
        raise MissingDependency(f"cannot import synthpeople from {root}: {error}; it needs numba and OpenCV") from error


class RenderedPeople:
    """Pictures of one person, whose joints are known whether they are seen or not.

    Joints of the face that cannot be seen count as absent, as those who label photographs have it; hidden joints of the body
    as occluded. Joints outside the picture are not labelled.
    """

    def __init__(self, root: Path | str, preset: str = "action", size: tuple[int, int] = (288, 288)) -> None:
        """Open the renderer.

        Args:
            root: the folder that holds the package.
            preset: what is rendered.
            size: rows and columns of the pictures.

        Raises:
            MissingDependency: there is no such package, or it lacks something.
        """
        self.renderer, self.preset, self.size = open_renderer(root), preset, size

    def draw(self, rng: np.random.Generator) -> Person:
        """A person at random."""
        while True:
            sample = self.renderer.sample(rng, self.preset, self.size)
            if len(sample["identity"]) > 0:
                person = _person(sample)
                if (person.keypoints[BODY, 2] > 0).sum() >= 5:
                    return person


def _person(sample: dict[str, Any]) -> Person:
    body, face = (np.asarray(sample[name][0], np.float32) for name in ("lsp14", "coco18"))
    state = np.concatenate([convert_keypoints(body, "lsp14", "cpm14"), convert_keypoints(face, "coco18", SKELETON)[FACE]])
    keypoints, visibility = state.copy(), np.nan_to_num(state[:, 2])
    there = visibility >= HIDDEN
    there[FACE] = visibility[FACE] == VISIBLE
    keypoints[:, 2] = there
    keypoints[~there, :2] = np.nan
    occluded = (visibility == HIDDEN).astype(np.float32)
    occluded[FACE] = 0
    return Person(np.asarray(sample["image"], np.uint8), keypoints, visibility > 0, occluded, body_box(keypoints))
