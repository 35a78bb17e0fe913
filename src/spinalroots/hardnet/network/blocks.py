"""HarDNet's blocks: few, harmonically spaced links between layers, in 2D and in 3D.

Chao et al., "HarDNet: a low memory traffic network", arXiv 1909.00948. Layer `l` of a block (layer
0 is the block's input) reads every layer `l - 2**i` whose step `2**i` divides `l`; layers that many
others read are wider. The wiring is spelled out by :func:`links` and :func:`width` alone.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def links(layer: int) -> tuple[int, ...]:
    """The layers that `layer` (1-based) reads, nearest first.

    >>> links(8), links(12), links(3)
    ((7, 6, 4, 0), (11, 10, 8), (2,))
    """
    steps = []
    step = 1
    while step <= layer and layer % step == 0:
        steps.append(layer - step)
        step *= 2
    return tuple(steps)


def width(layer: int, growth: int, multiplier: float) -> int:
    """Channels of `layer`: growth · multiplier**n, n the number of i ≥ 1 with 2**i | layer.

    Rounded to an even number as the authors' code does.

    >>> [width(layer, 10, 1.7) for layer in (1, 2, 3, 4)]
    [10, 18, 10, 28]
    """
    channels = growth * multiplier ** (len(links(layer)) - 1)
    return int(int(channels + 1) / 2) * 2


def kept(layers: int) -> tuple[int, ...]:
    """Layers whose channels leave the block: the odd ones and the last.

    >>> kept(4), kept(8)
    ((1, 3, 4), (1, 3, 5, 7, 8))
    """
    return tuple(layer for layer in range(1, layers + 1) if layer % 2 or layer == layers)


class Convolution(nn.Sequential):
    """Convolution without bias, batch norm, activation: (B, in, *spatial) → (B, out, *spatial).

    `stride` is one number or one per axis.
    """

    def __init__(
        self,
        dim: int,
        channels_in: int,
        channels_out: int,
        *,
        kernel: int = 3,
        stride: int | Sequence[int] = 1,
    ):
        stride = tuple(stride) if isinstance(stride, Sequence) else stride
        super().__init__(
            CONVOLUTIONS[dim](
                channels_in, channels_out, kernel, stride=stride, padding=kernel // 2, bias=False
            ),
            NORMS[dim](channels_out),
            nn.ReLU(inplace=True),
        )


class HarDBlock(nn.Module):
    """One harmonic dense block: (B, channels_in, *spatial) → (B, channels_out, *spatial).

    The output concatenates the kept layers; the block's own input is not passed on. `layer` makes
    one layer of (dim, channels in, channels out).
    """

    def __init__(
        self,
        dim: int,
        channels_in: int,
        *,
        growth: int,
        multiplier: float,
        layers: int,
        layer: Callable[[int, int, int], nn.Module] = Convolution,
    ):
        super().__init__()
        widths = [channels_in, *(width(n, growth, multiplier) for n in range(1, layers + 1))]
        self.layers = nn.ModuleList()
        for number in range(1, layers + 1):
            read = sum(widths[link] for link in links(number))
            self.layers.append(layer(dim, read, widths[number]))
        self.kept = kept(layers)
        self.channels_out = sum(widths[number] for number in self.kept)
        self._last_reader = _last_readers(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: dict[int, torch.Tensor] = {0: x}
        for number, layer in enumerate(self.layers, start=1):
            read = [made[link] for link in links(number)]
            made[number] = layer(torch.cat(read, dim=1) if len(read) > 1 else read[0])
            for done in links(number):
                if self._last_reader[done] == number and done not in self.kept:
                    del made[done]
        return torch.cat([made[number] for number in self.kept], dim=1)


def _last_readers(layers: int) -> dict[int, int]:
    """The last layer that reads each layer: after it the tensor may be freed."""
    return {link: number for number in range(1, layers + 1) for link in links(number)}
