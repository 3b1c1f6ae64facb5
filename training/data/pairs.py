"""Pairs of pictures of one person in one place, in two poses: what models of unseen poses learn from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.estimator import Estimator
from posert.media.files import read_bytes
from posert.skeleton import convert_keypoints
from training.data.rendered import open_renderer
from training.pictures import decode_picture

UNKNOWN = 255
"""In a map of parts: what a pixel shows is not known."""

VALIDATION_CLIPS = ("dance-twirl", "tennis")

# Parts of the renderer (background, head, torso; right upper arm, forearm, hand, left ...; right thigh, shin, foot, left ...) as
# those of `posert.ops.limb_priors.parts`, counted from 1.
_PARTS = np.array([0, 1, 10, 2, 3, 3, 4, 5, 5, 6, 7, 7, 8, 9, 9], np.uint8)


@dataclass(frozen=True)
class Frame:
    """A person in a picture.

    Attributes:
        image: uint8 (H, W, 3), RGB.
        joints: float32 (14, 3): x, y in pixels, score; CPM-14. They may lie outside the picture.
        parts: uint8 (H, W): 0 the background, 1 to 10 a part of the person, `UNKNOWN`.
        person: bool (H, W): where the person is.
    """

    image: NDArray[np.uint8]
    joints: NDArray[np.float32]
    parts: NDArray[np.uint8]
    person: NDArray[np.bool_]


class RenderedPairs:
    """Rendered people, two views of one scene, drawn while a training runs; every number gives the same pair everywhere."""

    def __init__(self, root: Path | str, size: tuple[int, int], presets: tuple[str, ...] = ("fashion", "action"), seed: int = 0):
        """Open the renderer.

        Args:
            root: the folder that holds the package synthpeople.
            size: rows and columns of the pictures.
            presets: what is rendered, in turn.
            seed: of all chance.

        Raises:
            MissingDependency: there is no such package, or it lacks something.
        """
        self.renderer, self.size, self.presets, self.seed = open_renderer(root), size, presets, seed

    def pair(self, number: int) -> tuple[Frame, Frame]:
        """Pair `number`: both frames show the same person, whole enough to be annotated."""
        preset = self.presets[number % len(self.presets)]
        for attempt in range(100):
            # Another seed: the numbers of people grow with those of pairs, and from _BYSTANDERS on they are nobody's.
            seed = self.seed + (attempt << 24)
            views = self.renderer.numbered(seed, number, preset, self.size, views=2, augment="none")
            if all(len(view["identity"]) and view["identity"][0] < _BYSTANDERS for view in views):
                first, second = (_rendered(view) for view in views)
                return first, second
        raise InputError(f"the renderer gave no pair with a person in it for number {number} of {preset!r}")


_BYSTANDERS = 1_000_000_000  # identities from here on are not the subject


def _rendered(view: dict[str, NDArray[np.generic]]) -> Frame:
    joints = np.asarray(view["lsp14"][0], np.float32).copy()
    joints[:, 2] = 1  # hidden, or outside: it is known where all of them are
    person = np.asarray(view["people"]) == 1
    parts = np.where(person, _PARTS[np.asarray(view["parts"])], 0).astype(np.uint8)
    return Frame(np.asarray(view["image"], np.uint8), convert_keypoints(joints, "lsp14", "cpm14"), parts, person)


@dataclass(frozen=True)
class Clip:
    """Frames of one person, kept encoded.

    Attributes:
        images: JPEG files.
        masks: PNG files: where the person is.
        joints: float32 (F, 14, 3), CPM-14.
    """

    images: list[bytes] = field(repr=False)
    masks: list[bytes] = field(repr=False)
    joints: NDArray[np.float32] = field(repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def frame(self, number: int) -> Frame:
        """Decode one frame; of the person's parts nothing is known but the whole."""
        mask = cv2.imdecode(np.frombuffer(self.masks[number], np.uint8), cv2.IMREAD_GRAYSCALE)
        image = decode_picture(self.images[number])
        if mask is None or mask.shape != image.shape[:2]:
            raise InputError(f"mask {number} of a clip is damaged or of another size than its picture {image.shape[:2]}")
        person = mask > 127
        return Frame(image, self.joints[number], np.where(person, UNKNOWN, 0).astype(np.uint8), person)


def load_clips(root: Path, names: tuple[str, ...] | None = None, estimator: str = "cpm-m") -> dict[str, Clip]:
    """Read folders of frames with masks beside them: ``<clip>/00000.jpg`` and ``.png``, the person filling a good part.

    Args:
        root: holds the clips.
        names: of those wanted; None = all.
        estimator: finds the joints, inside the box around each mask; see `posert.Estimator`.

    Raises:
        InputError: a clip is missing or has no frames, or a frame no mask.
    """
    names = names or tuple(sorted(path.name for path in root.iterdir() if path.is_dir()))
    clips = {}
    with Estimator(estimator, skeleton="cpm14") as find:
        for name in names:
            files = sorted((root / name).glob("*.jpg"))
            if not files:
                raise InputError(f"{root / name} holds no frames (00000.jpg and so on)")
            masks = [read_bytes(file.with_suffix(".png")) for file in files]
            clip = Clip([read_bytes(file) for file in files], masks, np.full((len(files), 14, 3), np.nan, np.float32))
            frames = [clip.frame(i) for i in range(len(clip))]
            joints = find.run([frame.image for frame in frames], [_mask_box(frame.person)[None] for frame in frames]).keypoints
            clips[name] = Clip(clip.images, clip.masks, joints)
    return clips


def _mask_box(person: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The tight box around a mask, or the whole frame where it is empty."""
    rows, columns = np.flatnonzero(person.any(1)), np.flatnonzero(person.any(0))
    if not len(rows):
        return np.array([0, 0, person.shape[1], person.shape[0]], np.float32)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
