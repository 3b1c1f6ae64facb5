"""Where people are, for models that look into boxes: by a model that finds everybody, or by a function of the caller's."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posert.errors import InputError
from posert.geometry import person_boxes
from posert.images import Color, assign_boxes
from posert.types import Image, Images

if TYPE_CHECKING:
    from posert.estimator import Estimator

Detector = Callable[[list[Image]], Sequence[ArrayLike]]
"""From N images to boxes x0, y0, x1, y1 in pixels, (n_i, 4) for each image."""

_TIGHT = 0.02  # margin around the joints: pose models add their own


class Detection:
    """A detector that is ready: boxes for lists of images."""

    def __init__(
        self,
        detector: str | os.PathLike[str] | Detector,
        *,
        backend: str | None = None,
        device: str | None = None,
        trust_plans: bool = False,
    ) -> None:
        """Open the detector.

        Args:
            detector: the name or path of a model that finds everybody, such as ``"paf-s"``, or a function.
            backend: of the model, see `posert.Engine.open`.
            device: likewise.
            trust_plans: likewise.

        Raises:
            InputError: it is neither.
            PosertError: see `posert.Engine.open`.
        """
        from posert.estimator import Estimator

        self._estimator: Estimator | None = None
        if not isinstance(detector, (str, os.PathLike)):
            if not callable(detector):
                raise InputError(f"a detector is a function or the name of a model, got {type(detector).__name__}")
            self._function = detector
            return
        self._estimator = Estimator(detector, backend=backend, device=device, trust_plans=trust_plans)
        if not self._estimator.finds_everybody:
            self._estimator.close()
            raise InputError(f"{os.fspath(detector)!r} needs boxes itself, so it detects nobody; use a model such as 'paf-s'")

    def find(self, images: list[Image], color: Color) -> Sequence[ArrayLike]:
        """Tight boxes around the people, (n_i, 4) for each image: x0, y0, x1, y1 in pixels.

        Raises:
            InputError: the function's result is not that, or a box lies wholly outside its image.
        """
        if self._estimator is not None:
            poses = self._estimator.run(images, color=color)
            boxes = person_boxes(poses.keypoints, _TIGHT)
            return [boxes[poses.image_index == number] for number in range(len(images))]
        found = self._function(images)
        try:
            if found is None or len(found) != len(images) or any(np.ndim(boxes) != 2 and np.size(boxes) for boxes in found):
                raise InputError(f"it must return a list with an (n, 4) array for each of the {len(images)} images")
            assign_boxes(images, found)
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"the detector's boxes cannot be used: {error}") from error
        return found

    def warmup(self, images: NDArray[np.uint8] | Images) -> None:
        """Run a model once; functions are left alone."""
        if self._estimator is not None:
            self._estimator.run(images)

    def close(self) -> None:
        """Close the model."""
        if self._estimator is not None:
            self._estimator.close()
