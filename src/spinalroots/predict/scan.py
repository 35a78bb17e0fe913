"""A scan and a loaded model in, root maps on the scan's RAS+ grid out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spinalroots import __version__
from spinalroots.imaging import centreline_image
from spinalroots.imaging.anchors import Anchor, placed
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.inference.predictor import Prediction, TakesAnchors
from spinalroots.postprocess.sides import root_maps
from spinalroots.predict import naming
from spinalroots.predict.load import Model
from spinalroots.quality import appearance, plausibility, recognised
from spinalroots.registry.anatomy import Scheme, voxels_by_name
from spinalroots.registry.vertebrae import require_possible


@dataclass(frozen=True)
class Segmentation:
    """`maps`: label map of each scheme; tissues with all roots, where the model knows them.
    `record`: what the JSON says of it, plain values."""

    maps: Mapping[Scheme, Volume]
    prediction: Prediction
    centreline: Centreline
    record: dict


def centreline_of(scan: Volume, model: Model, anchors: Sequence[Anchor] = ()) -> Centreline:
    """The centreline that :func:`segment` goes along.

    :raises InputError: anchors that do not fit it or one another.
    """
    centreline = centreline_image.find(scan, model.settings.centreline)
    require_possible(placed(anchors, centreline))
    return centreline


def segment(
    scan: Volume,
    model: Model,
    anchors: Sequence[Anchor] = (),
    *,
    centreline: Centreline | None = None,
) -> Segmentation:
    """Centreline, network, clean-up and warnings.

    :param scan: (X, Y, Z) float32, RAS+.
    :param anchors: discs that the names are to rest on, if the model can.
    :param centreline: of :func:`centreline_of`, where it is known.
    :raises InputError: as :func:`centreline_of`.
    """
    centreline = centreline or centreline_of(scan, model, anchors)
    predictor = model.predictor
    if anchors and isinstance(predictor, TakesAnchors):
        prediction = predictor.predict_anchored(scan, centreline, model.runner, anchors)
    else:
        prediction = predictor.predict(scan, centreline, model.runner)
    maps = root_maps(
        prediction.labels,
        model.predictor.target,
        centreline,
        **model.settings.postprocess.model_dump(),
    )
    if prediction.tissues is not None:
        maps[Scheme.TISSUES] = prediction.tissues
    warnings = plausibility.warnings(
        maps[Scheme.INDIVIDUALS],
        centreline,
        prediction.foreground,
        prediction.tissues,
        prediction.name_chance,
    )
    looks = appearance.measure(scan, centreline)
    native = None if scan.native is None else scan.native.orientation
    warnings = [*recognised.warnings(prediction.tissues, looks, native), *warnings]
    compared = "not done: the model does not say what its training scans looked like"
    if model.training_scans is not None:
        compared = f"with the {len(model.training_scans)} training scans of the model"
        warnings += plausibility.unlike_training(looks, model.training_scans)
    record = {
        "model": model.name,
        "weights_sha256": model.weights,
        "export": model.runs,
        "export_not_used": model.refused,
        "spinalroots": __version__,
        "centreline": centreline.source,
        "voxels": voxels_by_name(maps[Scheme.INDIVIDUALS].data, Scheme.INDIVIDUALS),
        "naming": naming.record(
            prediction, centreline, anchors, takes_anchors=isinstance(predictor, TakesAnchors)
        ),
        "appearance": appearance.as_json(looks),
        "appearance_compared": compared,
        "warnings": warnings,
        "note": "A pre-annotation for an expert to correct, not a diagnosis.",
    }
    return Segmentation(maps, prediction, centreline, record)
