"""Stage: HarDNet's labels of the test scans, whole and on their own grid → data/predictions."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from spinalroots.dataset.layout import FOREGROUND, Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import folder_in_one_piece, read_json
from spinalroots.hardnet.data.cases import CENTRELINES, SPLIT
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image, write_probability, write_volume
from spinalroots.pipeline.params import Params
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.paths import RAW
from spinalroots.stages.train_hardnet import NAME


def main(params: Params) -> None:
    """Predict every test case from its raw scan and the centreline found in the image."""
    from spinalroots.hardnet.predictor import HardnetPredictor

    device = "cpu"
    if params.hardnet.accelerator != "cpu":
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    predictor = HardnetPredictor.load(Path("models") / NAME, device)
    wanted = set(read_json(SPLIT)["test"])
    with folder_in_one_piece(Path("data/predictions") / NAME) as folder:
        predictions = Dataset(folder)
        cases = [case for case in selected_cases(params.data, RAW) if case.name in wanted]
        for case in tqdm(cases, desc="predict"):
            scan = read_image(case.dataset.image(case.name))
            centreline = Centreline.read(CENTRELINES / "raw" / f"{case.name}.json")
            found = predictor.predict(scan, centreline)
            write_volume(
                predictions.labels(case.name, Scheme.LEVELS), found.labels, native=scan.native
            )
            write_probability(
                predictions.map(case.name, FOREGROUND), found.foreground, native=scan.native
            )
        predictions.write_description(f"{NAME}: predicted levels")
