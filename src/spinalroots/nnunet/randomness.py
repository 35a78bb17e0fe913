"""The global random generators that nnU-Net draws from: seeded, saved, put back."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators, which nnU-Net draws from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state() -> dict:
    """State of the three global generators, in plain values and tensors."""
    version, internal, gauss = random.getstate()
    drawn = np.random.get_state(legacy=False)
    keys = torch.from_numpy(drawn["state"]["key"].astype(np.int64))
    return {
        "python": [version, list(internal), gauss],
        "numpy": {**drawn, "state": {**drawn["state"], "key": keys}},
        "torch": torch.get_rng_state(),
    }


def set_random_state(state: dict) -> None:
    """Inverse of :func:`random_state`."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    drawn = state["numpy"]
    keys = drawn["state"]["key"].cpu().numpy().astype(np.uint32)
    np.random.set_state({**drawn, "state": {**drawn["state"], "key": keys}})
    torch.set_rng_state(state["torch"].cpu())
