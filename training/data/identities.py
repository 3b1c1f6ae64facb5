"""What sets of pictures of many people, several of each, have in common: who is on them, and pairs of one person's pictures.

Lists of pairs are text files as PATN (Zhu et al., CVPR 2019) publishes them, with the names of a source and of a target a line:

from,to
0002_c1s1_000451_03.jpg,0002_c2s1_000301_01.jpg
"""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from posert.errors import InputError
from posert.media.files import read_bytes, write_bytes

HEADER = ["from", "to"]


class PersonPictures(ABC):
    """Pictures of many people, several of each.

    Attributes:
        names: file names, sorted.
        keypoints: float32 (N, 18, 3), x, y in pixels of `pictures` and score 0 or 1, coco18 order; missing = (NaN, NaN, 0).
        identities: integers (N,): who it is.
    """

    names: list[str]
    keypoints: NDArray[np.float32]
    identities: NDArray[np.int32]

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width of every picture."""

    @property
    def shown(self) -> slice:
        """The columns of every picture that the published files have; what lies outside was added to reach the size."""
        return slice(0, self.size[1])

    @abstractmethod
    def pictures(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pictures by number: uint8 (n, H, W, 3), RGB, fresh memory.

        Raises:
            InputError: a file cannot be read, or has another size than the others.
        """

    @abstractmethod
    def select(self, mask: NDArray[np.bool_]) -> Self:
        """The pictures where `mask` (N,) is true."""

    def __len__(self) -> int:
        return len(self.names)

    def split(self, validation_identities: int = 50) -> tuple[Self, Self]:
        """Training and validation part; the last identities in numeric order are for validation."""
        known = np.unique(self.identities)
        held_out = np.isin(self.identities, known[len(known) - min(validation_identities, len(known)) :])
        return self.select(~held_out), self.select(held_out)

    def pairs(self, count: int, seed: int) -> NDArray[np.int64]:
        """Draw `count` ordered pairs (source, target) of different pictures of one identity, uniformly over all such pairs.

        Returns:
            int64 (count, 2), indices of pictures.

        Raises:
            InputError: no identity has two pictures.
        """
        rng = np.random.default_rng(seed)
        groups = [np.flatnonzero(self.identities == identity) for identity in np.unique(self.identities)]
        weights = np.array([len(group) * (len(group) - 1) for group in groups], np.float64)
        if not weights.sum():
            raise InputError("no identity has two pictures, so there is no pair to draw")
        chosen = rng.choice(len(groups), size=count, p=weights / weights.sum())
        return np.array([rng.choice(groups[g], size=2, replace=False) for g in chosen], np.int64).reshape(-1, 2)

    def read_pairs(self, path: Path) -> NDArray[np.int64]:
        """Read a list of pairs.

        Args:
            path: a text file, ``from,to`` in its first line, then two file names a line.

        Returns:
            int64 (M, 2), indices of pictures: source and target.

        Raises:
            InputError: the file is no such list, or names a picture that is not here; the message says which line.
        """
        try:
            rows = list(csv.reader(read_bytes(path).decode().splitlines()))
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is not a text file in UTF-8: {error}") from error
        if not rows or [cell.strip() for cell in rows[0]] != HEADER:
            raise InputError(
                f"{path} is no list of pairs: its first line must be 'from,to', got {','.join(rows[0]) if rows else ''!r}"
            )
        number = {name: i for i, name in enumerate(self.names)}
        found = []
        for line, row in enumerate(rows[1:], start=2):
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) != 2:
                raise InputError(f"{path}, line {line}: expected two file names, 'from,to', got {','.join(row)!r}")
            missing = [name for name in cells if name not in number]
            if missing:
                raise InputError(
                    f"{path}, line {line}: {missing[0]!r} is not among the {len(self)} annotated pictures; "
                    "give the list that belongs to this part of the data set"
                )
            found.append([number[name] for name in cells])
        return np.array(found, np.int64).reshape(-1, 2)

    def write_pairs(self, path: Path, pairs: NDArray[np.int64]) -> None:
        """Write pairs, int64 (M, 2), as a list that `read_pairs` reads."""
        lines = [",".join(HEADER), *(f"{self.names[a]},{self.names[b]}" for a, b in pairs)]
        write_bytes(path, ("\n".join(lines) + "\n").encode())


def annotated(found: Iterable[str], poses: dict[str, NDArray[np.float32]], where: Path, annotation: Path) -> list[str]:
    """The names of the pictures that were found and are annotated, sorted.

    Args:
        found: names of pictures.
        poses: keypoints by name.
        where: folder of the pictures, for the message.
        annotation: file of the keypoints, for the message.

    Raises:
        InputError: there is none.
    """
    names = sorted(name for name in found if name in poses)
    if not names:
        raise InputError(f"{where} holds none of the {len(poses)} pictures that {annotation.name} annotates")
    return names
