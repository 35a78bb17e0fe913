"""Stage: HarDNet's labels of the test scans, whole and on their own grid → data/predictions."""

from spinalroots.compute.device import choose_device
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import read_json
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import HARDNET


def main(params: Params) -> None:
    """Predict every test case from its raw scan and the centreline found in the image."""
    from spinalroots.hardnet.predictor import HardnetPredictor
    from spinalroots.inference.layout import quickened
    from spinalroots.predict.cases import predict_cases

    device = choose_device(params.hardnet.device, "hardnet.accelerator")
    folder = paths.TRAINED / HARDNET.name
    predictor = HardnetPredictor.load(folder, device, params.inference.hardnet)
    quickened(predictor.network)
    scans = {case.name: case.dataset for case in selected_cases(params.data, paths.RAW)}
    predict_cases(
        predictor,
        {case: scans[case] for case in read_json(paths.SPLIT)["test"]},
        paths.SCAN_CENTRELINES,
        paths.PREDICTIONS / HARDNET.name,
        workers=params.workers if device == "cpu" else 1,
    )
