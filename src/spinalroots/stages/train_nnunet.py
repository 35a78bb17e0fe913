"""Stage `train_nnunet [ROW]`: data/nnunet/ROW → models/trained/nnunet-ROW."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from spinalroots.compute.device import choose_device, cpu_threads, device_name
from spinalroots.compute.energy import EnergyMeter
from spinalroots.pipeline import provenance, tracking
from spinalroots.pipeline.logged_data import Data
from spinalroots.pipeline.params import Params
from spinalroots.registry import paths
from spinalroots.registry.models import nnunet_row

if TYPE_CHECKING:
    from spinalroots.nnunet.job import Job


def main(params: Params, row: str | None = None) -> None:
    """Train one row of the comparison; the same command goes on after a kill."""
    from spinalroots.nnunet.environment import CONFIGURATION
    from spinalroots.nnunet.job import Job
    from spinalroots.nnunet.planner import summary
    from spinalroots.nnunet.publishing import publish
    from spinalroots.nnunet.training import train

    model, training = nnunet_row(row), params.nnunet.training
    device = choose_device(training.device, "nnunet.training.device")
    job = Job.read(paths.NNUNET / model.row, model, training, params.seed)
    key = training_key(job)
    state = tracking.repository_root() / ".cache" / "nnunet" / key
    tags = {
        **tracking.tags_of(model, params.scale),
        "other_roots": str(job.target.other_roots).lower(),
    }
    described = {
        **params.nnunet.model_dump(mode="json"),
        "plans_used": summary(job.plans, CONFIGURATION),
    }
    with tracking.run(
        model.name,
        kind="training",
        tags=tags,
        params=described,
        data=[
            Data(
                paths.NNUNET,
                sorted(name for name, case in job.cases.items() if case["role"] == role),
                job.target.class_names,
                role,
            )
            for role in ("training", "validation")
        ],
        resume_key=key,
        state=state,
    ) as run:
        with (
            EnergyMeter(training.country, state / "energy.json") as meter,
            cpu_threads(params.nnunet.threads),
        ):
            checkpoints = train(job, state, device, run.info.run_id)
        consumed = asdict(meter.total)
        tracking.log_once(consumed)
        where = {"country": training.country, "device": device_name(device)}
        publish(job, checkpoints, {**consumed, **where}, paths.TRAINED / model.name)


def training_key(job: Job) -> str:
    """Name of a training: it changes with whatever decides the weights."""
    return provenance.key(["spinalroots.nnunet.training"], job.decides, sorted(job.data.iterdir()))
