"""The segmentation network: HarDNet blocks down and up again, in the manner of FC-HarDNet.

What differs from the published FC-HarDNet-70: 2D or 3D from the same code, a stem that keeps the
full resolution (a root is 1–4 voxels thick; a stem of stride 4 would throw it away), and a step
per axis between the levels, because slices are thicker than voxels are wide.

    image ─ stem ─ block 0 ───────────────────── concat ─ 1×1 ─ block 0' ─ 1×1 ─ logits
                     └ 1×1 ─ pool ─ block 1 ─ … ─┘ up
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from spinalroots.errors import InputError
from spinalroots.hardnet.network.blocks import CONVOLUTIONS, Convolution, HarDBlock


@dataclass(frozen=True)
class Size:
    """Depth and width: stem widths, then per level block growth, layers, transition width."""

    stem: tuple[int, ...]
    growth: tuple[int, ...]
    layers: tuple[int, ...]
    transitions: tuple[int, ...]
    multiplier: float = 1.7


PRESETS: dict[str, Size] = {
    "tiny": Size((8,), (6, 10, 12, 16), (2, 4, 4, 4), (16, 32, 48, 64)),
    "small": Size((8,), (8, 12, 16, 24), (2, 4, 4, 4), (24, 48, 72, 96)),
    "base": Size((16,), (10, 12, 16, 20, 28), (2, 4, 8, 8, 4), (32, 64, 96, 128, 160)),
    "70": Size((16, 24), (10, 16, 18, 24, 32), (4, 4, 8, 8, 8), (64, 96, 160, 224, 320)),
    "39": Size((24, 32), (16, 16, 20, 64, 160), (4, 4, 16, 8, 4), (64, 96, 320, 640, 1024), 1.6),
    "68": Size((32, 64), (14, 16, 20, 40, 160), (8, 16, 16, 16, 4), (128, 256, 320, 640, 1024)),
}
"""`70`, `39` and `68` take the published growths and depths; below them is what fits a laptop."""

MOST_LEVELS, MOST_LAYERS, MOST_CHANNELS = 8, 64, 8192
"""What a description may ask for."""


@dataclass(frozen=True)
class NetworkConfig:
    """Everything that is needed to rebuild the network.

    :param strides: one step per axis between neighbouring levels: (levels - 1) × dim.
    :param stem_stride: per axis; more than 1 makes the logits be interpolated back.
    :param width: factor on all channel numbers of the preset.
    """

    dim: int
    channels: int
    classes: int
    size: Size
    strides: tuple[tuple[int, ...], ...]
    stem_stride: tuple[int, ...]
    deep_supervision: bool = False

    @classmethod
    def of(
        cls,
        preset: str,
        *,
        dim: int,
        channels: int,
        classes: int,
        width: float = 1.0,
        in_plane_stem_stride: int = 1,
        deep_supervision: bool = False,
    ) -> NetworkConfig:
        """A preset in 2D or 3D. In 3D the first step down is in plane only."""
        if preset not in PRESETS:
            raise InputError(
                "hardnet.preset",
                expected=f"one of {', '.join(PRESETS)}",
                found=repr(preset),
                fix="Choose one of them.",
            )
        size = scaled(PRESETS[preset], width)
        steps = len(size.growth) - 1
        flat, isotropic = (2,) * 2 + (1,) * (dim - 2), (2,) * dim
        return cls(
            dim,
            channels,
            classes,
            size,
            strides=(flat, *[isotropic] * (steps - 1)),
            stem_stride=(in_plane_stem_stride,) * 2 + (1,) * (dim - 2),
            deep_supervision=deep_supervision,
        )

    def require_possible(self) -> None:
        """ValueError unless a network of this description could be built in a moment.

        A description may come with anybody's model.
        """
        size, levels = self.size, len(self.size.growth)
        widths = (*size.stem, *size.growth, *size.transitions, self.channels, self.classes)
        steps = (*self.stem_stride, *(step for steps in self.strides for step in steps))
        if not (
            self.dim in (2, 3)
            and 2 <= levels <= MOST_LEVELS
            and len(size.layers) == len(size.transitions) == len(self.strides) + 1 == levels
            and 1 <= len(size.stem) <= MOST_LEVELS
            and all(1 <= width <= MOST_CHANNELS for width in widths)
            and all(1 <= layers <= MOST_LAYERS for layers in size.layers)
            and 1 <= size.multiplier <= 4
            and all(len(one) == self.dim for one in (self.stem_stride, *self.strides))
            and all(1 <= step <= MOST_LEVELS for step in steps)
        ):
            raise ValueError(f"no HarDNet is built like {str(self)[:200]}")

    @property
    def divisors(self) -> tuple[int, ...]:
        """Each spatial axis of an input must be a multiple of these."""
        total = list(self.stem_stride)
        for stride in self.strides:
            total = [whole * step for whole, step in zip(total, stride, strict=True)]
        return tuple(total)


def scaled(size: Size, width: float) -> Size:
    """The size with all channel numbers times `width`, kept even and at least 4."""

    def apply(values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(max(4, 2 * round(value * width / 2)) for value in values)

    return replace(
        size,
        stem=apply(size.stem),
        growth=apply(size.growth),
        transitions=apply(size.transitions),
    )


class SegmentationHardnet(nn.Module):
    """(B, channels, *spatial) → logits (B, classes, *spatial).

    While training with deep supervision it returns a list, coarser logits after the full ones.
    `checkpointing` recomputes each block's inside in the backward pass instead of keeping it.
    """

    def __init__(self, config: NetworkConfig, *, checkpointing: bool = False):
        super().__init__()
        self.config, self.checkpointing = config, checkpointing
        dim, size = config.dim, config.size
        self.stem = nn.Sequential()
        channels = config.channels
        for number, stem in enumerate(size.stem):
            stride = config.stem_stride if number == 0 else 1
            self.stem.append(Convolution(dim, channels, stem, stride=stride))
            channels = stem
        self.down, self.narrow = nn.ModuleList(), nn.ModuleList()
        for level, transition in enumerate(size.transitions):
            block = self._block(channels, level)
            self.down.append(block)
            self.narrow.append(Convolution(dim, block.channels_out, transition, kernel=1))
            channels = transition
        self.merge, self.up = nn.ModuleList(), nn.ModuleList()
        heads = []
        for level in reversed(range(len(size.growth) - 1)):
            together = channels + self.down[level].channels_out
            self.merge.append(Convolution(dim, together, together // 2, kernel=1))
            block = self._block(together // 2, level)
            self.up.append(block)
            channels = block.channels_out
            if level == 0 or (config.deep_supervision and level <= 2):
                heads.append(CONVOLUTIONS[dim](channels, config.classes, 1))
        self.heads = nn.ModuleList(reversed(heads))

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        x, skips = self.stem(x), []
        for level, (block, narrow) in enumerate(zip(self.down, self.narrow, strict=True)):
            made = self._run(block, x)
            x = narrow(made)
            if level < len(self.config.strides):
                skips.append(made)
                x = _pool(x, self.config.strides[level])
        logits = []
        for level, merge, block in zip(
            reversed(range(len(skips))), self.merge, self.up, strict=True
        ):
            x = torch.cat([self._resize(x, self.config.strides[level]), skips[level]], dim=1)
            x = self._run(block, merge(x))
            if level == 0 or (self.training and level < len(self.heads)):
                logits.append(self._resize(self.heads[level](x), self.config.stem_stride))
        logits.reverse()
        return logits if self.training and self.config.deep_supervision else logits[0]

    def _block(self, channels: int, level: int) -> HarDBlock:
        size = self.config.size
        return HarDBlock(
            self.config.dim,
            channels,
            growth=size.growth[level],
            multiplier=size.multiplier,
            layers=size.layers[level],
        )

    def _run(self, block: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(block, x, use_reentrant=False)
        return block(x)

    def _resize(self, x: torch.Tensor, factors: tuple[int, ...]) -> torch.Tensor:
        if max(factors) == 1:
            return x
        shape = [length * factor for length, factor in zip(x.shape[2:], factors, strict=True)]
        mode = "trilinear" if self.config.dim == 3 else "bilinear"
        wide = functional.interpolate(x, size=shape, mode=mode, align_corners=False)
        if wide.requires_grad:
            wide.register_hook(_like(wide))
        return wide


def _like(tensor: torch.Tensor):
    """A hook that lays a gradient out as `tensor` is. What comes back from a concatenation is a
    strided view, for which PyTorch's upsampling takes its slowest way, eight times slower."""
    layout = torch.contiguous_format
    if tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        layout = torch.channels_last
    if tensor.ndim == 5 and tensor.is_contiguous(memory_format=torch.channels_last_3d):
        layout = torch.channels_last_3d
    return lambda gradient: gradient.contiguous(memory_format=layout)


def _pool(x: torch.Tensor, factors: tuple[int, ...]) -> torch.Tensor:
    pool = functional.avg_pool3d if len(factors) == 3 else functional.avg_pool2d
    return pool(x, factors)
