"""DeepFashion, In-shop Clothes Retrieval (Liu et al., CVPR 2016), with the keypoints, names and lists of PATN.

Either PATN's own layout, pictures of 176 x 256 pixels, cut from the middle of the published ones:

train/fashionWOMENDressesid0000271801_4full.jpg     test/ likewise
fasion-resize-annotation-train.csv                  name: [y, ...]: [x, ...], 18 keypoints in OpenPose-COCO order, -1 = missing
fasion-resize-pairs-train.csv                       from,to

or the layout of the data set itself, pictures of 256 x 256 pixels, beside the same two files:

img/WOMEN/Dresses/id_00002718/01_4_full.jpg         which PATN calls by the name above

The networks see 256 x 256 pixels: what PATN cut off a picture is filled with the picture's own rim. (PATN spells it "fasion".)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.evaluation.market import read_annotation
from posert.media.images import read_image
from training.data.identities import PersonPictures, annotated

SIDE = 256
CUT_WIDTH = 176
MARGIN = (SIDE - CUT_WIDTH) // 2
ANNOTATIONS = ("fasion-resize-annotation-{}.csv", "fashion-resize-annotation-{}.csv")


@dataclass(frozen=True)
class DeepFashion(PersonPictures):
    """Pictures of many people, several of each, read from disk when they are asked for.

    Attributes:
        names: PATN's names, sorted.
        files: where each picture lies.
        keypoints: float32 (N, 18, 3), x, y in pixels of 256 x 256 and score 0 or 1, coco18 order; missing = (NaN, NaN, 0).
        identities: int32 (N,): one number for the pictures of one person in one set of clothes.
        width: of the files: 176 or 256.
    """

    names: list[str]
    files: list[Path]
    keypoints: NDArray[np.float32]
    identities: NDArray[np.int32]
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every picture."""
        return SIDE, SIDE

    @property
    def shown(self) -> slice:
        """The columns of every picture that the files have."""
        margin = (SIDE - self.width) // 2
        return slice(margin, SIDE - margin)

    def pictures(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pictures by number: uint8 (n, 256, 256, 3), RGB, fresh memory.

        Raises:
            InputError: a file cannot be read, or has another size than the others.
        """
        margin = self.shown.start
        out = np.empty((len(index), SIDE, SIDE, 3), np.uint8)
        for picture, number in zip(out, index, strict=True):
            image = read_image(self.files[number])
            height, width = image.shape[:2]
            if (height, width) != (SIDE, self.width):
                wanted = f"{self.width} x {SIDE} pixels, as the first picture"
                raise InputError(f"{self.files[number]} must be {wanted}; got {width} x {height}")
            picture[...] = np.pad(image, ((0, 0), (margin, margin), (0, 0)), mode="edge")
        return out

    def select(self, mask: NDArray[np.bool_]) -> DeepFashion:
        """The pictures where `mask` (N,) is true."""
        chosen = np.flatnonzero(mask)
        lists = ([part[i] for i in chosen] for part in (self.names, self.files))
        return DeepFashion(*lists, self.keypoints[mask], self.identities[mask], self.width)  # type: ignore[arg-type]


def patn_name(path: Path) -> str:
    """PATN's name of a picture of the published data set.

    Args:
        path: relative to ``img``, such as ``WOMEN/Dresses/id_00002718/01_4_full.jpg``.
    """
    gender, category, item, file = path.parts[-4:]
    colour, _, pose = file.partition("_")
    return f"fashion{gender}{category}{item.replace('_', '')}{colour}_{pose.replace('_', '')}"


def load(root: Path | str, part: str = "train") -> DeepFashion:
    """Read a part of DeepFashion In-shop: every picture that PATN's keypoint file of that part names.

    Args:
        root: the folder of one of the two layouts above.
        part: ``"train"`` or ``"test"``.

    Raises:
        InputError: a folder or file of the layout is missing or damaged.
    """
    root = Path(root)
    annotation = find_annotation(root, part)
    if annotation is None:
        raise InputError(f"{root} is not DeepFashion as PATN lays it out: it needs the file {ANNOTATIONS[0].format(part)}")
    published, cut = root / "img", root / part
    if cut.is_dir():
        folder, files = cut, {path.name: path for path in cut.glob("*.jpg")}
    elif published.is_dir():
        folder, files = published, {patn_name(path.relative_to(root)): path for path in published.glob("*/*/*/*.jpg")}
    else:
        raise InputError(
            f"{root} is not DeepFashion: beside {annotation.name} it needs the folder {part} (PATN's) or img (In-shop)"
        )
    poses = read_annotation(annotation)
    names = annotated(files, poses, folder, annotation)
    height, width = read_image(files[names[0]]).shape[:2]
    if height != SIDE or width not in (SIDE, CUT_WIDTH):
        raise InputError(f"{files[names[0]]} must be {CUT_WIDTH} or {SIDE} x {SIDE} pixels, got {width} x {height}")
    keypoints = np.stack([poses[name] for name in names])
    # Published pictures are whole, while PATN's keypoints are of what it cut out of them.
    keypoints[..., 0] += MARGIN if folder == published else (SIDE - width) // 2
    identities = np.unique([name.rpartition("_")[0] for name in names], return_inverse=True)[1].astype(np.int32)
    return DeepFashion(names, [files[name] for name in names], keypoints, identities, width)


def find_annotation(root: Path, part: str) -> Path | None:
    """The keypoint file of a part, if there is one."""
    candidates = (root / name.format(part) for name in ANNOTATIONS)
    return next((path for path in candidates if path.is_file()), None)
