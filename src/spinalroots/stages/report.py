"""Stage `report`: one page for people, everything inside it."""

from collections.abc import Iterator
from pathlib import Path

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import SelectedCase, selected_cases
from spinalroots.files import write_text
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image
from spinalroots.metrics.root_maps import read_maps, read_reference
from spinalroots.pictures import data_uri
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import MODELS, Model
from spinalroots.report import controls, figures, methods, page, paper, results, training
from spinalroots.report.blocks import Folded, Picture, Text, needed, section
from spinalroots.report.inputs import Inputs

LEAD = (
    "T2 MRI of the lower spine in, a mask for every nerve root out. This page shows how well the "
    "models of one run of the pipeline do that, on scans that none of them has seen."
)


def main(params: Params) -> None:
    """Gather what the other stages wrote and write reports/index.html."""
    inputs = Inputs(Path("."))
    cases = {case.name: case for case in selected_cases(params.data, paths.RAW)}
    sources = {name: case.source for name, case in cases.items()}
    test = (inputs.json(paths.SPLIT) or {}).get("test", [])
    synthetic = any(sources.get(name) == paths.PHANTOM.name for name in test)
    sections = [
        results.table_one(inputs, synthetic),
        controls.section(inputs),
        results.levels(inputs),
        _pictures(inputs, [cases[name] for name in test[: params.report.overlay_cases]]),
        results.expert(inputs),
        results.warnings(inputs),
        results.calibration(inputs),
        methods.reconstruction(inputs),
        methods.quantization(inputs),
        methods.data(inputs, sources),
        training.section(inputs),
        methods.parameters(params.model_dump(mode="json")),
    ]
    facts = _facts(params, sources, test)
    caution = Text("Pre-annotations for research. Not a medical device.", "caution")
    write_text(paths.PAGE, page.render("Spinal nerve roots", LEAD, facts, [caution], sections))


def _facts(params: Params, sources: dict[str, str], test: list[str]) -> list[tuple[str, str]]:
    real = sum(source != paths.PHANTOM.name for source in sources.values())
    trained = sum((paths.POSTPROCESSED / name).is_dir() for name in MODELS)
    return [
        ("Scale", str(params.scale)),
        ("Seed", str(params.seed)),
        ("Synthetic cases", str(len(sources) - real)),
        ("Real cases", str(real)),
        ("Test cases", str(len(test))),
        ("Models", f"{trained} of {len(MODELS)}"),
    ]


@section("pictures", "Truth and prediction")
def _pictures(inputs: Inputs, cases: list[SelectedCase]) -> Iterator:
    """Truth and prediction on the scan, for the best whole-spine model of each family."""
    shown = needed(_best_models(inputs) or None, "prediction of a test case", "evaluate")
    first, *others = needed(cases or None, "prediction of a test case", "evaluate")
    yield Text(
        "Lengthwise: roots coloured by level, seen through the whole canal. Axial squares: the "
        "truth's outline in blue, the prediction's in orange. The patient's right, or front, is on "
        "the left."
    )
    yield from (_comparison(first, model) for model in shown)
    if others:
        yield Folded(
            "More test cases", [_comparison(case, model) for case in others for model in shown]
        )


def _comparison(case: SelectedCase, model: Model) -> Picture:
    target = model.target()
    scan = read_image(case.dataset.image(case.name))
    predicted = read_maps(Dataset(paths.POSTPROCESSED / model.name), case.name).restricted(target)
    truth = read_reference(
        case, target, scan.grid, truth=Dataset(paths.TRUTH), refined=Dataset(paths.REFINED)
    )
    centreline = Centreline.read(paths.SCAN_CENTRELINES / f"{case.name}.json")
    kind = "synthetic" if case.synthetic else "real; the truth is its refined annotation"
    drawn = figures.comparison(scan, truth.levels, predicted.levels, centreline)
    return Picture(data_uri(drawn), f"{case.name} ({kind}), {paper.title(model)}.")


def _best_models(inputs: Inputs) -> list[Model]:
    """Of each family the whole-spine model with the highest binary Dice that has predictions."""
    metrics = inputs.json(paths.METRICS) or {}
    best: dict[str, Model] = {}
    for name in sorted(metrics, key=lambda name: -(metrics[name].get("binary_dice") or 0)):
        model = MODELS.get(name)
        if model and model.region == "all" and (paths.POSTPROCESSED / name).is_dir():
            best.setdefault(model.family, model)
    return [model for model in MODELS.values() if model in best.values()]
