"""Stage `register`: the packaged models into MLflow's registry. No result depends on it."""

import hashlib
import logging
import sys

from spinalroots.compute.environment import variables
from spinalroots.files import read_json, sha256
from spinalroots.pipeline import tracking
from spinalroots.pipeline.champion import validation_dice
from spinalroots.pipeline.params import Params
from spinalroots.predict.trained import CURVES, DESCRIPTION, WEIGHTS
from spinalroots.registry import paths
from spinalroots.registry.models import Model, models_below
from spinalroots.registry.store import tracking_uri


def main(params: Params) -> None:
    """Register what is new, and say which version of each model is the champion.

    A registry that cannot be reached is said, and the run of the pipeline goes on.
    """
    from mlflow.exceptions import MlflowException

    from spinalroots.pipeline.registering import register

    models = models_below(paths.MODELS, "package")
    rule = params.tracking.champion
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    try:
        with (
            variables({"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}),
            tracking.run(
                "register",
                kind="registration",
                tags={"scale": params.scale},
                params={"tracking": params.tracking.model_dump(mode="json")},
            ),
        ):
            for model in models:
                number, new = register(
                    model.name, paths.MODELS / model.name, _tags(model, params), rule
                )
                print(f"{model.name}: version {number}{'' if new else ', registered before'}")
    except (MlflowException, OSError) as error:
        print(
            f"warning: the registry at {tracking_uri()} took no models "
            f"({str(error).splitlines()[0]}); once it does: bin/stage register",
            file=sys.stderr,
        )


def _tags(model: Model, params: Params) -> dict[str, object]:
    folder = paths.MODELS / model.name
    described = read_json(folder / DESCRIPTION)
    data = tracking.data_hashes(f"train_{model.family}")
    figure, judges, measured = judgement(model, described)
    judged_on = f"{judges} {[measured.get(f'data.{one}') for one in (paths.REFINED, paths.SPLIT)]}"
    return {
        **tracking.tags_of(model, params.scale),
        **tracking.revision(),
        **data,
        "code": described.get("provenance", {}).get("code"),
        "training_key": described.get("provenance", {}).get("key"),
        "weights_sha256": sha256(folder / WEIGHTS),
        "validation_dice": figure,
        "judged_on": hashlib.sha256(judged_on.encode()).hexdigest()[:16] if judges else None,
    }


def judgement(
    model: Model, described: dict
) -> tuple[float | None, list[str] | None, dict[str, str]]:
    """Dice on validation cases, these, and the data of the stage that measured it.

    Of the training; of one that measures none, as the anatomy network's, that of `quantize`.
    """
    folder = paths.MODELS / model.name
    figure = validation_dice(read_json(folder / CURVES))
    if figure is not None:
        judges = described.get("trained_on", {}).get("validation")
        return figure, judges, tracking.data_hashes(f"train_{model.family}")
    record = read_json(paths.RECOMMENDED) if paths.RECOMMENDED.is_file() else {}
    found = record.get(model.name, {})
    weights = sha256(folder / WEIGHTS)
    if found.get("validation_dice") is None or found["made_from"].get(WEIGHTS) != weights:
        return None, None, {}
    return found["validation_dice"], found["validation_cases"], tracking.data_hashes("quantize")
