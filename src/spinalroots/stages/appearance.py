"""Stage `appearance`: what the training scans look like, for the warning about unlike ones."""

from spinalroots.compute.parallel import each
from spinalroots.dataset.selection import SelectedCase, selected_cases
from spinalroots.files import read_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image
from spinalroots.pipeline.params import Params
from spinalroots.quality import appearance
from spinalroots.registry import paths


def main(params: Params) -> None:
    """Write the features of every training scan."""
    training = set(read_json(paths.SPLIT)["train"])
    cases = [case for case in selected_cases(params.data, paths.RAW) if case.name in training]
    measured = each(_measure, [(case,) for case in cases], params.workers, "appearance")
    found = {case.name: features for case, features in zip(cases, measured, strict=True)}
    appearance.write(paths.APPEARANCE, found)


def _measure(case: SelectedCase) -> dict[str, float]:
    scan = read_image(case.dataset.image(case.name))
    return appearance.measure(scan, Centreline.read(paths.SCAN_CENTRELINES / f"{case.name}.json"))
