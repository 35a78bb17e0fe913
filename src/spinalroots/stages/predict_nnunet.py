"""Stage `predict_nnunet [ROW]`: scans of the test cases → data/predictions/nnunet-ROW."""

from spinalroots.compute.device import choose_device, cpu_threads, resolved_precision
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import read_json
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import nnunet_row


def main(params: Params, row: str | None = None) -> None:
    """Segment the test cases with one row's model, each on its scan's own grid.

    On a CPU in the precision that the training took: bf16 changes a Dice in the fourth digit
    (docs/results.md, Exports) and takes half the time.
    """
    from spinalroots.inference.layout import quickened
    from spinalroots.inference.predictor import torch_runner
    from spinalroots.nnunet.predictor import NnunetPredictor
    from spinalroots.predict.cases import predict_cases

    name = nnunet_row(row).name
    device = choose_device(params.nnunet.training.device, "nnunet.training.device")
    predictor = NnunetPredictor.load(paths.TRAINED / name, device, params.inference.nnunet)
    half = resolved_precision(params.nnunet.training.precision, device) == "bf16-mixed"
    scans = {case.name: case.dataset for case in selected_cases(params.data, paths.RAW)}
    with cpu_threads(params.nnunet.threads):
        predict_cases(
            predictor,
            {case: scans[case] for case in read_json(paths.SPLIT)["test"]},
            paths.SCAN_CENTRELINES,
            paths.PREDICTIONS / name,
            untrained=predictor.untrained(params.seed),
            runner=torch_runner(quickened(predictor.network), bf16=half and device == "cpu"),
        )
