"""Stage: train HarDNet on the refined and augmented cases → models/trained/hardnet-all-levels."""

import os
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

from spinalroots.compute.device import choose_device, device_name
from spinalroots.compute.energy import EnergyMeter
from spinalroots.dataset.layout import Dataset
from spinalroots.dataset.selection import training_cases
from spinalroots.files import folder_in_one_piece, read_json, write_json
from spinalroots.files.folders import staging
from spinalroots.hardnet.data.stacks import case_files, class_weights, store_stacks
from spinalroots.hardnet.training.plan import TrainingPlan
from spinalroots.pipeline import provenance, tracking
from spinalroots.pipeline.logged_data import Data
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import HARDNET
from spinalroots.settings.hardnet import Hardnet

MADE_BY = ["spinalroots.hardnet.training.trainer"]
"""The modules whose code decides the outcome."""


def tuned_values(hardnet: Hardnet) -> dict | None:
    """The tuning's best values, if they exist and are wanted."""
    best = paths.TUNING / "best_params.json"
    return read_json(best)["params"] if hardnet.use_tuned and best.is_file() else None


def main(params: Params) -> None:
    """Train, or go on with a training that was killed, and publish the best weights."""
    from spinalroots.hardnet.training.trainer import train

    hardnet, target, tuned = params.hardnet, HARDNET.target(), tuned_values(params.hardnet)
    plan = TrainingPlan(
        hardnet.recipe,
        hardnet.tunable(tuned),
        target,
        params.seed,
        class_weights(hardnet.class_weights, paths.AUGMENTED / "class_weights.json", target),
        params.augment.transforms,
    )
    split = read_json(paths.SPLIT)
    training = training_cases(split["train"], [Dataset(paths.REFINED), Dataset(paths.AUGMENTED)])
    validation = training_cases(split["validation"], [Dataset(paths.REFINED)])
    settings = {**plan.as_dict(), **hardnet.determines_weights(tuned)}
    files = case_files([*training, *validation], paths.CENTRELINES, target)
    key = provenance.key(MADE_BY, settings, files)
    state = tracking.repository_root() / ".cache" / "hardnet" / key
    device = choose_device(hardnet.device, "hardnet.accelerator")
    first = _is_first_process()
    run = tracking.run(
        HARDNET.name,
        kind="training",
        tags=tracking.tags_of(HARDNET, params.scale),
        params={"refine": {"regions": params.refine.regions}, **settings},
        data=[
            Data(folder, [one.name for one in cases], target.class_names, context)
            for folder, cases, context in (
                (paths.REFINED, training, "training, with data/augmented"),
                (paths.REFINED, validation, "validation"),
            )
        ],
        resume_key=f"hardnet-{key}",
        state=state,
    )
    country = params.nnunet.training.country
    meter: Any = EnergyMeter(country, state / "energy.json") if first else nullcontext()
    state.mkdir(parents=True, exist_ok=True)
    with run if first else nullcontext():
        with meter, staging(state) as place:
            learnt_from, judged_on = (
                store_stacks(
                    part,
                    paths.CENTRELINES,
                    plan.spec,
                    target,
                    place / "new" / name,
                    workers=params.workers,
                )
                for name, part in (("training", training), ("validation", validation))
            )
            trained = train(
                plan,
                hardnet.schedule,
                learnt_from,
                judged_on,
                state,
                name=HARDNET.name,
                device=device,
                devices=hardnet.devices,
                loader_workers=hardnet.loader_workers,
                log=tracking.resumed_log() if first else None,
            )
        if not first:
            return
        totals = asdict(meter.total)
        with folder_in_one_piece(paths.TRAINED / HARDNET.name) as folder:
            trained.predictor.save(
                folder,
                trained_on={
                    "training": [case.name for case in training],
                    "validation": [case.name for case in validation],
                },
                provenance={"key": key, "code": provenance.code(MADE_BY), "seed": params.seed},
            )
            write_json(
                folder / "training.json",
                {
                    **totals,
                    "country": country,
                    "device": device_name(device),
                    "epochs": trained.epochs,
                    "validation_dice": trained.dice,
                    "seen_voxels": dict(zip(target.class_names, trained.seen, strict=True)),
                    "settings": settings,
                },
            )
        if trained.dice is not None:
            totals["best_validation_dice"] = trained.dice
        tracking.log_once(totals, step=trained.epochs)


def _is_first_process() -> bool:
    """False in the extra processes that several devices start: they run this stage too."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("RANK", "0") == "0"
