"""Stage: all roots of the test scans, tissues and names → data/predictions/hardnet-anatomy."""

from spinalroots.compute.device import choose_device
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import read_json
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import ANATOMY


def main(params: Params) -> None:
    """Predict every test case from its raw scan and the centreline found in the image."""
    from spinalroots.hardnet.anatomy.predictor import AnatomyPredictor
    from spinalroots.inference.layout import quickened
    from spinalroots.predict.cases import predict_cases

    device = choose_device(params.anatomy.device, "anatomy.device")
    folder = paths.TRAINED / ANATOMY.name
    predictor = AnatomyPredictor.load(folder, device, params.inference.anatomy)
    quickened(predictor.whole)
    scans = {case.name: case.dataset for case in selected_cases(params.data, paths.RAW)}
    predict_cases(
        predictor,
        {case: scans[case] for case in read_json(paths.SPLIT)["test"]},
        paths.SCAN_CENTRELINES,
        paths.PREDICTIONS / ANATOMY.name,
        workers=params.workers if device == "cpu" else 1,
    )
