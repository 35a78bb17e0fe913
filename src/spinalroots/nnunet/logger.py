"""nnU-Net's curves in MLflow, without gaps or doubles when a training is killed and resumed."""

import math
from collections import defaultdict
from numbers import Real
from typing import Any

RUN_ID = "SPINALROOTS_MLFLOW_RUN"
"""Environment variable with the MLflow run; the processes of a multi-GPU training inherit it."""

_MARK = "epoch"
"""Metric that is written with every epoch: its last step says how far MLflow has got."""


class MlflowLogger:
    """One of the `loggers` of nnU-Net's MetaLogger.

    Values wait until :meth:`flush`, which the trainer calls right after a checkpoint, and go out
    one epoch at a time. A resumed training replays the checkpoint's history; what MLflow already
    has is skipped, so each epoch arrives exactly once, wherever the kill fell.

    :param run_id: in the store that MLflow is set to, here or by MLFLOW_TRACKING_URI.
    :param prefix: before every name, where a run holds several folds.
    """

    def __init__(self, run_id: str, prefix: str = ""):
        from mlflow import MlflowClient

        self.client, self.run_id, self.prefix = MlflowClient(), run_id, prefix
        self.pending: dict[int, dict[str, float]] = defaultdict(dict)
        history = self.client.get_metric_history(run_id, prefix + _MARK)
        self.next_epoch = 1 + max((int(entry.step) for entry in history), default=-1)

    def update_config(self, config: dict) -> None:
        """Hyper-parameters; plans and data set description are logged by the training itself."""
        for key, value in config.get("hparas", {}).items():
            self.client.log_param(self.run_id, f"{self.prefix}nnunet.{key}", value)

    def log(self, key: str, value: Any, step: int) -> None:
        """Keep a value of an epoch until the next flush; time stamps are not curves."""
        if not key.endswith("timestamps") and isinstance(value, Real) and math.isfinite(value):
            self.pending[int(step)][self.prefix + _name(key)] = float(value)

    def log_summary(self, key: str, value: Any) -> None:
        """A value of the whole training."""
        if isinstance(value, Real) and math.isfinite(value):
            self.client.log_metric(self.run_id, self.prefix + _name(key), float(value))

    def replay(self, history: dict[str, list]) -> None:
        """Take up the curves of a checkpoint (nnU-Net's LocalLogger: key → one value an epoch)."""
        for key, values in history.items():
            for epoch, value in enumerate(values):
                if isinstance(value, list):
                    for index, part in enumerate(value, start=1):
                        self.log(f"{key}/class_{index}", part, epoch)
                else:
                    self.log(key, value, epoch)

    def flush(self, epochs: int) -> None:
        """Send the values of all epochs below `epochs` that MLflow has not got yet."""
        from time import time

        from mlflow.entities import Metric

        for epoch in range(self.next_epoch, epochs):
            values = {self.prefix + _MARK: float(epoch), **self.pending[epoch]}
            now = int(time() * 1000)
            self.client.log_batch(
                self.run_id, [Metric(key, value, now, epoch) for key, value in values.items()]
            )
        self.next_epoch = max(self.next_epoch, epochs)
        for epoch in [epoch for epoch in self.pending if epoch < epochs]:
            del self.pending[epoch]


def _name(key: str) -> str:
    """nnU-Net's key as an MLflow metric name."""
    return key.replace("dice_per_class_or_region", "dice")
