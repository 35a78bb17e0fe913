"""What the other stages wrote about one test case, read for its page."""

from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import SelectedCase
from spinalroots.imaging.volume import Volume, read_image, read_labels
from spinalroots.metrics.root_maps import RootMaps, read_maps, read_reference
from spinalroots.metrics.tables import values_of
from spinalroots.pictures import data_uri
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme, Target
from spinalroots.registry.models import Model
from spinalroots.report import paper
from spinalroots.report.blocks import Card, number
from spinalroots.report.cases import FOUND, TRUTH, CaseView
from spinalroots.report.inputs import Inputs

_FACTS = (
    ("binary_dice", "Binary Dice", 3),
    ("level_dice_mean", "Dice per level", 3),
    ("level_accuracy", "Right level", 3),
    ("instance_f1", "Root F1", 3),
    ("hd95_mm", "HD95, mm", 1),
)


def read_view(inputs: Inputs, case: SelectedCase, model: Model) -> CaseView:
    """Scan, truth and prediction of a case on the scan's grid, what was measured, and warnings."""
    scan = read_image(case.dataset.image(case.name))
    truth, found = read_pair(case, model, scan)
    by_root = truth.individuals is not None and found.individuals is not None
    scheme = Scheme.INDIVIDUALS if by_root else Scheme.LEVELS
    chosen = {TRUTH: truth, FOUND: found}
    maps = {key: one.individuals if by_root else one.levels for key, one in chosen.items()}
    wanted = model.target()
    return CaseView(
        name=case.name,
        model=paper.title(model),
        scan=scan,
        maps={key: labels for key, labels in maps.items() if labels is not None},
        scheme=scheme,
        values=Target(scheme, wanted.levels, wanted.types).values,
        tissues=read_tissues(case, model),
        warnings=warnings_of(inputs, case.name, model),
        facts=_facts(inputs, case, model),
        picture=_picture(inputs, case.name),
    )


def read_pair(case: SelectedCase, model: Model, scan: Volume) -> tuple[RootMaps, RootMaps]:
    """The case's roots as they ought to be found and as `model` found them."""
    target = model.target()
    found = read_maps(Dataset(paths.POSTPROCESSED / model.name), case.name).restricted(target)
    truth = read_reference(
        case, target, scan.grid, truth=Dataset(paths.TRUTH), refined=Dataset(paths.REFINED)
    )
    return truth, found


def read_tissues(case: SelectedCase, model: Model) -> dict[str, Volume]:
    """Tissue maps by key: the truth of a phantom, the prediction of a model that gives one."""
    places = {FOUND: Dataset(paths.PREDICTIONS / model.name)}
    if case.synthetic:
        places[TRUTH] = Dataset(paths.TRUTH)
    return {
        key: read_labels(dataset.labels(case.name, Scheme.TISSUES))
        for key, dataset in places.items()
        if dataset.has(case.name, Scheme.TISSUES)
    }


def warnings_of(inputs: Inputs, case: str, model: Model) -> list[dict]:
    """The plausibility warnings about a model's prediction of a case."""
    every = inputs.json(paths.PLAUSIBILITY) or []
    return [one for one in every if one["model"] == model.name and one["case"] == case]


def _picture(inputs: Inputs, case: str) -> str:
    found = inputs.files(paths.RECONSTRUCTION / case, "roots.png")
    return data_uri(found[0].read_bytes()) if found else ""


def card(inputs: Inputs, case: SelectedCase, model: Model) -> Card:
    """The link from the index to a case's page."""
    count = len(warnings_of(inputs, case.name, model))
    remark = f"{count} warning{'s' if count > 1 else ''}" if count else ""
    link = f"{paths.CASE_PAGES.name}/{case.name}.html"
    return Card(link, case.name, _facts(inputs, case, model)[:3], remark)


def _facts(inputs: Inputs, case: SelectedCase, model: Model) -> list[tuple[str, str]]:
    facts = [("Scan", "synthetic" if case.synthetic else "real; truth: its refined annotation")]
    table = inputs.table(paths.METRICS_CASES)
    if table is None:
        return facts
    for metric, title, digits in _FACTS:
        values = values_of(table, model.name, metric, "all")
        if case.name in values.index:
            facts.append((title, number(float(values[case.name]), digits)))
    return facts
