"""Stage `evaluate`: every metric on the test cases, Table I, the expert's scores, warnings."""

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spinalroots.compute.parallel import each
from spinalroots.dataset.layout import ANATOMY_MAP, FOREGROUND, NAME_CHANCE, UNTRAINED, Dataset
from spinalroots.dataset.selection import SelectedCase, selected_cases
from spinalroots.dataset.split import require_unseen
from spinalroots.expert import predictions, score_file
from spinalroots.expert import tables as expert_tables
from spinalroots.expert.scores import ExpertScore, sort_out
from spinalroots.files import read_json, write_json, write_table
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume, read_image, read_labels, require_same_grid
from spinalroots.metrics import calibration, tables
from spinalroots.metrics.false_roots import false_roots
from spinalroots.metrics.levels import type_accuracy
from spinalroots.metrics.measurements import (
    THRESHOLD_GIVEN,
    THRESHOLD_SEEN,
    Measurement,
    baselines,
    dark_in_sac,
    measure,
)
from spinalroots.metrics.overlap import dice
from spinalroots.metrics.root_maps import RootMaps, read_maps, read_reference
from spinalroots.pipeline import tracking
from spinalroots.pipeline.logged_data import Data
from spinalroots.pipeline.params import Params
from spinalroots.predict.trained import CURVES
from spinalroots.quality import appearance, plausibility
from spinalroots.registry import paths
from spinalroots.registry.anatomy import (
    CSF_TISSUE,
    ROOT_OUTSIDE_TISSUE,
    ROOT_TISSUE,
    TISSUES,
    Scheme,
    Target,
    Type,
)
from spinalroots.registry.models import Model, models_below
from spinalroots.report import by_level
from spinalroots.settings.results import Evaluate

CORD_TISSUE = TISSUES.index("WM") + 1


def main(params: Params) -> None:
    """Score every postprocessed model on every test case and write the tables."""
    split = read_json(paths.SPLIT)
    require_unseen(split["test"], split)
    models = models_below(paths.POSTPROCESSED, "postprocess")
    selected = {case.name: case for case in selected_cases(params.data, paths.RAW)}
    test = [selected[name] for name in split["test"]]
    training = appearance.read(paths.APPEARANCE)
    looks = [(case, training) for case in test]
    jobs = [(model, case, params.evaluate) for model in models for case in test]
    unlike = each(_unlike_training, looks, params.workers, "appearance")
    results: list[Scored] = each(_score, jobs, params.workers, "evaluate")

    resampling = {"seed": params.seed, "resamples": params.evaluate.bootstrap_resamples}
    cases = tables.long_table(
        (one.model, one.case.name, one.case.source, one.measurements) for one in results
    )
    curves = calibration.summed((one.model, one.reliability) for one in results)
    human = _human_scores(split["test"])
    metrics = tables.metrics(cases, curves, **resampling)
    by_region = expert_tables.table_expert_scores(cases, human)
    for path, table in (
        (paths.METRICS_CASES, cases),
        (paths.METRICS_SUMMARY, tables.summary(cases, **resampling)),
        (paths.TABLE_MODELS, expert_tables.table_models(cases, human)),
        (paths.TABLE_EXPERT, by_region),
        (paths.TABLE_LOOKS, tables.by_look(cases, Dataset(paths.PHANTOM).looks())),
        (paths.COMPARISONS, tables.comparisons(cases, **resampling)),
        (paths.CALIBRATION, tables.calibration(curves, calibration.ROOT)),
        (paths.NAME_CALIBRATION, tables.calibration(curves, calibration.NAME)),
    ):
        write_table(path, table, "%.6f")
    write_json(paths.METRICS, metrics)
    of_scan = dict(zip(split["test"], unlike, strict=True))
    warnings = [
        {"model": one.model, "case": one.case.name, **warning}
        for one in results
        for warning in (*one.warnings, *of_scan[one.case.name])
    ]
    write_json(paths.PLAUSIBILITY, warnings)
    for model in models:
        _track(model, cases, by_region, metrics[model.name], params, split["test"])


@dataclass(frozen=True)
class Scored:
    """What one model's prediction of one case is worth, and what looks wrong about it."""

    model: str
    case: SelectedCase
    measurements: list[Measurement]
    warnings: list[dict]
    reliability: dict[str, calibration.Reliability]


def _score(model: Model, case: SelectedCase, options: Evaluate) -> Scored:
    target, name = model.target(), case.name
    whole = read_maps(Dataset(paths.POSTPROCESSED / model.name), name)
    sources = {"truth": Dataset(paths.TRUTH), "refined": Dataset(paths.REFINED)}
    reference = read_reference(case, target, whole.levels.grid, **sources)
    require_same_grid(paths.POSTPROCESSED / model.name / name, whole.levels, name, reference.levels)
    centreline = Centreline.read(paths.SCAN_CENTRELINES / f"{name}.json")
    predicted = reference.counted_maps(whole.restricted(target))
    found = measure(reference, predicted, target, model.region, centreline, options)
    network = Dataset(paths.PREDICTIONS / model.name)
    found += _baselines(network, name, reference, str(model.region))
    found += _against_every_root(network, case, target, whole.levels, str(model.region))
    found += _thresholds(network, case, reference, str(model.region))
    probability, name_chance = (
        read_image(kept) if (kept := network.map(name, suffix)).is_file() else None
        for suffix in (FOREGROUND, NAME_CHANCE)
    )
    warnings: list[dict] = []
    if whole.individuals is not None:
        seen = network.has(name, Scheme.TISSUES)
        tissues = read_labels(network.labels(name, Scheme.TISSUES)) if seen else None
        warnings = plausibility.warnings(
            whole.individuals, centreline, probability, tissues, name_chance
        )
    sure = {}
    if probability is not None:
        sure[calibration.ROOT] = _root_reliability(network, case, reference, probability)
    if name_chance is not None:
        sure[calibration.NAME] = _name_reliability(case, reference, predicted, name_chance)
    return Scored(model.name, case, found, warnings, sure)


def _root_reliability(
    network: Dataset, case: SelectedCase, reference: RootMaps, probability: Volume
) -> calibration.Reliability:
    """Of P(root), against the roots that the model looks for: of one that sees every root in the
    sac, all of these, where a phantom tells them."""
    path = Dataset(paths.TRUTH).map(case.name, ANATOMY_MAP)
    if case.synthetic and path.is_file() and network.has(case.name, Scheme.TISSUES):
        anatomy = read_labels(path).data
        asked = anatomy != ROOT_OUTSIDE_TISSUE
        return calibration.reliability(probability.data[asked], anatomy[asked] == ROOT_TISSUE)
    return calibration.reliability(reference.counted(probability).data, reference.levels.data)


def _name_reliability(
    case: SelectedCase, reference: RootMaps, predicted: RootMaps, chance: Volume
) -> calibration.Reliability:
    """Of P(the level is right), of true roots that were given one; of a phantom's, also of those
    that ought to have none."""
    roots = reference.levels.data > 0
    if case.synthetic:
        truth = Dataset(paths.TRUTH)
        roots = read_labels(truth.labels(case.name, Scheme.INDIVIDUALS)).data > 0
    found, right = predicted.levels.data, reference.levels.data
    asked = roots & (found > 0)
    return calibration.reliability(chance.data[asked], (found == right)[asked])


def _against_every_root(
    network: Dataset, case: SelectedCase, target: Target, named: Volume, region: str
) -> list[Measurement]:
    """Dorsal told from ventral, and where false roots lie: of synthetic cases, whose every root is
    known."""
    if not case.synthetic:
        return []
    truth = Dataset(paths.TRUTH)
    every = Target(Scheme.INDIVIDUALS, target.levels, tuple(Type))
    roots = read_labels(truth.labels(case.name, Scheme.INDIVIDUALS)).data
    known = every.decode(every.encode(roots))
    seen = np.zeros(known.shape, bool)
    if network.has(case.name, Scheme.TISSUES):
        tissues = read_labels(network.labels(case.name, Scheme.TISSUES))
        seen = tissues.data == ROOT_TISSUE
    found = [Measurement("type_accuracy", region, type_accuracy(known, named.data, seen))]
    anatomy = truth.map(case.name, ANATOMY_MAP)
    if anatomy.is_file():
        sac = np.isin(read_labels(anatomy).data, (CORD_TISSUE, CSF_TISSUE))
        asked = Target(Scheme.LEVELS, target.levels).values
        places = false_roots(named.data > 0, roots, sac, asked)
        found += [Measurement(f"false_{kind}", region, share) for kind, share in places.items()]
    return found


def _baselines(network: Dataset, case: str, reference: RootMaps, region: str) -> list[Measurement]:
    """Of the case that the untrained network was asked about; of others there are none."""
    path = network.map(case, UNTRAINED)
    if not path.is_file():
        return []
    untrained = read_labels(path)
    require_same_grid(path, untrained, "the reference", reference.levels)
    return baselines(reference.counted(untrained).data, reference.levels.data, region)


def _thresholds(
    network: Dataset, case: SelectedCase, reference: RootMaps, region: str
) -> list[Measurement]:
    """What a threshold in the sac gives, for a network that sees the sac."""
    sacs = {THRESHOLD_SEEN: network.labels(case.name, Scheme.TISSUES)}
    if case.synthetic:
        sacs[THRESHOLD_GIVEN] = Dataset(paths.TRUTH).map(case.name, ANATOMY_MAP)
    if not all(path.is_file() for path in sacs.values()):
        return []
    image, truth = read_image(case.dataset.image(case.name)).data, reference.levels.data
    found = []
    for metric, path in sacs.items():
        sac = np.isin(read_labels(path).data, (CSF_TISSUE, ROOT_TISSUE))
        dark = reference.counted(
            reference.levels.with_data(dark_in_sac(image, sac).astype(np.uint8))
        )
        found.append(Measurement(metric, region, dice(truth, dark.data)))
    return found


def _unlike_training(case: SelectedCase, training: dict[str, dict[str, float]]) -> list[dict]:
    """Warnings about a scan that looks unlike the training scans, whatever the model."""
    scan = read_image(case.dataset.image(case.name))
    centreline = Centreline.read(paths.SCAN_CENTRELINES / f"{case.name}.json")
    return plausibility.unlike_training(appearance.measure(scan, centreline), training)


def _human_scores(test: list[str]) -> list[ExpertScore]:
    """The scores that count; which do not, and why, is said aloud.

    :raises InputError: a row of the file is not valid, or names a case that is not there.
    """
    rows = score_file.read(paths.EXPERT_SCORES, score_file.known_cases(paths.RAW))
    about = [(row.model, row.case) for row in rows if row.case in test]
    versions = predictions.current_versions(paths.POSTPROCESSED, about)
    current, left_out = sort_out(rows, test, versions)
    for one in left_out:
        print(f"warning: {paths.EXPERT_SCORES}: {one}", file=sys.stderr)
    return current


def _track(
    model: Model,
    cases: pd.DataFrame,
    by_region: pd.DataFrame,
    metrics: dict[str, float],
    params: Params,
    test: list[str],
) -> None:
    """One MLflow run: the model's metrics, its expert scores by source and region, its cases, and
    what it was trained with."""
    import mlflow

    scores = {
        f"expert_score_{row.expert_score_source}_{row.region}": row.mean
        for row in by_region[by_region["model"] == model.name].itertuples()
    }
    tags = {**tracking.tags_of(model, params.scale), "data.source": params.data.source}
    curves = paths.TRAINED / model.name / CURVES
    trained = tracking.training_parameters(read_json(curves)) if curves.is_file() else {}
    options = {**trained, "evaluate": params.evaluate.model_dump(mode="json")}
    data = [Data(paths.REFINED, test, model.target().class_names, "test")]
    name = f"evaluate {model.name}"
    with tracking.run(name, kind="evaluation", tags=tags, params=options, data=data):
        mlflow.log_metrics(metrics | scores)
        own = cases[cases["model"] == model.name]
        mlflow.log_table(own.astype({"value": str}), "metrics_cases.json")
        mlflow.log_figure(by_level.figure(own), "dice_by_level.png")
