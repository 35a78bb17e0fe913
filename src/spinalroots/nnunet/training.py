"""A row's training from Python: state that survives a kill, one MLflow run, a published model."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from nnunetv2.paths import nnUNet_results

from spinalroots.compute.device import choose_device
from spinalroots.compute.energy import EnergyMeter
from spinalroots.errors import InputError
from spinalroots.files import folder_in_one_piece, read_json, write_json
from spinalroots.losses.truth import balanced_weights
from spinalroots.nnunet import environment
from spinalroots.nnunet.logger import RUN_ID
from spinalroots.nnunet.network import build_network, save_weights
from spinalroots.nnunet.planner import read_plans, summary
from spinalroots.nnunet.raw_data import fold_splits
from spinalroots.nnunet.trainer import CHECKPOINT, FINAL, SETTINGS, SpinalrootsTrainer
from spinalroots.pipeline import tracking
from spinalroots.pipeline.params import Params
from spinalroots.registry.anatomy import Target
from spinalroots.registry.models import Model
from spinalroots.settings.inference import NnunetInference

_ONLY_HOW = ("device", "gpus", "augmentation_workers", "country", "folds")
"""Training parameters that say where and how it runs, not what comes out."""


@dataclass(frozen=True)
class Job:
    """All that determines a training, read from the prepared data and the parameters."""

    model: Model
    plans: dict
    dataset: dict
    cases: dict
    splits: list[dict]
    settings: dict
    prepared: Path

    @classmethod
    def read(cls, params: Params, model: Model, prepared: Path) -> Job:
        """The job of a row, prepared in the folder `prepared` (data/nnunet/ROW)."""
        name = environment.dataset_name(model)
        record = read_json(prepared / "raw" / name / "cases.json")
        target = Target.from_dict(record["target"])
        training = params.nnunet.training
        settings = {
            **training.model_dump(mode="json"),
            "seed": params.seed,
            "own": len(target.values),
            "class_weights": _class_weights(record["cases"], training.class_weights),
            "name": model.row,
        }
        folder = prepared / "preprocessed" / name
        return cls(
            model,
            read_json(read_plans(folder, params.nnunet.plan)),
            read_json(folder / "dataset.json"),
            record,
            fold_splits(record["cases"], training.folds),
            settings,
            folder,
        )

    @property
    def key(self) -> str:
        """Hash of everything that determines the weights."""
        settings = {name: value for name, value in self.settings.items() if name not in _ONLY_HOW}
        record = [self.plans, self.dataset["labels"], self.cases, self.splits, settings]
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def train(params: Params, model: Model, prepared: Path, published: Path) -> None:
    """Train a row, or go on where it was stopped, and publish it in the folder `published`."""
    job = Job.read(params, model, prepared)
    state = tracking.repository_root() / ".cache" / "nnunet" / job.key
    preprocessed = working_folder(job, state)
    device = torch.device(choose_device(job.settings["device"], "nnunet.training.device"))
    tags = {
        "region": model.region,
        "model": model.name,
        "target": model.scheme,
        "scale": params.scale,
        "augmented": model.augmented,
        "other_roots": Target.from_dict(job.cases["target"]).other_roots,
    }
    described = {**params.nnunet.model_dump(mode="json"), "plans_used": _summary(job)}
    with (
        environment.folders(
            state,
            preprocessed=preprocessed,
            workers=job.settings["augmentation_workers"],
        ),
        tracking.run(
            model.name, kind="training", tags=tags, params=described, resume_key=job.key
        ) as run,
        _run_id(run.info.run_id),
        EnergyMeter(job.settings["country"], state / "energy.json") as meter,
    ):
        checkpoints = [_train_fold(job, fold, device) for fold in range(len(job.splits))]
    publish(job, checkpoints, asdict(meter.total), device, published, params.inference.nnunet)
    _log_totals(run.info.run_id, asdict(meter.total))


def publish(
    job: Job,
    checkpoints: list[Path],
    consumption: dict,
    device: torch.device,
    folder: Path,
    inference: NnunetInference,
) -> None:
    """Write model.safetensors, model.json and training.json in one piece.

    `inference` goes along, so that whoever loads the model segments as the pipeline does.
    """
    network = build_network(
        job.plans, environment.CONFIGURATION, len(job.dataset["labels"]), len(checkpoints)
    )
    parts = [network] if len(checkpoints) == 1 else list(network.networks)
    curves = []
    for part, checkpoint in zip(parts, checkpoints, strict=True):
        content = torch.load(checkpoint, "cpu", weights_only=True)
        part.load_state_dict(content["network"])
        curves.append(content["curves"])
    names = ("train_losses", "val_losses", "mean_fg_dice", "lrs")
    with folder_in_one_piece(folder) as staging:
        save_weights(network, staging / "model.safetensors")
        write_json(
            staging / "model.json",
            {
                "family": "nnunet",
                "name": job.model.name,
                "target": job.cases["target"],
                "configuration": environment.CONFIGURATION,
                "folds": len(checkpoints),
                "inference": inference.model_dump(mode="json"),
                "trained_on": {
                    role: sorted(
                        name for name, case in job.cases["cases"].items() if case["role"] == role
                    )
                    for role in ("training", "validation")
                },
                "plans_summary": _summary(job),
                "plans": job.plans,
                "dataset_json": {
                    key: value for key, value in job.dataset.items() if key != "dataset"
                },
            },
        )
        write_json(
            staging / "training.json",
            {
                **consumption,
                "country": job.settings["country"],
                "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
                "settings": job.settings,
                "plans": _summary(job),
                "folds": [{name: fold[name] for name in names} for fold in curves],
            },
        )


def _train_fold(job: Job, fold: int, device: torch.device) -> Path:
    """Train one fold to its end, from its checkpoint if any; returns the final checkpoint."""
    with _explained():
        if job.settings["gpus"] > 1:
            _train_on_several_gpus(job, fold)
        else:
            _train_here(job, fold, device)
    return _output_folder(job, fold) / FINAL


def _train_here(job: Job, fold: int, device: torch.device) -> None:
    output = _output_folder(job, fold)
    final, latest = output / FINAL, output / CHECKPOINT
    checkpoint = next((path for path in (final, latest) if path.is_file()), None)
    plans = {**job.plans, SETTINGS: job.settings, "continue_training": checkpoint is not None}
    trainer = SpinalrootsTrainer(plans, environment.CONFIGURATION, fold, dict(job.dataset), device)
    trainer.initialize()
    if checkpoint:
        trainer.load_checkpoint(str(checkpoint))
    if checkpoint != final:
        trainer.run_training()


def _train_on_several_gpus(job: Job, fold: int) -> None:
    """What `nnUNetv2_train -num_gpus` does: a process for each GPU, joined by NCCL."""
    from nnunetv2.run.run_training import find_free_network_port

    os.environ["MASTER_ADDR"] = "localhost"
    os.environ["MASTER_PORT"] = str(find_free_network_port())
    torch.multiprocessing.spawn(
        _train_as_rank, args=(job.settings["gpus"], job, fold), nprocs=job.settings["gpus"]
    )


def _train_as_rank(rank: int, world_size: int, job: Job, fold: int) -> None:
    from nnunetv2.run.run_training import cleanup_ddp, setup_ddp

    setup_ddp(rank, world_size)
    torch.cuda.set_device(rank)
    _train_here(job, fold, torch.device("cuda"))
    cleanup_ddp()


def working_folder(job: Job, state: Path) -> Path:
    """nnU-Net's preprocessed folder of this training: own plans and splits, the data linked."""
    folder = state / "preprocessed"
    own = folder / job.prepared.name
    own.mkdir(parents=True, exist_ok=True)
    write_json(own / f"{job.plans['plans_name']}.json", {**job.plans, SETTINGS: job.settings})
    write_json(own / "splits_final.json", job.splits)
    for name in ("dataset.json", "dataset_fingerprint.json"):
        shutil.copyfile(job.prepared / name, own / name)
    identifier = job.plans["configurations"][environment.CONFIGURATION]["data_identifier"]
    link = own / identifier
    link.unlink(missing_ok=True)
    link.symlink_to((job.prepared / identifier).resolve(), target_is_directory=True)
    return folder


def _output_folder(job: Job, fold: int) -> Path:
    """Where nnU-Net's trainer puts its results."""
    run = f"{SpinalrootsTrainer.__name__}__{job.plans['plans_name']}__{environment.CONFIGURATION}"
    results = Path(str(nnUNet_results))
    return results / environment.dataset_name(job.model) / run / f"fold_{fold}"


def _class_weights(cases: dict, rule: str) -> list[float] | None:
    if rule == "none":
        return None
    counted = [case["voxels"] for case in cases.values() if case["role"] == "training"]
    return balanced_weights(np.sum(counted, axis=0)).tolist()


def _summary(job: Job) -> dict:
    return summary(job.plans, environment.CONFIGURATION)


def _log_totals(run_id: str, totals: dict) -> None:
    from mlflow import MlflowClient

    client = MlflowClient()
    for name, value in totals.items():
        client.log_metric(run_id, name, value)


@contextmanager
def _run_id(run_id: str):
    """Tell the trainer, in this process or another, which MLflow run is its own."""
    os.environ[RUN_ID] = run_id
    try:
        yield
    finally:
        os.environ.pop(RUN_ID, None)


@contextmanager
def _explained():
    """Turn nnU-Net's report of a dead worker into one that says what most likely killed it."""
    try:
        yield
    except RuntimeError as error:
        if "worker" not in str(error):
            raise
        shared = shutil.disk_usage("/dev/shm") if os.path.isdir("/dev/shm") else None
        free = f"{shared.free / 2**30:.1f} GB of shared memory free" if shared else "unknown"
        raise InputError(
            "nnU-Net's batch preparation",
            expected="its processes to live as long as the training",
            found=f"one that died ({str(error).splitlines()[0]}; {free})",
            fix="Lower nnunet.training.augmentation_workers (0 needs no process), free memory, or "
            "start the container with --ipc=host.",
        ) from error
