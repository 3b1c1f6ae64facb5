"""`Manifest`: what a `.posert` bundle says about itself, checked field by field (docs/bundle.md)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from posert.errors import BundleError
from posert.fields import check_count, check_list, check_number, check_object, check_text, refuse
from posert.processing import LARGEST_SIDE, Postprocess, Preprocess
from posert.skeleton import SKELETONS, Skeleton, get_skeleton
from posert.variants import IDENTIFIER, PLAN_FILE, Variant

FORMAT = "posert-bundle"
VERSION = 1
MANIFEST_LIMIT = 1 << 20
"""Most bytes that manifest.json may have."""

NETWORK_FILE = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.onnx"
_MEMBER = f"{NETWORK_FILE}|{PLAN_FILE}"
_KEYS = (
    *("format", "version", "name", "task", "paper", "description", "skeleton", "networks", "preprocess", "postprocess"),
    *("batch_sizes", "files", "variants", "training", "metrics", "licences"),
)
_DTYPES = ("float32", "float16", "uint8", "int32", "int64", "bool")
_TASKS = ("estimation", "transfer")
_ESTIMATORS, _TRANSFERS = ("cpm", "structured", "adversarial", "paf"), ("pg2", "unseen")
_PAPERS = {**dict.fromkeys(_ESTIMATORS, "estimation"), **dict.fromkeys(_TRANSFERS, "transfer")}
_PARTS = 10  # those of posert.ops.limb_priors.parts, beside the background
_PAF_CHANNELS = 38  # two for each of posert.ops.PAF_LIMBS, which join the joints of coco18


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a network.

    Attributes:
        name: its name in the ONNX graph.
        dtype: NumPy's name of its element type.
        shape: its dimensions; ``"N"``, the batch, comes first, all others are numbers.
        range: least and greatest value that is meant, or None where there is no such bound.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    range: tuple[float, float] | None

    @classmethod
    def parse(cls, value: Any, where: str) -> TensorSpec:
        """Check one entry of `inputs` or `outputs`."""
        entry = check_object(value, where, ("name", "dtype", "shape"), ("range",))
        shape = check_list(entry["shape"], f"{where}.shape", 1, 8)
        if shape[0] != "N":
            refuse(f"{where}.shape[0]", 'the batch dimension "N"', shape[0])
        sides = tuple(check_count(side, f"{where}.shape[{i}]", 1, LARGEST_SIDE) for i, side in enumerate(shape) if i)
        limits = None
        if entry.get("range") is not None:
            low, high = (check_number(v, f"{where}.range") for v in check_list(entry["range"], f"{where}.range", 2, 2))
            if low >= high:
                refuse(f"{where}.range", "two ascending numbers or null", entry["range"])
            limits = (low, high)
        dtype = check_text(entry["dtype"], f"{where}.dtype", choices=_DTYPES)
        return cls(check_text(entry["name"], f"{where}.name", pattern=IDENTIFIER), dtype, ("N", *sides), limits)


@dataclass(frozen=True)
class NetworkSpec:
    """One network: its name, the ONNX member it lies in, and its inputs and outputs in the order of the graph."""

    name: str
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @classmethod
    def parse(cls, value: Any, where: str) -> NetworkSpec:
        """Check one entry of `networks`."""
        entry = check_object(value, where, ("name", "file", "inputs", "outputs"))
        sides = []
        for side in ("inputs", "outputs"):
            tensors = check_list(entry[side], f"{where}.{side}", 1, 64)
            specs = tuple(TensorSpec.parse(t, f"{where}.{side}[{i}]") for i, t in enumerate(tensors))
            _unique([s.name for s in specs], f"{where}.{side}")
            sides.append(specs)
        name = check_text(entry["name"], f"{where}.name", pattern=IDENTIFIER)
        return cls(name, check_text(entry["file"], f"{where}.file", pattern=NETWORK_FILE), sides[0], sides[1])


@dataclass(frozen=True)
class MemberFile:
    """Hash and size of one member of the bundle."""

    sha256: str
    bytes: int

    @classmethod
    def parse(cls, value: Any, where: str) -> MemberFile:
        """Check one entry of `files`."""
        entry = check_object(value, where, ("sha256", "bytes"))
        sha256 = check_text(entry["sha256"], f"{where}.sha256", pattern="[0-9a-f]{64}", wanted="64 hexadecimal digits")
        return cls(sha256, check_count(entry["bytes"], f"{where}.bytes", 0, (1 << 32) - 1))


def _unique(names: list[str], where: str) -> None:
    twice = sorted(name for name, count in Counter(names).items() if count > 1)[:8]
    if twice:
        refuse(where, "distinct names", twice)


@dataclass(frozen=True)
class Manifest:
    """The checked content of manifest.json. The mappings in it are not to be changed.

    Attributes:
        name: the model's name, such as ``"cpm-s"``.
        task: ``"estimation"`` or ``"transfer"``.
        paper: whose network it is, and so what the inputs and outputs mean: ``"cpm"``, ``"structured"``, ``"adversarial"``,
            ``"paf"``, ``"pg2"`` or ``"unseen"``.
        description: one sentence.
        skeleton: the joints it finds or is driven by.
        networks: the networks, each with a file of its own.
        preprocess, postprocess: what happens before and after the network.
        batch_sizes: ascending; batches up to the last one can be run.
        files: hash and size of every member except manifest.json.
        variants: backends and precisions that passed their parity gate.
        training, metrics: how it was made and how good it is; free form.
        licences: of `code`, `weights` and `data`.
    """

    name: str
    task: Literal["estimation", "transfer"]
    paper: str
    description: str
    skeleton: Skeleton
    networks: tuple[NetworkSpec, ...]
    preprocess: Preprocess
    postprocess: Postprocess
    batch_sizes: tuple[int, ...]
    files: Mapping[str, MemberFile] = field(hash=False)
    variants: tuple[Variant, ...]
    training: Mapping[str, Any] = field(hash=False, repr=False)
    metrics: Mapping[str, Any] = field(hash=False, repr=False)
    licences: Mapping[str, str] = field(hash=False)
    text: str = field(repr=False)
    """The whole as canonical JSON: sorted keys, no spaces."""

    def network(self, name: str) -> NetworkSpec:
        """The network of that name.

        Raises:
            BundleError: there is none.
        """
        for spec in self.networks:
            if spec.name == name:
                return spec
        raise BundleError(f"bundle {self.name!r} has no network {name!r}; it has {[n.name for n in self.networks]}")

    def document(self) -> dict[str, Any]:
        """The manifest as a fresh JSON document."""
        document: dict[str, Any] = json.loads(self.text)
        return document

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Check the bytes of a manifest.json.

        Raises:
            BundleError: it is not JSON, or a field is missing, unknown, or of the wrong type or value.
        """
        if len(data) > MANIFEST_LIMIT:
            raise BundleError(f"manifest.json has {len(data)} bytes; at most {MANIFEST_LIMIT} are allowed")
        try:
            document = json.loads(data.decode(), object_pairs_hook=_distinct, parse_constant=_not_finite, parse_float=_finite)
            return cls.of(document)
        except RecursionError as error:
            raise BundleError("manifest.json is nested too deeply") from error
        except ValueError as error:  # UnicodeDecodeError, JSONDecodeError, numbers of thousands of digits
            raise BundleError(f"manifest.json is not valid JSON in UTF-8: {error}") from error

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Manifest:
        """Check a JSON document.

        Raises:
            BundleError: a field is missing, unknown, or of the wrong type or value; the message names the field.
        """
        if not isinstance(document, Mapping) or document.get("format") != FORMAT:
            raise BundleError(f'this is not a posert bundle: the manifest\'s "format" must be "{FORMAT}"')
        if document.get("version") != VERSION or document["version"] is True:
            found = document.get("version")
            raise BundleError(f"the bundle's format version is {found!r:.40}; this posert reads version {VERSION}: update posert")
        entry = check_object(document, "manifest", _KEYS)
        task: Any = check_text(entry["task"], "task", choices=_TASKS)
        paper = check_text(entry["paper"], "paper", choices=[name for name, of in _PAPERS.items() if of == task])
        listed = check_list(entry["networks"], "networks", 1, 16)
        networks = tuple(NetworkSpec.parse(network, f"networks[{i}]") for i, network in enumerate(listed))
        _unique([n.name for n in networks], "networks")
        _unique([n.file for n in networks], "networks (their files)")
        listed = check_list(entry["variants"], "variants", 1, 64)
        variants = tuple(Variant.parse(variant, f"variants[{i}]") for i, variant in enumerate(listed))
        _unique([f"{v.backend} {v.precision}" for v in variants], "variants")
        files = _files(entry["files"], networks)
        _check_plans(variants, networks, files)
        skeleton = get_skeleton(check_text(entry["skeleton"], "skeleton", choices=tuple(sorted(SKELETONS))))
        manifest = cls(
            name=check_text(entry["name"], "name", pattern=IDENTIFIER),
            task=task,
            paper=paper,
            description=check_text(entry["description"], "description"),
            skeleton=skeleton,
            networks=networks,
            preprocess=Preprocess.parse(entry["preprocess"], task),
            postprocess=Postprocess.parse(entry["postprocess"], paper, skeleton.joints),
            batch_sizes=_batch_sizes(entry["batch_sizes"]),
            files=files,
            variants=variants,
            training=check_object(entry["training"], "training"),
            metrics=check_object(entry["metrics"], "metrics"),
            licences=_licences(entry["licences"]),
            text=_canonical(document),
        )
        _check_contract(manifest)
        return manifest


def _batch_sizes(value: Any) -> tuple[int, ...]:
    sizes = tuple(check_count(size, "batch_sizes", 1, 65536) for size in check_list(value, "batch_sizes", 1, 64))
    if list(sizes) != sorted(set(sizes)):
        refuse("batch_sizes", "ascending numbers", list(sizes))
    return sizes


def _files(value: Any, networks: tuple[NetworkSpec, ...]) -> dict[str, MemberFile]:
    files = {}
    for name, entry in check_object(value, "files").items():
        check_text(name, "files", pattern=_MEMBER, wanted='a name like "network.onnx" or "plans/name"')
        files[name] = MemberFile.parse(entry, f"files[{name!r}]")
    named = {n.file for n in networks}
    onnx = {name for name in files if not name.startswith("plans/")}
    if named != onnx:
        raise BundleError(f"networks name the files {sorted(named)}, but the manifest lists {sorted(onnx)[:16]}")
    return files


def _check_plans(variants: tuple[Variant, ...], networks: tuple[NetworkSpec, ...], files: Mapping[str, MemberFile]) -> None:
    """Each plan is of a network that there is, in a member that there is, and of each network a variant has one at most."""
    for variant in variants:
        where = f"plans of {variant.backend} {variant.precision}"
        _unique([plan.network for plan in variant.plans], where)
        for plan in variant.plans:
            if plan.network not in [n.name for n in networks]:
                refuse(where, "plans of the bundle's networks", plan.network)
            if plan.file not in files:
                refuse(where, "members of the bundle", plan.file)


def _licences(value: Any) -> dict[str, str]:
    entry = check_object(value, "licences", ("code", "weights", "data"))
    return {key: check_text(text, f"licences.{key}") for key, text in entry.items()}


def _check_contract(manifest: Manifest) -> None:
    """Compare the networks that the pipelines run with what they feed them and read from them."""
    wanted = {"paf": _of_paf, "adversarial": _of_adversarial, "pg2": _of_pg2, "unseen": _of_unseen}
    for name, (inputs, outputs) in wanted.get(manifest.paper, _of_estimator)(manifest).items():
        network = manifest.network(name)
        for side, shapes, tensors in (("inputs", inputs, network.inputs), ("outputs", outputs, network.outputs)):
            found = {t.name: (t.dtype, t.shape) for t in tensors}
            for tensor, shape in shapes.items():
                if found.get(tensor) != ("float32", ("N", *shape)):
                    refuse(f"network {name!r}, {side}", f"{tensor!r}: float32 of shape {('N', *shape)}", found)
        if len(network.inputs) != len(inputs):
            refuse(f"network {name!r}, inputs", f"{list(inputs)} alone", [t.name for t in network.inputs])


_Shapes = dict[str, tuple[int, ...]]
_Contract = dict[str, tuple[_Shapes, _Shapes]]


def _of_estimator(manifest: Manifest) -> _Contract:
    """Inputs and outputs of every network, by its name: one map a joint and one of the background."""
    stride, (height, width) = manifest.postprocess.stride, manifest.preprocess.size
    inputs: _Shapes = {"image": (3, height, width)}
    outputs: _Shapes = {"heatmaps": (len(manifest.skeleton) + 1, height // stride, width // stride)}
    return {"estimator": (inputs, outputs)}


def _of_paf(manifest: Manifest) -> _Contract:
    if manifest.skeleton.name != "coco18":
        refuse("skeleton", '"coco18", whose joints the fields join', manifest.skeleton.name)
    inputs, outputs = _of_estimator(manifest)["estimator"]
    return {"estimator": (inputs, outputs | {"pafs": (_PAF_CHANNELS, *outputs["heatmaps"][1:])})}


def _of_adversarial(manifest: Manifest) -> _Contract:
    """It draws no background."""
    inputs, outputs = _of_estimator(manifest)["estimator"]
    maps = (len(manifest.skeleton), *outputs["heatmaps"][1:])
    return {"estimator": (inputs, dict.fromkeys(("heatmaps", "occlusion"), maps))}


def _of_pg2(manifest: Manifest) -> _Contract:
    """A model of one stage has no coarse picture."""
    size = manifest.preprocess.size
    stages = {t.name for t in manifest.network("generator").outputs} & {"coarse"}
    outputs: _Shapes = dict.fromkeys(("image", *stages), (3, *size))
    return {"generator": ({"input": (3 + len(manifest.skeleton), *size)}, outputs)}


def _of_unseen(manifest: Manifest) -> _Contract:
    if manifest.skeleton.name != "cpm14":
        refuse("skeleton", '"cpm14", whose joints make the parts', manifest.skeleton.name)
    size = manifest.preprocess.size
    if size[0] % 2 or size[1] % 2:
        refuse("preprocess.size", "even numbers: the pose is seen at half the size", list(size))
    pose: _Shapes = {"pose": (len(manifest.skeleton), size[0] // 2, size[1] // 2)}
    return {
        "segmentation": ({"image": (3, *size), **pose}, {"logits": (_PARTS + 1, *size)}),
        "background": ({"image": (4, *size), **pose}, {"background": (3, *size)}),
        "foreground": ({"image": (3 * _PARTS, *size), **pose}, {"foreground": (3, *size), "mask": (1, *size)}),
    }


def _canonical(document: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()  # a lone surrogate cannot be written
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError(f"the manifest cannot be written as JSON: {error}") from error
    return text


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        _unique([key for key, _ in pairs], "manifest")
    return result


def _not_finite(constant: str) -> NoReturn:
    raise BundleError(f"manifest.json holds {constant}, which is not JSON; numbers must be finite")


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise BundleError(f"manifest.json holds {digits:.40}, which is too large; numbers must be finite")
    return value
