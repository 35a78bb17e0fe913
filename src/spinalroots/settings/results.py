"""What is made of predictions: masks, figures, exports, surfaces, the page."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from spinalroots.registry.models import MODELS
from spinalroots.registry.variants import Precision, Runtime
from spinalroots.settings.base import Count, NonNegative, Positive, Section, Whole


def _known(name: str) -> str:
    if name not in MODELS:
        raise ValueError(f"one of {', '.join(MODELS)}")
    return name


ModelName = Annotated[str, AfterValidator(_known)]


class Postprocess(Section):
    """What happens to predicted labels."""

    island_mm3: NonNegative
    side_pull: Positive


class Evaluate(Section):
    """What counts as agreement, and how the numbers are summed up."""

    surface_tolerance_mm: NonNegative  # surface distance that counts as agreement
    effort_tolerance_mm: NonNegative  # contour distance that no expert would correct
    erasing_weight: NonNegative  # cost of a mm of invented contour in mm drawn; 0: as published
    instance_iou: Annotated[float, Field(gt=0, le=1)]  # overlap from which a root counts as found
    bootstrap_resamples: Count  # of the 95 % intervals


class Quantize(Section):
    """Smaller exports of the trained networks, and what is measured on them."""

    models: tuple[ModelName, ...]  # names below models/
    runtimes: tuple[Runtime, ...]
    precisions: tuple[Precision, ...]
    calibration_samples: Count  # network inputs of training cases that int8 ranges come from
    test_cases: Whole  # 0: all of them
    validation_cases: Count  # the recommendation is judged on them
    repeats: Count  # timed predictions of each test volume, after a warm-up
    max_dice_loss: NonNegative  # below PyTorch fp32, for the recommended export
    accuracy_control: Literal["never", "when_needed", "always"]


class Reconstruct(Section):
    """Surfaces, trajectories and measurements of the predicted roots."""

    model: ModelName
    cases: Whole
    smoothing_mm: NonNegative
    spacing_mm: Positive
    gap_mm: NonNegative


class Report(Section):
    """What the page shows."""

    overlay_cases: Count  # test cases with pictures, the first ones by name


class Tracking(Section):
    """What MLflow is told."""

    champion: Literal["validation_dice", "newest"]  # rule for the registry's alias `champion`
