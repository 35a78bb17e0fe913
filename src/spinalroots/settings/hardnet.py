"""HarDNet: network, training and what the tuning searches."""

from __future__ import annotations

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


class Hardnet(Section):
    """HarDNet on squares around the centreline: network and training."""

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
    epochs: Count
    epoch_megavoxels: Positive
    weight_decay: NonNegative
    warm_up: Fraction
    patience: Count
    validate_every: Count
    accelerator: Literal["auto", "cpu", "gpu"]
    devices: Literal["auto"] | Count
    loader_workers: Whole
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
    def given(self) -> dict:
        """The tunable values that params.yaml itself fixes: they win over tuned ones."""
        values = {name: getattr(self, name) for name in Tunable.model_fields}
        return {name: value for name, value in values.items() if value is not None}

    def tunable(self, tuned: dict | None = None) -> Tunable:
        """Tunable values in force: params.yaml's own, else `tuned`, else `untuned`."""
        tuned = tuned if self.use_tuned and tuned else {}
        return Tunable.model_validate({**self.untuned.model_dump(), **tuned, **self.given})


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
