"""Settle where the joints of Leeds Sports Pose Extended are, by what three witnesses say: the crowd that labelled it, MoveNet
Thunder, and a trained estimator.

    python -m training.relabel --lspet lspet --model cpm-m --out lspet-labels.npy
    python -m training.cpm --lspet lspet --lspet-labels lspet-labels.npy ...

The crowd is often wrong about sides and hidden joints, networks are about rare poses; two that agree seldom are.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from posert.estimator import Estimator
from training.data.lsp import load_lspet, read_network_labels
from training.data.people import BODY, PosePictures
from training.errors import plain_errors

AGREE = 0.06  # of the diagonal of the person's box: about 0.2 of the torso of somebody who stands
HEARD = 0.3  # networks' joints with lower scores do not count
SURE = 0.85  # the estimator alone is believed above this score
UNSURE = 0.6  # the crowd alone is believed where the estimator's score is below this

CROWD, NETWORK, MODEL = range(3)


def settle(claims: NDArray[np.float32], diagonals: NDArray[np.float64]) -> NDArray[np.float32]:
    """One position for each joint: the mean of two or three claims that agree; where none do, the estimator's if it is sure, and
    the crowd's if the estimator is not (rare poses, at which the crowd is the better one).

    Args:
        claims: (3, N, K, 3): x, y, score of the crowd, the network and the estimator; a claim of score 0 is not made. Where two
            pairs agree, the estimator's position is the middle one and all three count.
        diagonals: (N,): of the people's boxes, in pixels.

    Returns:
        float32 (N, K, 3): x, y, score 1; (NaN, NaN, 0) where the claims do not settle it.
    """
    said = claims[..., 2] > np.array([0, HEARD, HEARD])[:, None, None]
    xy = np.where(said[..., None], claims[..., :2], np.nan).astype(np.float64)
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=-1)  # (3, 3, N, K), NaN where one says nothing
    agrees = apart <= AGREE * diagonals[:, None]
    with_model = agrees[MODEL]
    others = agrees[CROWD, NETWORK] & ~with_model[CROWD] & ~with_model[NETWORK]
    counted = with_model & (with_model[CROWD] | with_model[NETWORK])
    counted[[CROWD, NETWORK]] |= others
    open_question, score = ~counted.any(0), claims[MODEL, ..., 2]
    counted[MODEL] |= open_question & (score > SURE)
    counted[CROWD] |= open_question & (score < UNSURE) & said[CROWD]
    settled = counted.any(0)
    mean = np.where(counted[..., None], xy, 0).sum(0) / np.maximum(counted.sum(0), 1)[..., None]
    return np.where(settled[..., None], np.concatenate([mean, settled[..., None]], -1), (np.nan, np.nan, 0)).astype(np.float32)


def find(data: PosePictures, model: str) -> NDArray[np.float32]:
    """The body's joints that an estimator finds in each picture inside the labelled joints' box, (N, 14, 3)."""
    found = []
    with Estimator(model, flip_test=True) as estimator:
        for start in track(range(0, len(data), 16), "looking"):
            indices = range(start, min(start + 16, len(data)))
            boxes = data.boxes()[indices.start : indices.stop]
            found.append(estimator.run([data.image(i) for i in indices], boxes).keypoints[:, BODY])
    return np.concatenate(found)


def relabel(root: Path, model: str) -> NDArray[np.float32]:
    """Settled labels of the set in `root`, (N, 14, 3)."""
    data = load_lspet(root)
    crowd = load_lspet(root, trust=None).keypoints[:, BODY]
    network = read_network_labels(root, len(data))
    claims = np.stack([crowd, np.zeros_like(crowd) if network is None else network[:, BODY], find(data, model)])
    claims[NETWORK, :, :2] = np.nan, np.nan, 0  # head top and neck: extrapolated, not found
    boxes = data.boxes()
    return settle(claims, np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1))


@plain_errors()
def main() -> None:
    """Command line of the relabelling."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lspet", type=Path, required=True, help="Leeds Sports Pose Extended: images/ and joints.mat")
    parser.add_argument("--model", default="cpm-m", help="estimator of one person: a name or the path of a .posert file")
    parser.add_argument("--out", type=Path, required=True, help="where to write the labels (.npy)")
    args = parser.parse_args()
    settled = relabel(args.lspet, args.model)
    temporary = args.out.with_suffix(".tmp")
    with temporary.open("wb") as file:
        np.save(file, settled)
    os.replace(temporary, args.out)
    print(f"{args.out}: {(settled[..., 2] > 0).mean():.1%} of {len(settled)} x {settled.shape[1]} joints settled")


if __name__ == "__main__":
    main()
