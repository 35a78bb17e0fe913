"""Stage: nnU-Net's roots, named by the anatomy network → data/predictions/nnunet-named."""

from tqdm import tqdm

from spinalroots.compute.device import choose_device
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

    device = choose_device(params.anatomy.device, "anatomy.device")
    folder = paths.TRAINED / ANATOMY.name
    predictor = AnatomyPredictor.load(folder, device, params.inference.anatomy)
    scans = {case.name: case.dataset for case in selected_cases(params.data, paths.RAW)}
    found = Dataset(paths.PREDICTIONS / ROW.name)
    with folder_in_one_piece(paths.PREDICTIONS / NAMED.name) as staging:
        written = Dataset(staging)
        for name in tqdm(read_json(paths.SPLIT)["test"], desc=NAMED.name, unit="scan"):
            scan = read_image(scans[name].image(name))
            line = Centreline.read(paths.SCAN_CENTRELINES / f"{name}.json")
            roots = read_labels(found.labels(name, ROW.scheme))
            named = predictor.name_roots(roots, scan, line)
            write_volume(written.labels(name, NAMED.scheme), named, native=scan.native)
            chance = read_image(found.map(name, FOREGROUND))
            write_probability(written.map(name, FOREGROUND), chance, native=scan.native)
        written.write_description(f"Predictions of {NAMED.name}")
