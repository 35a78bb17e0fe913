"""The published HarDNets, rebuilt from our blocks: their parameter counts check the rule.

Tables of arXiv 1909.00948 (39DS, 68, 85) and of the authors' FC-HarDNet-70. They are for checking
and for comparison; the pipeline trains `SegmentationHardnet`. The published classifiers have
ReLU6 where ours have ReLU: neither has parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from spinalroots.hardnet.network.blocks import Convolution, HarDBlock


def parameter_count(network: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


class Depthwise(nn.Sequential):
    """3×3 convolution of every channel on its own, batch norm, no activation."""

    def __init__(self, channels: int, *, stride: int = 1):
        super().__init__(
            nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False),
            nn.BatchNorm2d(channels),
        )


def separable(dim: int, channels_in: int, channels_out: int) -> nn.Sequential:
    """The layer of the DS variants: 1×1 convolution-BN-ReLU, then a depthwise one."""
    return nn.Sequential(
        Convolution(dim, channels_in, channels_out, kernel=1), Depthwise(channels_out)
    )


@dataclass(frozen=True)
class Backbone:
    """A published classifier: per block growth, layers, transition width, and if it shrinks."""

    stem: tuple[int, int]
    growth: tuple[int, ...]
    layers: tuple[int, ...]
    transitions: tuple[int, ...]
    down: tuple[bool, ...]
    multiplier: float = 1.7
    separable: bool = False


BACKBONES = {
    "68": Backbone(
        (32, 64),
        (14, 16, 20, 40, 160),
        (8, 16, 16, 16, 4),
        (128, 256, 320, 640, 1024),
        (True, False, True, True, False),
    ),
    "85": Backbone(
        (48, 96),
        (24, 24, 28, 36, 48, 256),
        (8, 16, 16, 16, 16, 4),
        (192, 256, 320, 480, 720, 1280),
        (True, False, True, False, True, False),
    ),
    "39DS": Backbone(
        (24, 48),
        (16, 20, 64, 160),
        (4, 16, 8, 4),
        (96, 320, 640, 1024),
        (True, True, True, False),
        multiplier=1.6,
        separable=True,
    ),
}


def classifier(name: str, *, classes: int = 1000) -> nn.Sequential:
    """The 2D ImageNet classifier `68`, `85` or `39DS`: (B, 3, H, W) → (B, classes)."""
    plan = BACKBONES[name]
    first, channels = plan.stem
    parts: list[nn.Module] = [
        Convolution(2, 3, first, stride=2),
        Convolution(2, first, channels, kernel=1 if plan.separable else 3),
        Depthwise(channels, stride=2) if plan.separable else nn.MaxPool2d(3, 2, padding=1),
    ]
    for growth, layers, transition, down in zip(
        plan.growth, plan.layers, plan.transitions, plan.down, strict=True
    ):
        block = HarDBlock(
            2,
            channels,
            growth=growth,
            multiplier=plan.multiplier,
            layers=layers,
            layer=separable if plan.separable else Convolution,
        )
        parts += [block, Convolution(2, block.channels_out, transition, kernel=1)]
        if down:
            parts.append(Depthwise(transition, stride=2) if plan.separable else nn.MaxPool2d(2))
        channels = transition
    parts += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(*parts)


class FcHardnet70(nn.Module):
    """FC-HarDNet-70 for 2D street scenes: (B, 3, H, W) → (B, classes, H, W), stem at stride 4."""

    growth = (10, 16, 18, 24, 32)
    layers = (4, 4, 8, 8, 8)
    transitions = (64, 96, 160, 224, 320)

    def __init__(self, classes: int = 19):
        super().__init__()
        self.stem = nn.Sequential(
            Convolution(2, 3, 16, stride=2),
            Convolution(2, 16, 24),
            Convolution(2, 24, 32, stride=2),
            Convolution(2, 32, 48),
        )
        self.blocks, self.narrow = nn.ModuleList(), nn.ModuleList()
        channels = 48
        for growth, layers, transition in zip(
            self.growth, self.layers, self.transitions, strict=True
        ):
            block = HarDBlock(2, channels, growth=growth, multiplier=1.7, layers=layers)
            self.blocks.append(block)
            self.narrow.append(Convolution(2, block.channels_out, transition, kernel=1))
            channels = transition
        self.merge, self.up = nn.ModuleList(), nn.ModuleList()
        for level in (3, 2, 1, 0):
            together = channels + self.blocks[level].channels_out
            self.merge.append(Convolution(2, together, together // 2, kernel=1))
            block = HarDBlock(
                2,
                together // 2,
                growth=self.growth[level],
                multiplier=1.7,
                layers=self.layers[level],
            )
            self.up.append(block)
            channels = block.channels_out
        self.head = nn.Conv2d(channels, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        size = x.shape[2:]
        x, skips = self.stem(x), []
        for level, (block, narrow) in enumerate(zip(self.blocks, self.narrow, strict=True)):
            made = block(x)
            x = narrow(made)
            if level < 4:
                skips.append(made)
                x = functional.avg_pool2d(x, 2)
        for merge, block in zip(self.merge, self.up, strict=True):
            skip = skips.pop()
            x = functional.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=True)
            x = block(merge(torch.cat([x, skip], dim=1)))
        return functional.interpolate(self.head(x), size=size, mode="bilinear", align_corners=True)
