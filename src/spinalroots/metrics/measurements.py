"""All metrics of one prediction of one case."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from spinalroots.imaging.boxes import bounding_box, label_boxes, union_box
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Box, Volume
from spinalroots.metrics.effort import Effort, correction_effort_per_label
from spinalroots.metrics.instances import detect_roots, side_accuracy
from spinalroots.metrics.levels import entry_error_mm, level_accuracy, level_error_mm
from spinalroots.metrics.overlap import dice, dice_per_label, mean_present
from spinalroots.metrics.root_maps import RootMaps
from spinalroots.metrics.surface import SurfaceDistances
from spinalroots.metrics.threads import name_changes
from spinalroots.metrics.topology import cl_dice
from spinalroots.registry.anatomy import Region, Scheme, Target, label_names
from spinalroots.settings.results import Evaluate

BINARY_DICE = "binary_dice"
SIMULATED_SCORE = "expert_score_simulated"
PUBLISHED_SCORE = "expert_score_erasing_free"
"""The simulated score with wiping out for nothing, as added path length was published."""
UNTRAINED, EMPTY = "binary_dice_untrained", "binary_dice_empty"
THRESHOLD_SEEN, THRESHOLD_GIVEN = "binary_dice_threshold_seen", "binary_dice_threshold_given"
"""Of dark voxels in the sac, as a network sees it and as it is."""


@dataclass(frozen=True)
class Measurement:
    """One value: `label` is the region, level or root that it is about."""

    metric: str
    label: str
    value: float


def measure(
    reference: RootMaps,
    prediction: RootMaps,
    target: Target,
    region: Region,
    centreline: Centreline,
    options: Evaluate,
) -> list[Measurement]:
    """Every metric of one prediction.

    Both sides hold the target's roots only and lie on the same RAS+ grid. A whole-spine target is
    scored per region besides, so that region models can be compared on their own roots.
    """
    box = bounding_box((reference.levels.data > 0) | (prediction.levels.data > 0), margin_vox=1)
    if box is not None:
        reference, prediction = _crop(reference, box), _crop(prediction, box)
    found = [
        *_whole(reference, prediction, region, options),
        *_per_level(reference.levels, prediction.levels, target, region, centreline),
    ]
    if reference.individuals is not None and prediction.individuals is not None:
        found += _per_root(reference.individuals, prediction.individuals, target, region, options)
    return found


def regions_of(region: Region) -> tuple[Region, ...]:
    """The regions that a model of `region` is scored on: its own, and the parts of a whole."""
    if region is not Region.ALL:
        return (region,)
    return (Region.ALL, Region.THORACIC, Region.LUMBAR, Region.SACRAL)


def baselines(untrained: np.ndarray, truth: np.ndarray, region: str) -> list[Measurement]:
    """What a trained model must beat: binary Dice (1 is best) of its own network before it learnt
    anything, and of an empty mask.

    :param untrained: label map (X, Y, Z) of the untrained network.
    :param truth: label map of the target's roots, the same shape.
    """
    return [
        Measurement(UNTRAINED, region, dice(truth, untrained)),
        Measurement(EMPTY, region, dice(truth, np.zeros_like(truth))),
    ]


def dark_in_sac(image: np.ndarray, sac: np.ndarray) -> np.ndarray:
    """Mask (X, Y, Z) of what is darker than CSF in the sac: roots, as one threshold finds them.

    :param image: (X, Y, Z) grey values of any unit.
    :param sac: (X, Y, Z) bool, CSF and roots without the cord.

    Otsu's threshold of the sac's own grey values (1979, 10.1109/TSMC.1979.4310076): nothing is
    learnt or chosen.
    """
    from skimage.filters import threshold_otsu

    values = image[sac]
    if not np.ptp(values if values.size else [0]):
        return np.zeros(sac.shape, bool)
    return sac & (image < threshold_otsu(values))


def _whole(
    reference: RootMaps, prediction: RootMaps, region: Region, options: Evaluate
) -> Iterator[Measurement]:
    """Metrics of all target roots as one foreground."""
    truth, found = reference.levels.data, prediction.levels.data
    for part in regions_of(region):
        own = Target.of(Scheme.LEVELS, part).values
        value = dice(np.isin(truth, own), np.isin(found, own))
        yield Measurement(BINARY_DICE, str(part), value)
    distances = SurfaceDistances.between(truth, found, reference.levels.spacing_mm)
    yield Measurement("cl_dice", str(region), cl_dice(truth, found))
    yield Measurement("surface_dice", str(region), distances.dice(options.surface_tolerance_mm))
    yield Measurement("hd95_mm", str(region), distances.hd95_mm())


def _per_level(
    reference: Volume, prediction: Volume, target: Target, region: Region, centreline: Centreline
) -> Iterator[Measurement]:
    truth, found = reference.data, prediction.data
    names = label_names(Scheme.LEVELS)
    values = Target(Scheme.LEVELS, target.levels).values
    scores = dice_per_label(truth, found, values)
    yield from (Measurement("level_dice", names[v], score) for v, score in scores.items())
    yield Measurement("level_dice_mean", str(region), mean_present(scores.values()))
    yield Measurement("level_accuracy", str(region), level_accuracy(truth, found))
    of_truth, of_found = label_boxes(truth), label_boxes(found)
    boxes = {value: union_box(of_truth.get(value), of_found.get(value)) for value in values}
    for metric, error in (("level_error_mm", level_error_mm), ("entry_error_mm", entry_error_mm)):
        for value, box in boxes.items():
            distance = float("nan")
            if box is not None:
                one, other = reference.crop(box), prediction.crop(box)
                distance = error(one.data == value, other.data == value, one.affine, centreline)
            yield Measurement(metric, names[value], distance)


def _per_root(
    reference: Volume, prediction: Volume, target: Target, region: Region, options: Evaluate
) -> Iterator[Measurement]:
    truth, found = reference.data, prediction.data
    names = label_names(Scheme.INDIVIDUALS)
    values = Target(Scheme.INDIVIDUALS, target.levels, target.types).values
    scores = dice_per_label(truth, found, values)
    yield from (Measurement("root_dice", names[v], score) for v, score in scores.items())
    yield Measurement("root_dice_mean", str(region), mean_present(scores.values()))

    detection = detect_roots(truth, found, options.instance_iou)
    yield Measurement("instance_precision", str(region), detection.precision)
    yield Measurement("instance_recall", str(region), detection.recall)
    yield Measurement("instance_f1", str(region), detection.f1)
    yield Measurement("side_accuracy", str(region), side_accuracy(truth, found))
    changes = name_changes(truth, found, reference.affine)
    yield Measurement("name_changes_per_10cm", str(region), changes)

    efforts = correction_effort_per_label(
        truth, found, reference.spacing_mm, options.effort_tolerance_mm, values
    )
    for part in regions_of(region):
        effort = Effort(0.0, 0.0, 0.0)
        for value, one in efforts.items():
            if part is Region.ALL or names[value].startswith(part.letter):
                effort += one
        yield Measurement(SIMULATED_SCORE, str(part), effort.score(options.erasing_weight))
        yield Measurement(PUBLISHED_SCORE, str(part), effort.score(0.0))
        if part is region:
            yield Measurement("added_path_mm", str(part), effort.added_mm)
            yield Measurement("invented_path_mm", str(part), effort.invented_mm)
            yield Measurement("drawing_path_mm", str(part), effort.drawing_mm)


def _crop(maps: RootMaps, box: Box) -> RootMaps:
    return RootMaps(maps.levels.crop(box), maps.individuals and maps.individuals.crop(box))
