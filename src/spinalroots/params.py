"""params.yaml, typed: every knob with its unit, its range and its default place.

A value in a section of params.yaml wins. Where it is null, the chosen scale decides:
`scales.<scale>` in the same file holds the budgets of `smoke`, `laptop`, `gpu` and `paper`. Unknown
keys are errors that name the nearest known one.
"""

from __future__ import annotations

import difflib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spinalroots.anatomy import LEVELS, Region, Type
from spinalroots.errors import InputError
from spinalroots.quantize.variants import Precision, Runtime

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]
Triple = tuple[Positive, Positive, Positive]


class Scale(StrEnum):
    """A preset of budgets."""

    SMOKE = "smoke"
    LAPTOP = "laptop"
    GPU = "gpu"
    PAPER = "paper"


class Section(BaseModel):
    """A group of parameters: unknown keys are refused, values cannot change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """Which scans are used."""

    source: Literal["phantom", "ingested"]
    phantom_cases: Whole  # synthetic training cases added when source is `ingested`


class NnunetPlan(Section):
    """How nnU-Net plans its network and how the data is resampled for it."""

    planner: Literal["resenc_m", "small"]  # nnU-Net's ResEncM as it is, or the same with a budget
    memory_gb: Positive | None  # GPU memory that `small` may plan for
    base_features: Count | None  # channels of the first stage of `small`
    max_features: Count | None  # channels of its deepest stages
    blocks_per_stage: Count | None  # residual blocks of each of its encoder stages
    in_plane_mm: Positive | None  # width that `small` plans patches for; null: the whole image
    spacing_mm: Triple | None  # RAS+ voxel size to resample to; null: nnU-Net's own choice


class NnunetTraining(Section):
    """How nnU-Net is trained; see docs/nnunet.md."""

    folds: Literal[1, 5]  # 1: the split's own validation cases; 5: cross-validation, an ensemble
    epochs: Count
    iterations: Count  # batches of an epoch
    validation_iterations: Count  # batches after each epoch, for the curves only
    optimizer: Literal["sgd", "adamw"]
    learning_rate: Positive
    weight_decay: NonNegative
    warm_up: Fraction  # share of the training until adamw's rate is reached
    foreground_share: Fraction  # patches of a batch that must hold a root
    online_augmentation: Literal["full", "light", "none"]
    deep_supervision: bool
    entity_weight: NonNegative  # of the loss on root against background
    identity_weight: NonNegative  # of the loss on which root it is, where there is one
    skeleton_recall_weight: NonNegative  # of the loss on the roots' centre lines
    class_weights: Literal["none", "balanced"]  # of the cross-entropy
    draw_by_size: bool  # a case is drawn as often as patches fit into it; else all equally often
    precision: Literal["auto", "32"]  # auto: fp16 on a GPU, bf16 on a CPU that is built for it
    device: Literal["auto", "cpu", "cuda"]
    gpus: Count  # more than 1: DistributedDataParallel
    augmentation_workers: Whole  # processes that prepare batches; 0 is deterministic
    country: Annotated[str, Field(pattern="^[A-Z]{3}$")]  # ISO code, for the grid's CO2


class NnunetInference(Section):
    """How a whole scan is segmented."""

    tile_step: Annotated[float, Field(gt=0, le=1)]  # shift between tiles, share of a tile
    tiles_at_once: Count  # bounds the memory
    margin_mm: NonNegative  # in-plane, around the centreline
    decoding: Literal["entity_first", "argmax"]


class Nnunet(Section):
    """nnU-Net: the six rows of the paper's Table I, and the region rows `alone`."""

    other_roots: bool  # region models know the neighbours' roots as one class; `…-alone` never do
    plan: NnunetPlan
    training: NnunetTraining
    inference: NnunetInference


class Predict(Section):
    """`spinalroots predict`: one scan of a patient."""

    model: str  # folder below models/


SplinePoints = Annotated[int, Field(ge=4)]  # a cubic B-spline needs four
Axes = Annotated[list[Literal[0, 1, 2]], Field(min_length=1)]  # 0 right, 1 anterior, 2 superior


class Chance(Section):
    """How often an augmentation transform happens."""

    probability: Fraction


class Rotation(Chance):
    limit_deg: tuple[NonNegative, NonNegative, NonNegative]  # ± about the R, A and S axes


class Translation(Chance):
    limit_mm: tuple[NonNegative, NonNegative, NonNegative]  # ± along R, A, S


class Scaling(Chance):
    limit_percent: Annotated[float, Field(ge=0, le=50)]  # ± of each axis on its own


class Elastic(Chance):
    limit_mm: NonNegative  # ± displacement of a control point
    control_points: tuple[SplinePoints, SplinePoints, SplinePoints]  # per axis


class Gamma(Chance):
    limit_log: NonNegative  # the exponent lies within exp(± this)


class BiasField(Chance):
    limit: NonNegative  # ± coefficient of each monomial of the log field
    order: Count  # of the polynomial


class Blur(Chance):
    limit_mm: NonNegative  # largest standard deviation


class Anisotropy(Chance):
    limit_factor: Annotated[float, Field(ge=1)]  # slices at most this many times thicker
    axes: Axes


class Motion(Chance):
    limit_deg: NonNegative  # ± about each axis
    limit_mm: NonNegative  # ± along each axis
    moves: Count  # during the scan


class Ghosting(Chance):
    limit: Fraction  # largest share of k-space lines' signal that is lost
    ghosts: tuple[Count, Count]  # fewest, most
    axes: Axes  # phase directions


class Spikes(Chance):
    limit: NonNegative  # ± share of k-space's maximum
    spikes: Count


class Noise(Chance):
    limit: NonNegative  # largest standard deviation, share of the scan's robust range


class Transforms(Section):
    """Augmentation transforms: how often, and within which limits; see docs/augmentation.md."""

    flip: Chance
    rotation: Rotation
    translation: Translation
    scaling: Scaling
    elastic: Elastic
    gamma: Gamma
    bias_field: BiasField
    blur: Blur
    anisotropy: Anisotropy
    motion: Motion
    ghosting: Ghosting
    spikes: Spikes
    noise: Noise


class Augment(Section):
    """Variants of the training cases that balance the classes."""

    variants: Whole  # augmented cases in all
    variants_per_case: Count  # at most, of one parent
    whole_per_case: Whole  # variants of the whole extent, before any crop
    target_ratio: Fraction  # rarest class's voxels over the median class's
    crop_margin_mm: NonNegative  # kept above and below the levels that a crop is made for
    dask_address: str  # scheduler such as tcp://host:8786; empty: processes of this machine
    transforms: Transforms


class Evaluate(Section):
    """What counts as agreement, and how the numbers are summed up."""

    surface_tolerance_mm: NonNegative  # surface distance that counts as agreement
    effort_tolerance_mm: NonNegative  # contour distance that no expert would correct
    erasing_weight: NonNegative  # cost of a mm of invented contour in mm drawn; 0: as published
    instance_iou: Annotated[float, Field(gt=0, le=1)]  # overlap from which a root counts as found
    bootstrap_resamples: Count  # of the 95 % intervals


class Report(Section):
    """What the page shows."""

    overlay_cases: Count  # test cases with pictures, the first ones by name


class Quantize(Section):
    """Smaller exports of the trained networks, and what is measured on them."""

    models: tuple[str, ...]  # names below models/
    runtimes: tuple[Runtime, ...]
    precisions: tuple[Precision, ...]
    calibration_samples: Count  # network inputs of training cases that int8 ranges come from
    test_cases: Whole  # 0: all of them
    validation_cases: Count  # the recommendation is judged on them
    repeats: Count  # timed predictions of each test volume, after a warm-up
    max_dice_loss: NonNegative  # below PyTorch fp32, for the recommended export
    accuracy_control: Literal["never", "when_needed", "always"]


class Tunable(Section):
    """What the tuning searches: patch, memory switches, width and learning rate of HarDNet."""

    patch_vox: Count
    patch_slices: Count
    neighbours: Whole
    batch: Count
    accumulate: Count
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"]
    channels_last: bool
    checkpointing: bool
    width: Positive
    learning_rate: Positive


class Hardnet(Section):
    """HarDNet on squares around the centreline: network, training, inference."""

    dim: Literal[2, 3]
    preset: str
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
    accelerator: str
    devices: str
    loader_workers: Whole
    overlap: Fraction
    mirroring: bool
    decoding: Literal["entity_first", "argmax"]
    use_tuned: bool
    patch_vox: Count | None
    patch_slices: Count | None
    neighbours: Whole | None
    batch: Count | None
    accumulate: Count | None
    precision: Literal["auto", "32", "bf16-mixed", "16-mixed"] | None
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
    precision: list[str]
    channels_last: list[bool]
    checkpointing: list[bool]
    width: list[Positive]
    learning_rate: tuple[Positive, Positive]


Range = tuple[NonNegative, NonNegative]


class Annotator(Section):
    """How often and how badly the phantoms' annotator errs."""

    entity_error: Fraction
    gaps_per_root: NonNegative
    gap_mm: Range
    end_mm: NonNegative
    thinning: Fraction
    spill: Fraction
    swap_share: Fraction
    swap_mm: Range


class Phantom(Section):
    """Synthetic scans. A range is drawn from evenly, once per case."""

    cases: Count
    randomised_share: Fraction
    in_plane_mm: Range
    slice_mm: Range
    field_mm: Range  # left-right and antero-posterior extent; the height is T9 to S3
    sagittal_share: Fraction
    orientations: tuple[str, ...]
    noise: Range
    subvoxels: Count
    mask_coverage: Fraction
    annotator: Annotator


class CentrelineSearch(Section):
    """How the line through cord and sac is found."""

    method: Literal["auto", "sct", "image"]
    stiffness_mm: Positive
    search_mm: Positive
    figure_mm: Positive


class Postprocess(Section):
    """What happens to predicted labels."""

    island_mm3: NonNegative
    side_pull: Positive


class Reconstruct(Section):
    """Surfaces, trajectories and measurements of the predicted roots."""

    model: str
    cases: Whole
    smoothing_mm: NonNegative
    spacing_mm: Positive
    gap_mm: NonNegative


class Check(Section):
    """What the check of the raw data calls out."""

    strict: bool  # findings end the stage with an error
    tiny_voxels: Count  # a label with fewer voxels is called tiny
    mismatch_share: Fraction  # of a map's root voxels that contradict another map
    unlabelled_share: Fraction  # of the voxels of the mask of all roots that have no root or level
    wrong_side_share: Fraction  # of a root's voxels on the other side of the sac's middle


class Refine(Section):
    """From 120 classes to those that matter, into the entity mask, cropped."""

    levels: tuple[Literal[LEVELS], ...]
    types: tuple[Type, ...]
    regions: tuple[Region, ...]
    connectivity: Literal[6, 18, 26]  # neighbours that a label grows to
    trust_levels: bool  # where level and individual map differ, the level map is right
    margin_along_mm: NonNegative  # kept above and below the labelled roots
    margin_around_mm: NonNegative  # kept around the sac


class Split(Section):
    """Who is held out; below 1 a share of the subjects, from 1 on their number."""

    validation: NonNegative
    test: Positive


class Params(Section):
    """All effective parameters: the sections with the scale's budgets filled in."""

    scale: Scale
    seed: Whole
    workers: Count  # processes of the stages that run cases in parallel
    data: Data
    check: Check
    refine: Refine
    split: Split
    phantom: Phantom
    predict: Predict
    nnunet: Nnunet
    augment: Augment
    evaluate: Evaluate
    report: Report
    quantize: Quantize
    hardnet: Hardnet
    tune: Tune
    centreline: CentrelineSearch
    postprocess: Postprocess
    reconstruct: Reconstruct


def load(path: Path | str = "params.yaml", *, scale: str | None = None) -> Params:
    """Read params.yaml, fill in the scale's budgets and check everything.

    :param scale: overrides the file's `scale`.
    :raises InputError: missing file, bad YAML, an unknown key (the nearest known one is named), a
        value out of range, a null that the scale does not fill.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            path,
            expected="the project's params.yaml",
            found="no such file",
            fix="Run from the repository root.",
        )
    try:
        record = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(
            path, expected="valid YAML", found=f"{error}", fix="Correct the syntax."
        ) from error
    return resolve(record, where=path, scale=scale)


def resolve(record: dict, *, where: Path | str = "params", scale: str | None = None) -> Params:
    """Typed parameters of a params.yaml already read; see :func:`load`."""
    if not isinstance(record, dict):
        raise InputError(
            where, expected="a mapping of sections", found=type(record).__name__, fix="Correct it."
        )
    sections = dict(record)
    presets = sections.pop("scales", {})
    chosen = scale or sections.get("scale")
    if chosen not in presets:
        raise InputError(
            where,
            expected=f"scale to be one of {', '.join(presets)}",
            found=repr(chosen),
            fix=_nearest(str(chosen), list(presets)),
        )
    sections["scale"] = chosen
    for name, values in presets[chosen].items():
        sections[name] = _fill(sections.get(name), values, f"{where}: scales.{chosen}.{name}")
    try:
        return Params.model_validate(sections)
    except ValidationError as error:
        raise _explain(error, where) from None


def _fill(explicit: Any, preset: dict, where: str) -> dict:
    """The section with its nulls replaced by the preset's values."""
    explicit = dict(explicit or {})
    for key, value in preset.items():
        if key not in explicit:
            raise InputError(
                where,
                expected=f"keys of the section itself ({', '.join(explicit)})",
                found=f"unknown key {key!r}",
                fix=_nearest(key, list(explicit)),
            )
        if explicit[key] is None:
            explicit[key] = value
        elif isinstance(explicit[key], dict) and isinstance(value, dict):
            explicit[key] = _fill(explicit[key], value, f"{where}.{key}")
    return explicit


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."


def _explain(error: ValidationError, where: Path | str) -> InputError:
    """The first validation error in the words of :class:`InputError`."""
    detail = error.errors()[0]
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return InputError(
            f"{where}: {place}",
            expected="a known parameter",
            found=f"unknown key {detail['loc'][-1]!r}",
            fix=_nearest(str(detail["loc"][-1]), _keys_at(detail["loc"][:-1])),
        )
    if detail["type"] == "missing" or detail.get("input", ...) is None:
        return InputError(
            f"{where}: {place}",
            expected="a value",
            found="nothing, and the scale sets none",
            fix="Give the parameter, or add it to the scale's preset.",
        )
    return InputError(
        f"{where}: {place}",
        expected=detail["msg"][0].lower() + detail["msg"][1:],
        found=repr(detail.get("input")),
        fix="Correct the value.",
    )


def _keys_at(location: tuple) -> list[str]:
    """Known keys of the section at `location`."""
    model: Any = Params
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return []
        model = field.annotation
    return list(getattr(model, "model_fields", {}))
