"""Stage: nnU-Net's roots, named by the anatomy network → data/predictions/nnunet-named."""

from pathlib import Path

from spinalroots.compute.device import choose_device
from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import FOREGROUND, Dataset
from spinalroots.dataset.selection import selected_cases
from spinalroots.files import folder_in_one_piece, read_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image, read_labels, write_probability, write_volume
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import ANATOMY, NAMED, nnunet_row

ROW = nnunet_row("all-levels")
"""Whose roots are named anew."""


def main(params: Params) -> None:
    """Keep nnU-Net's roots and give each voxel the level that the anatomy network sees there."""
    from spinalroots.hardnet.anatomy.predictor import AnatomyPredictor
    from spinalroots.inference.layout import quickened

    device = choose_device(params.anatomy.device, "anatomy.device")
    folder = paths.TRAINED / ANATOMY.name
    predictor = AnatomyPredictor.load(folder, device, params.inference.anatomy)
    quickened(predictor.whole)
    scans = {case.name: case.dataset for case in selected_cases(params.data, paths.RAW)}
    with folder_in_one_piece(paths.PREDICTIONS / NAMED.name) as staging:
        jobs = [
            (predictor, name, scans[name].image(name), staging)
            for name in read_json(paths.SPLIT)["test"]
        ]
        each(_name, jobs, params.workers if device == "cpu" else 1, NAMED.name, unit="scan")
        Dataset(staging).write_description(f"Predictions of {NAMED.name}")


def _name(predictor, name: str, image: Path, folder: Path) -> None:
    found, written = Dataset(paths.PREDICTIONS / ROW.name), Dataset(folder)
    scan = read_image(image)
    line = Centreline.read(paths.SCAN_CENTRELINES / f"{name}.json")
    roots = read_labels(found.labels(name, ROW.scheme))
    named = predictor.name_roots(roots, scan, line)
    write_volume(written.labels(name, NAMED.scheme), named, native=scan.native)
    chance = read_image(found.map(name, FOREGROUND))
    write_probability(written.map(name, FOREGROUND), chance, native=scan.native)
