"""HarDNet with nnU-Net's energy and nnU-Net with HarDNet's: the two one-stage rows that learn all
levels, each with about the other's budget.

A budget is the energy in models/trained/ROW/training.json, where a row that trained beside others
counts its share of the machine. A network that gets the other's has as many times the epochs
(nnU-Net) or the voxels of an epoch (HarDNet). It is trained in a folder apart and scored on the
test cases, as `postprocess` and `evaluate` do. What it used is told: alone it counts all of the
machine. Takes five minutes on two cores.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks import _stage
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import SelectedCase, selected_cases
from spinalroots.errors import require_file
from spinalroots.files import read_json
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import read_image
from spinalroots.inference.predictor import Predictor
from spinalroots.metrics.measurements import measure
from spinalroots.metrics.root_maps import RootMaps, read_reference
from spinalroots.metrics.statistics import compare
from spinalroots.metrics.tables import values_of
from spinalroots.pipeline import params
from spinalroots.pipeline.params import Params
from spinalroots.postprocess.sides import root_maps
from spinalroots.predict.trained import TrainedModel
from spinalroots.registry import paths
from spinalroots.registry.anatomy import Scheme
from spinalroots.registry.models import HARDNET, MODELS, Model

NNUNET = MODELS["nnunet-all-levels"]
METRICS = ("binary_dice", "level_dice_mean")


def run() -> list[dict]:
    """A record a network: its Dice with the other's budget (ours) and with its own (other)."""
    loaded = params.load()
    table = require_file(
        paths.METRICS_CASES, expected="the metrics of all test cases", fix="dvc repro"
    )
    scored = pd.read_csv(table)
    energy = {
        one.name: read_json(paths.TRAINED / one.name / "training.json")["energy_kwh"]
        for one in (HARDNET, NNUNET)
    }
    records = []
    for own, other, stage in (
        (NNUNET, HARDNET, ("train_nnunet", "all-levels")),
        (HARDNET, NNUNET, ("train_hardnet",)),
    ):
        factor = energy[other.name] / energy[own.name]
        with tempfile.TemporaryDirectory() as folder:
            given = _train(Path(folder), loaded, factor, stage)
            used = read_json(Path(folder) / paths.TRAINED / own.name / "training.json")
            found = _score(Path(folder), own, loaded)
        options = {"seed": loaded.seed, "resamples": loaded.evaluate.bootstrap_resamples}
        told = []
        for metric, values in found.items():
            before = values_of(scored, own.name, metric, "all").reindex(values.index)
            difference = compare(values.to_numpy(), before.to_numpy(), **options)
            told.append(
                f"{metric} {values.mean():.3f} against {before.mean():.3f}, difference "
                f"{difference.mean_difference:+.3f}, 95 % {difference.low:+.3f} to "
                f"{difference.high:+.3f}, p {difference.p_value:.3f}"
            )
        ours, theirs = (
            found[METRICS[0]].mean(),
            values_of(scored, own.name, METRICS[0], "all").mean(),
        )
        records.append(
            {
                "name": f"budgets: {own.name}",
                "ours": float(ours),
                "other": float(theirs),
                "ratio": float(ours / theirs),
                "unit": "binary Dice",
                "compared": f"{own.name} with the budget of {other.name} (ours: {given}, "
                f"{used['seconds']:.0f} s, {1000 * used['energy_kwh']:.2f} Wh) and with its own "
                f"(other: {1000 * energy[own.name]:.2f} Wh), test cases: {'; '.join(told)}",
            }
        )
    return records


def _train(project: Path, loaded: Params, factor: float, stage: tuple[str, ...]) -> str:
    """Train there what has `factor` times its budget; what that is, in words."""
    here = Path.cwd()
    shutil.copytree(here / "conf", project / "conf")
    (project / "data").symlink_to(here / "data")
    if (here / paths.TUNING).is_dir():
        (project / paths.TUNING).parent.mkdir(parents=True)
        (project / paths.TUNING).symlink_to(here / paths.TUNING)
    own = yaml.safe_load((here / "params.yaml").read_text(encoding="utf-8"))
    if stage[0] == "train_nnunet":
        epochs = max(1, round(factor * loaded.nnunet.training.epochs))
        own["nnunet"]["training"]["epochs"] = epochs
        given = f"{epochs} epochs in place of {loaded.nnunet.training.epochs}"
    else:
        megavoxels = factor * loaded.hardnet.epoch_megavoxels
        own["hardnet"]["epoch_megavoxels"] = round(megavoxels, 3)
        given = (
            f"{megavoxels:.2f} megavoxels an epoch in place of {loaded.hardnet.epoch_megavoxels}"
        )
    (project / "params.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    _stage.run(project, *stage)
    return given


def _score(project: Path, model: Model, loaded: Params) -> dict[str, pd.Series]:
    """Values of `METRICS` by test case."""
    inference = getattr(loaded.inference, model.family)
    predictor = TrainedModel(project / paths.TRAINED / model.name, inference).predictor()
    test = set(read_json(paths.SPLIT)["test"])
    cases = [one for one in selected_cases(loaded.data, paths.RAW) if one.name in test]
    rows = {case.name: _metrics(predictor, case, model, loaded) for case in cases}
    return {
        metric: pd.Series({case: row[metric] for case, row in rows.items()}) for metric in METRICS
    }


def _metrics(
    predictor: Predictor, case: SelectedCase, model: Model, loaded: Params
) -> dict[str, float]:
    line = Centreline.read(paths.SCAN_CENTRELINES / f"{case.name}.json")
    found = predictor.predict(read_image(case.dataset.image(case.name)), line)
    target = model.target()
    maps = root_maps(found.labels, target, line, **loaded.postprocess.model_dump())
    sources = {"truth": Dataset(paths.TRUTH), "refined": Dataset(paths.REFINED)}
    reference = read_reference(case, target, found.labels.grid, **sources)
    whole = RootMaps(maps[Scheme.LEVELS], maps[Scheme.INDIVIDUALS])
    predicted = reference.counted_maps(whole.restricted(target))
    values = measure(reference, predicted, target, model.region, line, loaded.evaluate)
    return {
        one.metric: float(one.value)
        for one in values
        if one.metric in METRICS and one.label == str(model.region) and np.isfinite(one.value)
    }
