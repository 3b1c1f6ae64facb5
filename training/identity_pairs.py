"""Draws pairs of pictures of one person for networks that re-draw people."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from posert.skeleton import get_skeleton
from training.data.identities import PersonPictures

FACE = [0, 14, 15, 16, 17]  # nose, eyes, ears in coco18
FLIP = list(get_skeleton("coco18").flip)
Arrays = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]


class PairSampler:
    """Draws (source, target pose, target) triples of one identity; batch number and seed decide, so a run can resume anywhere."""

    def __init__(
        self,
        data: PersonPictures,
        seed: int,
        pairs: NDArray[np.int64] | None = None,
        hidden_faces: float = 1 / 6,
    ) -> None:
        """Prepare.

        Args:
            data: the pictures.
            seed: of all chance.
            pairs: int64 (M, 2): only these pairs are drawn; None draws all ordered pairs of two pictures of one identity.
            hidden_faces: share of the poses whose face joints are hidden, as estimators without them leave them.
        """
        self.data, self.seed, self.size = data, seed, data.size
        self.given, self.hidden_faces = pairs, hidden_faces
        self.by_identity = [np.flatnonzero(data.identities == i) for i in np.unique(data.identities)]
        sizes = np.array([len(group) * (len(group) - 1) for group in self.by_identity], np.float64)
        self.weights = sizes / max(sizes.sum(), 1)

    def batch(self, number: int, count: int) -> Arrays:
        """Source images (N, H, W, 3), target keypoints (N, 18, 3), target images; mirrored at random.

        Args:
            number: of the batch.
            count: N.
        """
        rng = np.random.default_rng((self.seed, number))
        if self.given is not None:
            pairs = self.given[rng.integers(len(self.given), size=count)]
        else:
            groups = rng.choice(len(self.by_identity), count, p=self.weights)
            pairs = np.stack([rng.choice(self.by_identity[g], 2, replace=False) for g in groups])
        source, target = self.data.pictures(pairs[:, 0]), self.data.pictures(pairs[:, 1])
        pose = self.data.keypoints[pairs[:, 1]].copy()
        mirrored = rng.random(count) < 0.5
        source[mirrored] = source[mirrored, :, ::-1]
        target[mirrored] = target[mirrored, :, ::-1]
        pose[mirrored] = pose[mirrored][:, FLIP]
        pose[mirrored, :, 0] = self.size[1] - 1 - pose[mirrored, :, 0]
        faceless = np.flatnonzero(rng.random(count) < self.hidden_faces)
        pose[np.ix_(faceless, FACE)] = (np.nan, np.nan, 0)
        return source, pose, target
