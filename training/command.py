"""What the command lines of the estimators' trainings share: their options, the data and the first weights."""

from __future__ import annotations

import argparse
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from posert.errors import InputError
from posert.models.movenet import MoveNetTrunk
from training.ahead import Ahead
from training.augment import Augmentation
from training.data.people import PosePictures
from training.loop import seed_everything
from training.pixels import PUBLISHED, Pixels, load_vgg
from training.views import ViewSampler, open_sampler
from training.weights import fill_fitting, read_weights

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Run:
    """All that one training is given.

    Attributes:
        settings: the configuration file.
        sampler: of augmented views.
        validation: LSP's images 901 to 1000.
        out: folder for checkpoints, pictures, the log and the weights.
        trunk: MoveNet's weights, or None.
        init: weights of another estimator on the same trunk, or None.
        evaluate_every: steps between looks at the validation images.
        device: where the network is trained.
    """

    settings: dict[str, Any]
    sampler: ViewSampler | Ahead
    validation: PosePictures
    out: Path
    trunk: Path | None
    init: Path | None
    evaluate_every: int
    device: torch.device = CPU

    @property
    def kept(self) -> dict[str, Any]:
        """What is kept with the weights."""
        return {"config": self.settings["model"], "size": self.settings["size"]}


def open_run(description: str | None, config: str, default_joints: int) -> Run:
    """Read the command line, seed all chance and open the data.

    Args:
        description: help text.
        config: the configuration file unless another is named.
        default_joints: how many joints the views have where the configuration's ``joints`` does not say.
    """
    parser = common_options(description, config)
    parser.add_argument("--lsp", type=Path, required=True, help="Leeds Sports Pose: images/ and joints.mat")
    parser.add_argument("--lspet", type=Path, help="Leeds Sports Pose Extended; without it LSP alone is used")
    parser.add_argument("--lspet-labels", type=Path, help="its labels as training.relabel settled them")
    parser.add_argument("--synth", type=Path, help="folder of the package synthpeople; without it no people are rendered")
    args = parser.parse_args()
    settings = open_settings(args)
    size = (settings["size"][0], settings["size"][1])
    joints = settings["model"].get("joints", default_joints)
    folders = (args.lsp, args.lspet, args.synth, args.lspet_labels)
    amount = Augmentation(**settings.get("augmentation", {}))
    sampler, validation = open_sampler(*folders, settings["shares"], size, settings["seed"], joints, amount)
    batches = Ahead(sampler, args.workers) if args.workers else sampler
    return Run(settings, batches, validation, args.out, args.trunk, args.init, args.evaluate_every, open_device(args.device))


def common_options(description: str | None, config: str, *, trunk: bool = True) -> argparse.ArgumentParser:
    """A command line with the options of every training; `trunk`: whether a backbone starts from weights of its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path(config), help="sizes, steps and rates")
    if trunk:
        parser.add_argument("--trunk", type=Path, help="weights (safetensors) of MoveNet's trunk or of VGG, as the backbone is")
    parser.add_argument("--init", type=Path, help="weights of another run (safetensors) to start from, as far as they fit")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, pictures, the log and the weights")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 = torch's choice")
    parser.add_argument("--device", help="cpu, cuda or cuda:N; by default a GPU where there is one")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw views; 0 = none beside the training's")
    parser.add_argument("--evaluate-every", type=int, default=500, help="steps between looks at the validation images")
    change = "change a value of the configuration, such as steps=500 or model.width=32; may be repeated"
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes", help=change)
    return parser


def open_device(name: str | None) -> torch.device:
    """The device of that name, or the best one.

    Raises:
        InputError: there is none of that name.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise InputError(f"--device {name!r} cannot be used here: {error}") from error


def open_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The configuration that a command line names, with its changes; threads are set and all chance is seeded."""
    settings = tomllib.loads(args.config.read_text())
    for text in args.changes:
        change_setting(settings, text)
    if args.threads:
        torch.set_num_threads(args.threads)
    seed_everything(settings["seed"])
    return settings


def change_setting(settings: dict[str, Any], text: str) -> None:
    """Change a value of a configuration, or add one.

    Args:
        settings: to be changed.
        text: ``NAME=VALUE``: the value as TOML has it, names of nested tables joined by dots.

    Raises:
        InputError: the text is of another form, or names a table in something that is none.
    """
    name, equals, value = text.partition("=")
    *tables, last = name.strip().split(".")
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
        for table in tables:
            settings = settings[table]
        if not (equals and last and isinstance(settings, dict)):
            raise TypeError(f"{'.'.join(tables)} is no table")
    except (KeyError, TypeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"--set needs NAME=VALUE, such as steps=500 or model.backbone='vgg'; got {text!r}: {error}") from error
    settings[last] = parsed


def fill(model: nn.Module, settings: dict[str, Any], trunk: Path | None, init: Path | None, taken: Pixels) -> None:
    """Give an estimator weights that were trained before, and freeze the first convolutions of its trunk.

    Args:
        model: an estimator on MoveNet's trunk or on VGG.
        settings: the configuration: ``frozen``, how many convolutions keep their weights, and ``trunk_pixels`` of VGG's weights,
            ``"caffe"`` or ``"torchvision"``.
        trunk: MoveNet's or VGG's weights, or None.
        init: weights of an estimator on the same trunk, or None: the trunk, and all else that fits by name and shape.
        taken: what the network takes.

    Raises:
        InputError: weights are given that the model has no place for.
    """
    backbone = model.get_submodule("backbone")
    own_trunk = getattr(backbone, "trunk", backbone)
    if trunk is not None:
        _fill_trunk(own_trunk, settings, trunk, taken)
    if init is not None:
        filled = fill_fitting(model, init)
        lacking = sorted(name for name in model.state_dict() if name.startswith("backbone.trunk.") and name not in filled)
        if lacking:
            raise InputError(f"{init} has no weights {lacking[0]} that fit; --init needs those of an estimator on the same trunk")
    for conv in [module for module in own_trunk.modules() if isinstance(module, nn.Conv2d)][: settings["frozen"]]:
        conv.requires_grad_(False)


def _fill_trunk(own: nn.Module, settings: dict[str, Any], trunk: Path, taken: Pixels) -> None:
    if isinstance(own, MoveNetTrunk):
        try:
            own.load_state_dict(read_weights(trunk))
        except RuntimeError as error:
            raise InputError(f"{trunk} does not hold the weights of this MoveNet trunk: {error}") from error
    else:
        published = settings.get("trunk_pixels")
        if published not in PUBLISHED:
            known = " or ".join(map(repr, PUBLISHED))
            raise InputError(f"the configuration's trunk_pixels must say what VGG's weights take, {known}; got {published!r}")
        load_vgg(own, trunk, PUBLISHED[published], taken)


def groups(model: nn.Module, rate: float, trunk_rate: float) -> list[dict[str, Any]]:
    """An optimizer's parameter groups: everything at one rate, but what was trained before (`backbone`) at another.

    Of a MoveNet backbone that is the trunk alone.
    """
    backbone = model.get_submodule("backbone")
    own_trunk = getattr(backbone, "trunk", None)
    known = {id(p) for p in (own_trunk if isinstance(own_trunk, MoveNetTrunk) else backbone).parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    trunk = [p for p in trained if id(p) in known]
    rest = [p for p in trained if id(p) not in known]
    return [{"params": rest, "lr": rate}, *([{"params": trunk, "lr": trunk_rate}] if trunk else [])]
