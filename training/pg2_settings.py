"""What the configuration of a PG2 training says of its stages, and its profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from posert.errors import InputError
from training.command import change_setting
from training.loop import constant_rate, cosine_rate

LOSSES = ("l1", "pose_mask_l1")
SCHEDULES = {"constant": constant_rate, "cosine": cosine_rate}


@dataclass(frozen=True)
class StageSettings:
    """What a stage is given: the table ``[coarse]`` or ``[refine]`` of a configuration.

    Attributes:
        steps: updates of the generator.
        batch: pairs a step.
        rate: Adam's, of the generator.
        discriminator_rate: of the discriminator; None: the same.
        schedule: ``"constant"`` (official) or ``"cosine"``.
        average: decay of the weights' moving average; 0 keeps the last weights (official).
        loss: ``"pose_mask_l1"`` counts the body twice; ``"l1"`` does not.
        reconstruction: weight of that loss (lambda of specs pg2, 4).
        perceptual: weight of the distance between VGG-19's features of specs unseen_poses, 4; not in PG2's paper.
        taps: how many of VGG's convolutions that distance counts.
        structural: weight of 1 - SSIM; not in PG2's paper either.
        adversarial: whether there is a discriminator.
        adversarial_weight: of its part; 0.5 for DeepFashion's released script.
        fresh_batches: the discriminator gets pairs of its own in every step (official).
        coarse_in_batch: the coarse pictures go through the discriminator, too, and so count in its batch norm (official,
            Market-1501).
        strength: share of G2's difference that is kept in the end: below 1, fewer artefacts and a little more blur.
    """

    steps: int
    batch: int
    rate: float
    discriminator_rate: float | None = None
    schedule: str = "cosine"
    average: float = 0.999
    loss: str = "pose_mask_l1"
    reconstruction: float = 1.0
    perceptual: float = 0.0
    taps: int = 8
    structural: float = 0.0
    adversarial: bool = False
    adversarial_weight: float = 1.0
    fresh_batches: bool = False
    coarse_in_batch: bool = False
    strength: float = 1.0

    def __post_init__(self) -> None:
        for name, known in (("loss", LOSSES), ("schedule", tuple(SCHEDULES))):
            if (value := getattr(self, name)) not in known:
                raise InputError(f"{name} must be {' or '.join(map(repr, known))}, got {value!r}")

    @classmethod
    def of(cls, settings: dict[str, Any], table: str) -> StageSettings:
        """Read a table of a configuration.

        Raises:
            InputError: it is not there, lacks a value, or has one that is not known.
        """
        try:
            return cls(**settings[table])
        except (KeyError, TypeError) as error:
            raise InputError(f"the configuration's table [{table}] does not fit: {error}") from error


def apply_profile(settings: dict[str, Any], changes: list[str]) -> None:
    """Let the chosen profile's tables replace what the configuration says, and then what the command line changes.

    Raises:
        InputError: there is no such profile.
    """
    tables = settings.pop("profiles", {})
    chosen = settings.get("profile", "official")
    if chosen not in ("official", *tables):
        raise InputError(f"profile must be {' or '.join(map(repr, ('official', *tables)))}, got {chosen!r}")
    for name, values in tables.get(chosen, {}).items():
        settings[name] = {**settings[name], **values}
    for change in changes:
        change_setting(settings, change)
