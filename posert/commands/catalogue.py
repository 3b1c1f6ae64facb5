"""`posert models` and `posert inspect`: what a model is, how good it is, and under which licences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from posert.commands.console import Json, megabytes, print_facts, print_json, print_table, say

if TYPE_CHECKING:
    from posert.bundle import Bundle
    from posert.manifest import Manifest


def models(as_json: Json = False) -> None:
    """List the models that come with posert, with their licences.

    \b
    For a reader:   posert models
    For a program:  posert models --json
    All about one:  posert inspect cpm-s
    """
    from posert import zoo
    from posert.bundle import Bundle

    bundles = [Bundle.open(zoo.path(name)) for name in zoo.names()]
    if as_json:
        print_json([_summary(bundle) for bundle in bundles])
        return
    rows = []
    for manifest, size in ((bundle.manifest, bundle.path.stat().st_size) for bundle in bundles):
        height, width = manifest.preprocess.size
        licences = "\n".join(f"{what}: {text}" for what, text in manifest.licences.items())
        facts = (manifest.name, manifest.task, manifest.skeleton.name, f"{width} x {height}", megabytes(size))
        rows.append((*facts, headline(manifest.metrics), licences))
    print_table("", ("model", "task", "joints", "input", "size", "quality", "licences"), rows)
    say("Use a name with --model, and 'posert inspect NAME' for all about it.")


def _summary(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "name": manifest.name,
        "task": manifest.task,
        "description": manifest.description,
        "skeleton": manifest.skeleton.name,
        "input_size": list(manifest.preprocess.size),
        "bytes": bundle.path.stat().st_size,
        "path": str(bundle.path),
        "metrics": dict(manifest.metrics),
        "licences": dict(manifest.licences),
    }


def headline(metrics: Mapping[str, Any]) -> str:
    """The first two numbers among a model's metrics that stand for themselves; tables, joint by joint, are left to `inspect`."""
    found = [f"{name} {value:.4g}" for name, value in metrics.items() if type(value) in (int, float)]
    return "\n".join(found[:2]) or "not measured"


def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A .posert file, or the name of an embedded model.")],
    as_json: Json = False,
) -> None:
    """Show what a .posert file holds: networks, parity report, sizes, hashes, training, licences. Every hash is checked.

    \b
    A file:             posert inspect mine.posert
    An embedded model:  posert inspect cpm-s
    For a program:      posert inspect cpm-s --json
    """
    from posert import zoo
    from posert.bundle import Bundle
    from posert.paths import path_kind

    is_file = file.endswith(".posert") or "/" in file or path_kind(file) == "file"
    bundle = Bundle.open(file if is_file else zoo.path(file))
    if as_json:
        print_json({"path": str(bundle.path), "bytes": bundle.path.stat().st_size, "manifest": bundle.manifest.document()})
        return
    manifest = bundle.manifest
    say(f"{bundle.path}\n{manifest.name}: {manifest.description}")
    _print_facts(bundle, manifest)
    _print_networks(manifest)
    print_table(
        "Variants, and how far they are from PyTorch",
        ("backend", "precision", "parity"),
        [(variant.backend, variant.precision, _lines(variant.parity)) for variant in manifest.variants],
    )
    _print_plans(manifest)
    members = [("manifest.json", megabytes(bundle.members["manifest.json"]), "")]
    members += [(name, megabytes(entry.bytes), entry.sha256) for name, entry in manifest.files.items()]
    print_table("Members, all with the hash that the manifest gives", ("name", "size", "sha256"), members)


def _print_facts(bundle: Bundle, manifest: Manifest) -> None:
    height, width = manifest.preprocess.size
    document = manifest.document()
    facts = [
        ("task", f"{manifest.task} ({manifest.paper})"),
        ("joints", f"{manifest.skeleton.name}: {', '.join(manifest.skeleton.joints)}"),
        ("input", f"{width} x {height} pixels"),
        ("preprocess", _lines(document["preprocess"])),
        ("postprocess", _lines(document["postprocess"])),
        ("batches", ", ".join(map(str, manifest.batch_sizes))),
        ("size", megabytes(bundle.path.stat().st_size)),
        ("metrics", _lines(manifest.metrics)),
        ("training", _lines(manifest.training)),
        ("licences", _lines(manifest.licences)),
    ]
    print_facts(fact for fact in facts if fact[1])


def _print_networks(manifest: Manifest) -> None:
    rows = []
    for network in manifest.networks:
        for side, tensors in (("input", network.inputs), ("output", network.outputs)):
            for tensor in tensors:
                limits = f"{tensor.range[0]:g} to {tensor.range[1]:g}" if tensor.range else "unbounded"
                rows.append((network.name, side, tensor.name, tensor.dtype, " x ".join(map(str, tensor.shape)), limits))
    print_table("Networks", ("network", "", "tensor", "dtype", "shape", "range"), rows)


def _print_plans(manifest: Manifest) -> None:
    """What the compiled engines of a bundle need; nothing where it has none."""
    rows = []
    for variant in manifest.variants:
        for plan in variant.plans:
            gpus = ", ".join(plan.compute_capabilities)
            needs = f"{variant.backend} {plan.version} ({plan.cuda})\n{plan.system} {plan.machine}\ncompute capability: {gpus}"
            batches = "\n".join(f"{least} to {most}, best at {best}" for least, best, most in plan.profiles)
            size = megabytes(manifest.files[plan.file].bytes)
            rows.append((f"{plan.file}\n{size}", f"{plan.network}, {variant.precision}", needs, batches))
    if rows:
        print_table(
            "Plans, which are code: loaded with --trust-plans (trust_plans=True) alone",
            ("plan", "network", "needs", "batches"),
            rows,
        )


def _lines(values: Mapping[str, Any]) -> str:
    """One line for each entry."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{key} {_number(entry)}" for key, entry in value.items())
        lines.append(f"{name}: {_number(value)}")
    return "\n".join(lines)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
