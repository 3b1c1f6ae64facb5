"""What each zoo model is made of: a description `models/<name>.toml` and weights `models/<name>.safetensors` beside it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from posert.errors import InputError
from posert.models.adversarial import AdversarialConfig, PoseAndOcclusion
from posert.models.adversarial import Generator as AdversarialGenerator
from posert.models.cpm import CPM, CPMConfig, FinalBelief
from posert.models.normalisation import freeze_batch_norm
from posert.models.paf import PAF, FinalMaps, PAFConfig
from posert.models.pg2 import Generator, PG2Config
from posert.models.structured import Probabilities, Structured, StructuredConfig
from posert.models.unseen import PARTS, Unseen, UnseenConfig
from posert.skeleton import get_skeleton

MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True)
class Network:
    """One network of a model, ready to be exported.

    Attributes:
        name: its name in the bundle.
        reference: the float32 module that the exported graph is compared with.
        exported: the module that is exported: `reference`, or an equal one that runs faster.
        inputs: shape of each input without the batch.
        outputs: names of the outputs.
    """

    name: str
    reference: nn.Module
    exported: nn.Module
    inputs: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]

    @torch.no_grad()
    def run_reference(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the float32 module on NumPy inputs by name; return NumPy outputs by name."""
        results = self.reference(*(torch.from_numpy(inputs[name]) for name in self.inputs))
        results = results if isinstance(results, tuple) else (results,)
        return {name: result.numpy() for name, result in zip(self.outputs, results, strict=True)}


@dataclass(frozen=True)
class Recipe:
    """A model ready to be exported.

    Attributes:
        name: zoo name.
        networks: in the order in which they are run.
        manifest: the manifest's descriptive fields.
        batch_sizes: ascending; that the gate runs, and up to which the bundle may be run.
        embedded: whether the model is part of the installed package, or lies in the repository alone.
    """

    name: str
    networks: tuple[Network, ...]
    manifest: Mapping[str, Any]
    batch_sizes: tuple[int, ...] = (1, 8, 32)
    embedded: bool = True


def names() -> tuple[str, ...]:
    """Names of all models that can be exported."""
    return tuple(sorted(path.stem for path in MODELS.glob("*.toml")))


def estimators() -> tuple[str, ...]:
    """Names of the models that find keypoints."""
    return tuple(name for name in names() if tomllib.loads((MODELS / f"{name}.toml").read_text())["task"] == "estimation")


def load(name: str, weights: Path | None = None) -> Recipe:
    """Read a model's description and weights.

    Args:
        name: one of `names()`.
        weights: another weight file than the zoo's; it must fit the architecture that it names in its own metadata.

    Raises:
        InputError: the name is unknown, or the weights are missing, damaged or of another architecture.
    """
    description = MODELS / f"{name}.toml"
    if not description.is_file():
        raise InputError(f"unknown model {name!r}; known: {', '.join(names())}")
    manifest = tomllib.loads(description.read_text())
    embedded = manifest.pop("embedded", True)
    path = weights or MODELS / f"{name}.safetensors"
    tensors, metadata = _read_weights(path)
    if metadata.get("model") != manifest["paper"]:
        raise InputError(f"{path} holds weights of {metadata.get('model')!r}, but {name} is a {manifest['paper']!r} model")
    if weights is not None:  # what is known of the zoo's weights is not true of these
        manifest |= {"metrics": {}, "training": {"weights": path.name}}
        manifest["licences"] |= dict.fromkeys(("weights", "data"), "unknown: built from weights of the user")
    build = _BUILDERS[manifest["paper"]]
    try:
        size = json.loads(metadata.get("size", "null"))
        if size not in (None, manifest["preprocess"]["size"]):
            raise InputError(f"{path} was trained at {size}, but {name} is of size {manifest['preprocess']['size']}")
        return replace(build(name, tensors, json.loads(metadata["config"]), manifest), embedded=embedded)
    except (KeyError, TypeError, RuntimeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} does not fit {name}: {error}") from error


def _read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {key: file.get_tensor(key).float() for key in file.keys()}, metadata  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read weights {path}: {error}") from error


def _cpm(name: str, tensors: dict[str, Tensor], config: dict[str, Any], manifest: dict[str, Any]) -> Recipe:
    model = CPM(CPMConfig(**config))
    model.load_state_dict(tensors)
    module = FinalBelief(model).eval()
    size = manifest["preprocess"]["size"]
    return Recipe(name, (Network("estimator", module, module, {"image": (3, *size)}, ("heatmaps",)),), manifest)


def _paf(name: str, tensors: dict[str, Tensor], config: dict[str, Any], manifest: dict[str, Any]) -> Recipe:
    model = PAF(PAFConfig(**config))
    model.load_state_dict(tensors)
    module = FinalMaps(model).eval()
    size = manifest["preprocess"]["size"]
    return Recipe(name, (Network("estimator", module, module, {"image": (3, *size)}, ("heatmaps", "pafs")),), manifest)


def _structured(name: str, tensors: dict[str, Tensor], config: dict[str, Any], manifest: dict[str, Any]) -> Recipe:
    def build() -> nn.Module:
        model = Structured(StructuredConfig(**config))
        model.load_state_dict(tensors)
        return Probabilities(model).eval()

    return _normalised(name, build, ("heatmaps",), manifest)


def _adversarial(name: str, tensors: dict[str, Tensor], config: dict[str, Any], manifest: dict[str, Any]) -> Recipe:
    def build() -> nn.Module:
        model = AdversarialGenerator(AdversarialConfig(**config))
        model.load_state_dict(tensors)
        return PoseAndOcclusion(model).eval()

    return _normalised(name, build, ("heatmaps", "occlusion"), manifest)


def _normalised(name: str, build: Callable[[], nn.Module], outputs: tuple[str, ...], manifest: dict[str, Any]) -> Recipe:
    """An estimator with batch norm, which is exported as what it does."""
    reference, exported = build(), build()
    freeze_batch_norm(exported)
    size = manifest["preprocess"]["size"]
    return Recipe(name, (Network("estimator", reference, exported, {"image": (3, *size)}, outputs),), manifest)


def _pg2(name: str, tensors: dict[str, Tensor], config: dict[str, Any], manifest: dict[str, Any]) -> Recipe:
    reference, folded = Generator(PG2Config(**config)).eval(), Generator(PG2Config(**config)).eval()
    for generator in (reference, folded):
        generator.load_state_dict(tensors)
    outputs: tuple[str, ...] = ("image",)
    if folded.config.stages == 2:
        folded.refine.fold_twin_input()
        outputs = ("coarse", "image")
    size = manifest["preprocess"]["size"]
    planes = 3 + len(get_skeleton(manifest["skeleton"]))
    network = Network("generator", reference, folded, {"input": (planes, *size)}, outputs)
    return Recipe(name, (network,), manifest)


def _unseen(name: str, tensors: dict[str, Tensor], config: dict[str, Any], manifest: dict[str, Any]) -> Recipe:
    model = Unseen(UnseenConfig(**config)).eval()
    model.load_state_dict(tensors)
    height, width = manifest["preprocess"]["size"]
    pose = (len(get_skeleton(manifest["skeleton"])), height // 2, width // 2)
    networks = []
    for network, channels, outputs in (
        ("segmentation", 3, ("logits",)),
        ("background", 4, ("background",)),
        ("foreground", 3 * PARTS, ("foreground", "mask")),
    ):
        module = model.get_submodule(network)
        networks.append(Network(network, module, module, {"image": (channels, height, width), "pose": pose}, outputs))
    manifest["postprocess"] = {"part_power": model.config.part_power}
    return Recipe(name, tuple(networks), manifest, batch_sizes=(1, 4, 8))


_Builder = Callable[[str, dict[str, Tensor], dict[str, Any], dict[str, Any]], Recipe]
_BUILDERS: dict[str, _Builder] = {
    **{"cpm": _cpm, "structured": _structured, "adversarial": _adversarial, "paf": _paf},
    **{"pg2": _pg2, "unseen": _unseen},
}
