"""HarDNet: network, training and what the tuning searches.

The section is put together from parts, so that whoever takes a part cannot read the rest: a trial
of the tuning is given a `Recipe` and `Tunable` values, and no number of epochs.
"""

from typing import Annotated, Literal

from spinalroots.settings.base import (
    AsWord,
    Count,
    Fraction,
    NonNegative,
    Positive,
    PositiveRange,
    Section,
    Whole,
)

Preset = Annotated[Literal["tiny", "small", "base", "70", "39", "68"], AsWord]
Precision = Annotated[Literal["auto", "32", "bf16-mixed", "16-mixed"], AsWord]


class Tunable(Section):
    """What the tuning searches: patch, memory switches, width and learning rate of HarDNet."""

    patch_vox: Count
    patch_slices: Count
    neighbours: Whole
    batch: Count
    accumulate: Count
    precision: Precision
    channels_last: bool
    checkpointing: bool
    width: Positive
    learning_rate: Positive


class Recipe(Section):
    """What every training shares, a trial of the tuning too: squares, network, loss, patches."""

    dim: Literal[2, 3]
    preset: Preset
    stem_stride: Count
    square_mm: Positive
    voxel_mm: Positive
    slice_mm: Positive | None
    height_channel: bool
    deep_supervision: bool
    entity_weight: NonNegative
    level_weight: NonNegative
    skeleton_weight: NonNegative
    class_weights: Literal["none", "balanced"]
    augmentation: Literal["none", "light"]
    flip_probability: Fraction
    foreground_share: Fraction
    rarest_share: Fraction
    weight_decay: NonNegative
    warm_up: Fraction


class Schedule(Section):
    """How long a training lasts."""

    epochs: Count
    epoch_megavoxels: Positive
    patience: Count
    validate_every: Count


class Machine(Section):
    """Where a training runs."""

    accelerator: Literal["auto", "cpu", "gpu"]
    devices: Literal["auto"] | Count
    loader_workers: Whole

    @property
    def device(self) -> str:
        """`auto`, `cpu` or `cuda`, as :func:`spinalroots.compute.device.choose_device` takes it."""
        return "cuda" if self.accelerator == "gpu" else self.accelerator


class Hardnet(Recipe, Schedule, Machine):
    """HarDNet on squares around the centreline: network and training."""

    use_tuned: bool
    patch_vox: Count | None
    patch_slices: Count | None
    neighbours: Whole | None
    batch: Count | None
    accumulate: Count | None
    precision: Precision | None
    channels_last: bool | None
    checkpointing: bool | None
    width: Positive | None
    learning_rate: Positive | None
    untuned: Tunable

    @property
    def recipe(self) -> Recipe:
        """What a trial has in common with the training."""
        return _part(self, Recipe)

    @property
    def schedule(self) -> Schedule:
        """Its length."""
        return _part(self, Schedule)

    def tunable(self, tuned: dict | None = None) -> Tunable:
        """Tunable values in force: params.yaml's own, else `tuned`, else `untuned`."""
        tuned = tuned if self.use_tuned and tuned else {}
        given = {name: getattr(self, name) for name in Tunable.model_fields}
        given = {name: value for name, value in given.items() if value is not None}
        return Tunable.model_validate({**self.untuned.model_dump(), **tuned, **given})

    def determines_weights(self, tuned: dict | None = None) -> dict:
        """All of the section that a training's outcome depends on.

        `devices` belongs to it: each process adds its share to every batch.
        """
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "schedule": self.schedule.model_dump(mode="json"),
            "tuned": self.tunable(tuned).model_dump(mode="json"),
            "devices": self.devices,
        }

    def determines_trials(self) -> dict:
        """All of the section that the tuning's trials depend on: neither the training's length and
        machine, nor the tunable values that params.yaml gives to the training."""
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "untuned": self.untuned.model_dump(mode="json"),
        }


def _part(section: Section, kind: type[Section]):
    return kind(**{name: getattr(section, name) for name in kind.model_fields})


class Tune(Section):
    """The Optuna study on HarDNet's patch, memory settings, width and learning rate."""

    trials: Count
    trial_megavoxels: Positive
    trial_cases: Count
    trial_timeout_s: Positive
    memory_budget_mb: Positive
    storage: str | None
    prune_after: Fraction
    patch_vox: list[Count]
    patch_slices: list[Count]
    neighbours: list[Whole]
    batch: list[Count]
    accumulate: list[Count]
    precision: list[Precision]
    channels_last: list[bool]
    checkpointing: list[bool]
    width: list[Positive]
    learning_rate: PositiveRange

    def determines_trials(self) -> dict:
        """All but how many trials there are, and where they are written down."""
        return self.model_dump(mode="json", exclude={"trials", "storage"})
