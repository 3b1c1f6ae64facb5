"""`Variant` and `Plan`: what may run a bundle's networks, and the compiled engines that a bundle carries for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posert.fields import check_count, check_list, check_object, check_text, refuse

IDENTIFIER = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
PLAN_FILE = r"plans/[A-Za-z0-9][A-Za-z0-9._-]{0,199}"
_LARGEST_BATCH = 65536
_NEEDS = ("version", "cuda", "system", "machine")


@dataclass(frozen=True)
class Plan:
    """A network that a vendor has compiled, and what it needs to run.

    Attributes:
        network: which of the bundle's networks.
        file: the member that holds it.
        version: of the vendor's package, which must be the same to load it.
        cuda: which CUDA that package was for, such as ``"cu13"``.
        system, machine: where it was built, such as ``"Linux"``, ``"x86_64"``.
        compute_capabilities: of the GPUs that it was built for; ``("default",)`` = those that the vendor names as its default.
        profiles: least, best and largest batch of each optimisation profile.
    """

    network: str
    file: str
    version: str
    cuda: str
    system: str
    machine: str
    compute_capabilities: tuple[str, ...]
    profiles: tuple[tuple[int, int, int], ...]

    @classmethod
    def parse(cls, value: Any, where: str) -> Plan:
        """Check one entry of a variant's `plans`."""
        entry = check_object(value, where, ("network", "file", *_NEEDS, "compute_capabilities", "profiles"))
        capabilities = check_list(entry["compute_capabilities"], f"{where}.compute_capabilities", 1, 64)
        return cls(
            network=check_text(entry["network"], f"{where}.network", pattern=IDENTIFIER),
            file=check_text(entry["file"], f"{where}.file", pattern=PLAN_FILE),
            **{key: check_text(entry[key], f"{where}.{key}", pattern=IDENTIFIER) for key in _NEEDS},
            compute_capabilities=tuple(
                check_text(c, f"{where}.compute_capabilities", pattern=r"default|[0-9]{1,3}\.[0-9]") for c in capabilities
            ),
            profiles=tuple(_profile(p, f"{where}.profiles") for p in check_list(entry["profiles"], f"{where}.profiles", 1, 64)),
        )


def _profile(value: Any, where: str) -> tuple[int, int, int]:
    least, best, most = (check_count(n, where, 1, _LARGEST_BATCH) for n in check_list(value, where, 3, 3))
    if not least <= best <= most:
        refuse(where, "three numbers that do not fall", [least, best, most])
    return least, best, most


@dataclass(frozen=True)
class Variant:
    """A way to run the networks that passed its parity gate, the report of that gate, and plans built for it."""

    backend: str
    precision: str
    parity: Mapping[str, Any] = field(hash=False)
    plans: tuple[Plan, ...] = ()

    @classmethod
    def parse(cls, value: Any, where: str) -> Variant:
        """Check one entry of `variants`."""
        entry = check_object(value, where, ("backend", "precision", "parity"), ("plans",))
        backend, precision = (check_text(entry[key], f"{where}.{key}", pattern=IDENTIFIER) for key in ("backend", "precision"))
        plans = check_list(entry.get("plans", []), f"{where}.plans", 0, 128)
        parsed = tuple(Plan.parse(plan, f"{where}.plans[{i}]") for i, plan in enumerate(plans))
        return cls(backend, precision, check_object(entry["parity"], f"{where}.parity"), parsed)
