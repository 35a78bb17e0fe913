"""The training of a job: fold by fold, each going on where it was stopped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from spinalroots.compute.environment import variables
from spinalroots.errors import InputError
from spinalroots.files import write_json
from spinalroots.nnunet import environment
from spinalroots.nnunet.logger import RUN_ID
from spinalroots.nnunet.resumable import CHECKPOINT, FINAL, SETTINGS
from spinalroots.nnunet.trainer import SpinalrootsTrainer

if TYPE_CHECKING:
    from spinalroots.nnunet.job import Job


def train(job: Job, state: Path, device: str, run_id: str) -> list[Path]:
    """Train every fold to its end; the final checkpoint of each.

    :param state: folder of this very job; what a killed training left in it is gone on from.
    :param device: `cpu` or `cuda`.
    :param run_id: MLflow run that the curves go to, in the store that MLflow is set to.
    """
    workers = job.settings["augmentation_workers"]
    preprocessed = working_folder(job, state)
    with (
        environment.folders(state, preprocessed=preprocessed, workers=workers),
        variables({RUN_ID: run_id}),
        _explained(),
    ):
        return [_train_fold(job, state, fold, device) for fold in range(len(job.splits))]


def working_folder(job: Job, state: Path) -> Path:
    """nnU-Net's preprocessed folder of this training: own plans and splits, the data linked."""
    folder = state / "preprocessed"
    own = folder / job.prepared.name
    own.mkdir(parents=True, exist_ok=True)
    write_json(own / f"{job.plans['plans_name']}.json", {**job.plans, SETTINGS: job.settings})
    write_json(own / "splits_final.json", job.splits)
    for name in ("dataset.json", "dataset_fingerprint.json"):
        shutil.copyfile(job.prepared / name, own / name)
    link = own / job.data.name
    link.unlink(missing_ok=True)
    link.symlink_to(job.data.resolve(), target_is_directory=True)
    return folder


def _train_fold(job: Job, state: Path, fold: int, device: str) -> Path:
    """Train one fold, from its checkpoint if any; returns the final one."""
    run = f"{SpinalrootsTrainer.__name__}__{job.plans['plans_name']}__{environment.CONFIGURATION}"
    output = state / "results" / job.prepared.name / run / f"fold_{fold}"  # as nnU-Net names it
    if job.settings["gpus"] > 1:
        _train_on_several_gpus(job, output, fold)
    else:
        _train_here(job, output, fold, device)
    return output / FINAL


def _train_here(job: Job, output: Path, fold: int, device: str) -> None:
    found = next((name for name in (FINAL, CHECKPOINT) if (output / name).is_file()), None)
    plans = {**_in_equal_shares(job.plans, job.settings["gpus"]), SETTINGS: job.settings}
    plans["continue_training"] = found is not None
    trainer = SpinalrootsTrainer(
        plans, environment.CONFIGURATION, fold, dict(job.dataset), torch.device(device)
    )
    trainer.initialize()
    if found:
        trainer.load_checkpoint(str(output / found))
    if found != FINAL:
        trainer.run_training()


def _in_equal_shares(plans: dict, gpus: int) -> dict:
    """The plans with a batch that so many processes can share evenly, one more each if need be.

    nnU-Net gives some processes one patch more than others, and then its Dice over the batch, which
    gathers a number a patch, stops all of them.
    """
    configurations = dict(plans["configurations"])
    chosen = configurations[environment.CONFIGURATION]
    batch = -(-chosen["batch_size"] // gpus) * gpus
    configurations[environment.CONFIGURATION] = {**chosen, "batch_size": batch}
    return {**plans, "configurations": configurations}


def _train_on_several_gpus(job: Job, output: Path, fold: int) -> None:
    """What `nnUNetv2_train -num_gpus` does: a process for each GPU, joined by NCCL."""
    from nnunetv2.run.run_training import find_free_network_port

    os.environ["MASTER_ADDR"] = "localhost"
    os.environ["MASTER_PORT"] = str(find_free_network_port())
    gpus = job.settings["gpus"]
    torch.multiprocessing.spawn(_train_as_rank, args=(gpus, job, output, fold), nprocs=gpus)


def _train_as_rank(rank: int, world_size: int, job: Job, output: Path, fold: int) -> None:
    from nnunetv2.run.run_training import cleanup_ddp, setup_ddp

    setup_ddp(rank, world_size)
    torch.cuda.set_device(rank)
    _train_here(job, output, fold, "cuda")
    cleanup_ddp()


@contextmanager
def _explained() -> Iterator[None]:
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
