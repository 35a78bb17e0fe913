"""Random tensors from a generator of their own."""

import torch


def uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> torch.Tensor:
    """Evenly drawn in [low, high)."""
    return low + (high - low) * torch.rand(*shape, generator=generator)


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Normally drawn, unit spread."""
    return torch.randn(*shape, generator=generator)


def chosen(generator: torch.Generator, share: float, count: int) -> torch.Tensor:
    """(count,) bool, each true with chance `share`."""
    return torch.rand(count, generator=generator) < share
