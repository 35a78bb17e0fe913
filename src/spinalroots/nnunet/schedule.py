"""The learning rate of short budgets."""

from __future__ import annotations

from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler


class WarmUpPoly(PolyLRScheduler):
    """nnU-Net's poly schedule after a linear rise over the first `warm_up` epochs."""

    def __init__(self, optimizer, initial_lr: float, max_steps: int, warm_up: float):
        self.warm_up = warm_up
        super().__init__(optimizer, initial_lr, max_steps)

    def step(self, current_step=None):
        """Set the rate of an epoch; fractions are batches."""
        super().step(current_step)
        if current_step is not None and 0 <= current_step < self.warm_up:
            rise = (current_step + 0.1 * self.warm_up) / (1.1 * self.warm_up)
            for group in self.optimizer.param_groups:
                group["lr"] *= rise
