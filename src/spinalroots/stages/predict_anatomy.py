"""Stage: roots, tissues and names of the test scans → data/predictions/hardnet-anatomy.

nnU-Net's roots, named by the same look at the scans → data/predictions/nnunet-named.
"""

from functools import partial
from pathlib import Path

from spinalroots.compute.device import choose_device
from spinalroots.dataset.layout import FOREGROUND, Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import folder_in_one_piece, read_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import (
    Volume,
    read_image,
    read_labels,
    write_probability,
    write_volume,
)
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import ANATOMY, NAMED, nnunet_row

ROW = nnunet_row("all-levels")
"""Whose roots are named anew."""


def main(params: Params) -> None:
    """Predict every test case from its raw scan and the centreline found in the image.

    nnU-Net's roots are kept, and each voxel gets the level that the anatomy network sees there.
    """
    from spinalroots.inference.layout import quickened
    from spinalroots.predict.cases import predict_cases
    from spinalroots.predict.one_look import OneLook

    device = choose_device(params.anatomy.device, "anatomy.device")
    folder = paths.TRAINED / ANATOMY.name
    predictor = OneLook.load(folder, device, params.inference.anatomy)
    quickened(predictor.whole)
    scans = {case.name: case.dataset for case in selected_cases(params.data, paths.RAW)}
    with folder_in_one_piece(paths.PREDICTIONS / NAMED.name) as named:
        predict_cases(
            predictor,
            {case: scans[case] for case in read_json(paths.SPLIT)["test"]},
            paths.SCAN_CENTRELINES,
            paths.PREDICTIONS / ANATOMY.name,
            also=partial(_name, named),
            workers=params.workers if device == "cpu" else 1,
        )
        Dataset(named).write_description(f"Predictions of {NAMED.name}")


def _name(folder: Path, predictor, name: str, scan: Volume, line: Centreline) -> None:
    found, written = Dataset(paths.PREDICTIONS / ROW.name), Dataset(folder)
    roots = read_labels(found.labels(name, ROW.scheme))
    named = predictor.name_roots(roots, scan, line)
    write_volume(written.labels(name, NAMED.scheme), named, native=scan.native)
    chance = read_image(found.map(name, FOREGROUND))
    write_probability(written.map(name, FOREGROUND), chance, native=scan.native)
