"""A finished training as a model's folder: weights and description, nothing of this machine."""

from pathlib import Path

import torch

from spinalroots.files import folder_in_one_piece, write_json
from spinalroots.inference.stored import FORMAT, save_weights
from spinalroots.nnunet.environment import CONFIGURATION
from spinalroots.nnunet.job import Job
from spinalroots.nnunet.network import build_network
from spinalroots.nnunet.planner import summary

_CURVES = ("train_losses", "val_losses", "mean_fg_dice", "lrs")


def publish(job: Job, checkpoints: list[Path], consumed: dict, folder: Path) -> None:
    """Write model.safetensors, model.json and training.json in one piece.

    :param checkpoints: the final one of each fold.
    :param consumed: what the training took, for training.json.
    """
    classes, folds = len(job.target.class_names), len(checkpoints)
    network = build_network(job.plans, CONFIGURATION, classes, folds)
    parts = [network] if folds == 1 else list(network.networks)
    curves = []
    for part, checkpoint in zip(parts, checkpoints, strict=True):
        content = torch.load(checkpoint, "cpu", weights_only=True)
        part.load_state_dict(content["network"])
        curves.append({name: content["curves"][name] for name in _CURVES})
    planned = summary(job.plans, CONFIGURATION)
    with folder_in_one_piece(folder) as staging:
        save_weights(network, staging / "model.safetensors")
        write_json(
            staging / "model.json",
            {
                "format": FORMAT,
                "family": "nnunet",
                "name": job.model.name,
                "target": job.target.as_dict(),
                "configuration": CONFIGURATION,
                "folds": folds,
                "parameters": sum(one.numel() for one in network.parameters()),
                "trained_on": {
                    role: sorted(name for name, case in job.cases.items() if case["role"] == role)
                    for role in ("training", "validation")
                },
                "plans_summary": planned,
                "plans": job.plans,
                "dataset_json": job.dataset,
            },
        )
        write_json(
            staging / "training.json",
            {**consumed, "settings": job.settings, "plans": planned, "folds": curves},
        )
