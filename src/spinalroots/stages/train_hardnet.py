"""Stage: train HarDNet on the refined and augmented cases → models/hardnet-all-levels."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from spinalroots.files import folder_in_one_piece, read_json
from spinalroots.hardnet.data import cases as room
from spinalroots.hardnet.data.straighten import InputSpec
from spinalroots.hardnet.training.step import Plan
from spinalroots.pipeline import tracking
from spinalroots.pipeline.params import Params
from spinalroots.registry.models import MODELS
from spinalroots.settings.hardnet import Hardnet

NAME = "hardnet-all-levels"
BEST = Path("reports/tuning/best_params.json")


def tuned_values(hardnet: Hardnet) -> dict | None:
    """The tuning's best values, if they exist and are wanted."""
    return read_json(BEST)["params"] if hardnet.use_tuned and BEST.is_file() else None


def input_spec(hardnet: Hardnet) -> InputSpec:
    """The squares that the parameters ask for."""
    return InputSpec(hardnet.square_mm, hardnet.voxel_mm, hardnet.slice_mm)


def main(params: Params) -> None:
    """Train, or go on with a training that was killed, and publish the best weights."""
    from spinalroots.hardnet.training.trainer import is_main_process, train

    model = MODELS[NAME]
    target, spec = model.target(), input_spec(params.hardnet)
    plan = Plan(
        params.hardnet,
        params.hardnet.tunable(tuned_values(params.hardnet)),
        len(target.class_names),
        params.seed,
        room.class_weights(params.hardnet, target),
        params.augment.transforms,
    )
    training = room.sources("train", augmented=model.augmented)
    validation = room.sources("validation")
    key = room.fingerprint(
        [*training, *validation],
        target,
        hardnet=params.hardnet.model_dump(),
        tuned=plan.tuned.model_dump(),
        target=target.as_dict(),
        class_weights=plan.class_weights,
        transforms=params.augment.transforms.model_dump(),
        seed=params.seed,
    )
    record = {"hardnet": params.hardnet.model_dump(), "tuned": plan.tuned.model_dump()}
    main_process = is_main_process()
    tracked = nullcontext()
    if main_process:
        tracked = tracking.run(
            NAME,
            kind="training",
            tags={
                "model": NAME,
                "family": model.family,
                "region": str(model.region),
                "target": str(model.scheme),
                "scale": str(params.scale),
            },
            params=record,
            resume_key=f"hardnet-{key}",
        )
    with tracked:
        trained = train(
            plan,
            spec,
            target,
            room.read_cases(training, spec, target, workers=params.workers),
            room.read_cases(validation, spec, target, workers=params.workers),
            tracking.repository_root() / ".cache" / "hardnet" / key,
            name=NAME,
            log=resumed_log() if main_process else None,
        )
        if not main_process:
            return
        with folder_in_one_piece(Path("models") / NAME) as folder:
            trained.predictor.save(
                folder,
                trained_on={
                    "training": [source.name for source in training],
                    "validation": [source.name for source in validation],
                    "validation_dice": round(trained.dice, 4),
                    "epochs": trained.epochs,
                    "seed": params.seed,
                },
                training=record["tuned"],
            )
        _mlflow_log({"best_validation_dice": trained.dice}, trained.epochs)


def resumed_log():
    """Logs epochs that the active MLflow run does not have yet."""
    known = tracking.last_step("loss")

    def log(metrics: dict[str, float], epoch: int) -> None:
        if epoch > known:
            _mlflow_log(metrics, epoch)

    return log


def _mlflow_log(metrics: dict[str, float], step: int) -> None:
    import mlflow

    mlflow.log_metrics(metrics, step=step)
