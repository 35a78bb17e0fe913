"""Stage `report`: one page for people, and one with a viewer for every test case."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import SelectedCase, selected_cases
from spinalroots.files import folder_in_one_piece, write_table, write_text
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image
from spinalroots.pictures import data_uri
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.models import MODELS, Model
from spinalroots.report import (
    case_files,
    controls,
    curves,
    figures,
    methods,
    page,
    paper,
    paper_figures,
    results,
    training,
)
from spinalroots.report import cases as pages
from spinalroots.report.blocks import Cards, Folded, Picture, Text, needed, section
from spinalroots.report.inputs import Inputs

LEAD = (
    "T2 MRI of the lower spine in, a mask for every nerve root out. This page shows how well the "
    "models of one run of the pipeline do that, on scans that none of them has seen."
)


def main(params: Params) -> None:
    """Gather what the other stages wrote and write reports/index.html and reports/cases."""
    inputs = Inputs(Path("."))
    cases = {case.name: case for case in selected_cases(params.data, paths.RAW)}
    sources = {name: case.source for name, case in cases.items()}
    test = (inputs.json(paths.SPLIT) or {}).get("test", [])
    synthetic = any(sources.get(name) == paths.PHANTOM.name for name in test)
    asked = [cases[name] for name in test]
    shown = _case_model(params, inputs, asked)
    with folder_in_one_piece(paths.CASE_PAGES) as staging:
        names, workers = (test, params.workers) if shown else ([], 1)
        smoothing_mm = params.reconstruct.smoothing_mm
        jobs = [
            (_pictures, inputs, asked[: params.report.overlay_cases], shown),
            (_paper_figures, inputs, asked, shown, smoothing_mm),
            *(
                (_write_case, inputs, cases[name], shown, smoothing_mm, names, staging)
                for name in names
            ),
        ]
        pictures, of_paper, *_ = each(_made, jobs, workers, "report", unit="part")
    sections = [
        results.table_one(inputs, synthetic),
        controls.section(inputs),
        results.levels(inputs),
        _cases(inputs, asked, shown),
        pictures,
        of_paper,
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
    write_table(paths.TRAINING_CURVES, curves.training(inputs), "%.5f")
    write_table(paths.LEVEL_DICE, curves.levels(inputs), "%.4f")
    write_text(paths.PAGE, page.render("Spinal nerve roots", LEAD, facts, [caution], sections))


def _made(make: Callable, *given: Any) -> Any:
    return make(*given)


def _case_model(params: Params, inputs: Inputs, test: list[SelectedCase]) -> Model | None:
    """The model of the case pages: the one that is reconstructed, or else the best there is."""
    for model in (MODELS[params.reconstruct.model], *_best_models(inputs)):
        found = Dataset(paths.POSTPROCESSED / model.name)
        schemes = (Scheme.INDIVIDUALS, Scheme.LEVELS)
        if test and all(any(found.has(case.name, one) for one in schemes) for case in test):
            return model
    return None


def _write_case(
    inputs: Inputs,
    case: SelectedCase,
    model: Model,
    smoothing_mm: float,
    names: list[str],
    folder: Path,
) -> None:
    """Write a case's page, linked with those of its neighbours among `names`."""
    place = names.index(case.name)
    before = names[place - 1] if place else None
    after = names[place + 1] if place + 1 < len(names) else None
    view = case_files.read_view(inputs, case, model)
    write_text(folder / f"{case.name}.html", pages.render(view, smoothing_mm, before, after))


@section("cases", "Case by case")
def _cases(inputs: Inputs, test: list[SelectedCase], model: Model | None) -> Iterator:
    """Links to the cases' own pages."""
    chosen = needed(model, "prediction of a test case", "postprocess")
    yield Text(
        f"A page for every test case: slices in three planes and 3D, truth against what "
        f"{paper.title(chosen)} found, every root on or off, and warnings that go to their place. "
        "The pages work without a network, as this one does."
    )
    yield Cards([case_files.card(inputs, case, chosen) for case in test])


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
def _pictures(inputs: Inputs, cases: list[SelectedCase], model: Model | None) -> Iterator:
    """Truth and prediction on the scan: of one case the best whole-spine model of each family, of
    others the `model` whose pages there are."""
    shown = needed(_best_models(inputs) or None, "prediction of a test case", "evaluate")
    first, *others = needed(cases or None, "prediction of a test case", "evaluate")
    yield Text(
        "Lengthwise: roots coloured by level, seen through the whole canal. Axial squares: the "
        "truth's outline in blue, the prediction's in orange. The patient's right, or front, is on "
        "the left."
    )
    yield from (_comparison(first, model) for model in shown)
    if others and model:
        yield Folded("More test cases", [_comparison(case, model) for case in others])


@section("figures", "The paper's figures")
def _paper_figures(
    inputs: Inputs, test: list[SelectedCase], model: Model | None, smoothing_mm: float
) -> Iterator:
    """Figures 1 to 4, 6 and 7 of the paper, from this run."""
    chosen = needed(model, "prediction of a test case", "postprocess")
    case = test[0]
    scan = read_image(case.dataset.image(case.name))
    truth, found = case_files.read_pair(case, chosen, scan)
    line = Centreline.read(paths.SCAN_CENTRELINES / f"{case.name}.json")
    of = f"{case.name}, {paper.title(chosen)}"
    if truth.individuals is not None and truth.individuals.data.any():
        drawn = paper_figures.one_slice(scan, truth.individuals, line)
        yield Picture(data_uri(drawn), f"Figure 1. Dorsal roots of {case.name} in one axial slice.")
    yield from methods.class_distribution(inputs)
    yield from methods.slices(inputs)
    drawn = paper_figures.truth_and_prediction(scan, truth.levels, found.levels, line)
    yield Picture(data_uri(drawn), f"Figure 4. Roots as they are, and as found: {of}.")
    if found.individuals is not None and found.individuals.data.any():
        drawn = paper_figures.three_groupings(found.individuals, smoothing_mm)
        yield Picture(data_uri(drawn), f"Figure 6. Dorsal roots in three dimensions: {of}.")
    drawn = paper_figures.lengthwise(scan, found.levels, line)
    yield Picture(data_uri(drawn), f"Figure 7. Roots seen through the whole canal: {of}.")


def _comparison(case: SelectedCase, model: Model) -> Picture:
    scan = read_image(case.dataset.image(case.name))
    truth, predicted = case_files.read_pair(case, model, scan)
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
