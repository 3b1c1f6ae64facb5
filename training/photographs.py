"""A picture to judge a transfer model by: people of Leeds Sports Pose in each other's poses, chosen by chance, failures and all.

    python -m training.photographs unseen-s --lsp lsp --out photographs.png

Images 901 to 1000, which no model was trained on, with their true joints. A row shows the photograph, the pose, what the model
drew, and the photograph with it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from posert import Poses, Transfer
from posert.commands.figures import drawn_figure
from posert.draw import picture_grid
from posert.media.images import write_image
from posert.reenactment import Reenactment
from posert.types import Image
from training.data.lsp import load_lsp
from training.data.people import PosePictures
from training.errors import plain_errors

CELL = 256
COLUMNS = ("photograph", "pose", "as drawn", "in the photograph")


def row(transfer: Transfer, people: PosePictures, source: int, driver: int) -> list[Image]:
    """One person in the pose of another."""
    poses = [Poses(people.keypoints[i : i + 1], [0], people.boxes()[i : i + 1], "lsp19") for i in (source, driver)]  # type: ignore[arg-type]
    image = people.image(source)
    reenactment = Reenactment(transfer, image, *poses, paste=True)
    drawn = reenactment.draw(poses[1])
    return [image, drawn_figure(people.image(driver), poses[1], (CELL, CELL)), drawn.pictures[0], drawn.images[0]]


@plain_errors()
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a transfer model: a zoo name or a .posert file")
    parser.add_argument("--lsp", type=Path, required=True, help="Leeds Sports Pose: images/ and joints.mat")
    parser.add_argument("--count", type=int, default=16, help="rows, 1 to 50")
    parser.add_argument("--seed", type=int, default=0, help="of the choice")
    parser.add_argument("--out", type=Path, required=True, help="the picture: .png or .jpg")
    args = parser.parse_args()
    if not 1 <= args.count <= 50:
        parser.error(f"--count must be 1 to 50, got {args.count}")
    people = load_lsp(args.lsp).part(900, 1000)
    chosen = np.random.default_rng(args.seed).permutation(len(people))[: 2 * args.count].reshape(-1, 2).tolist()
    with Transfer(args.model) as transfer:
        rows = [row(transfer, people, *pair) for pair in chosen]
    captions = [f"{901 + source} as {901 + driver}" for source, driver in chosen]
    write_image(args.out, picture_grid(rows, (CELL, CELL), columns=COLUMNS, rows=captions))
    print(f"{len(rows)} people: {args.out}")


if __name__ == "__main__":
    main()
