"""nnU-Net: plan, training, inference."""

from typing import Annotated, Literal

from pydantic import Field

from spinalroots.settings.base import (
    AsWord,
    Count,
    Fraction,
    NonNegative,
    Positive,
    Section,
    Triple,
    Whole,
)


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
    precision: Annotated[Literal["auto", "32"], AsWord]  # auto: what the hardware is quick at
    device: Literal["auto", "cpu", "cuda"]
    gpus: Count  # more than 1: DistributedDataParallel
    augmentation_workers: Whole  # processes that prepare batches; 0 is deterministic
    country: Annotated[str, Field(pattern="^[A-Z]{3}$")]  # ISO code, for the grid's CO2


class Nnunet(Section):
    """nnU-Net: the six rows of the paper's Table I, and the region rows `alone`."""

    other_roots: bool  # region models know the neighbours' roots as one class; `…-alone` never do
    rows_at_once: Count  # processes that the rows of a stage are shared among
    row_gb: Positive  # memory that such a process takes; where less is free there are fewer
    threads: Whole  # of a row's training and prediction on a CPU; 0: as many as there are cores
    plan: NnunetPlan
    training: NnunetTraining
