"""What the two families of networks have in common when a scan goes in and labels come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from spinalroots.errors import InputError
from spinalroots.imaging.anchors import Anchor
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import Target
from spinalroots.settings.inference import Decoding

if TYPE_CHECKING:
    import torch

Runner = Callable[[np.ndarray], np.ndarray]
"""Runs a network: (B, C, *spatial) float32 → logits (B, classes, *spatial) float32."""


@dataclass(frozen=True)
class Prediction:
    """`labels`: stored label values (uint8) on the scan's RAS+ grid; `foreground`: P(any root);
    `name_chance`: P(its name, or having none, is the right one | it is root), 0 where no root was
    drawn, if the predictor gives it; `tissues`: stored tissue labels (uint8) with all roots, of a
    predictor that knows them; `conus_mm` (3,): where the likeliest cord ends, which may be drawn
    shorter, RAS+ mm, None where it does not in the scan."""

    labels: Volume
    foreground: Volume
    name_chance: Volume | None = None
    tissues: Volume | None = None
    conus_mm: np.ndarray | None = field(default=None, kw_only=True)


class Predictor(Protocol):
    """A trained model with all that is needed to go from a scan to labels."""

    @property
    def name(self) -> str:
        """Of the model; also that of its folder."""

    @property
    def target(self) -> Target:
        """The roots that it finds."""

    @property
    def network(self) -> torch.nn.Module:
        """fp32, eval mode: (B, C, *spatial) → logits (B, classes, *spatial)."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, *spatial) of one network input; fixed, so that exports can be static."""

    def inputs(self, scan: Volume, centreline: Centreline) -> Iterator[np.ndarray]:
        """The network inputs (C, *spatial) float32 that the scan is cut into."""

    def predict(
        self, scan: Volume, centreline: Centreline, runner: Runner | None = None
    ) -> Prediction:
        """Labels and root probability on the scan's RAS+ grid; `runner` replaces the network."""


@runtime_checkable
class TakesAnchors(Protocol):
    """A predictor whose names can rest on discs that were seen."""

    def predict_anchored(
        self,
        scan: Volume,
        centreline: Centreline,
        runner: Runner | None,
        anchors: Sequence[Anchor],
    ) -> Prediction:
        """As :meth:`Predictor.predict`."""


def torch_runner(network: torch.nn.Module, *, bf16: bool = False) -> Runner:
    """Runs the network as it is, in inference mode, on the device that it lies on.

    :param bf16: compute the layers in bf16 under autocast, half the time on a CPU built for it.
    """
    import torch

    device = next(network.parameters()).device

    def run(batch: np.ndarray) -> np.ndarray:
        half = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
        with torch.inference_mode(), half:
            return network(torch.from_numpy(batch).to(device)).float().cpu().numpy()

    return run


def decode(probabilities: np.ndarray, target: Target, rule: Decoding) -> np.ndarray:
    """Class probabilities (classes, ...) → stored label values (...), uint8."""
    own = probabilities[1 : len(target.values) + 1]
    best = own.argmax(axis=0).astype(np.uint8) + np.uint8(1)
    if rule == "entity_first":
        rest = probabilities[len(target.values) + 1 :].sum(axis=0)
        root = (own.sum(axis=0) > probabilities[0]) & (own.sum(axis=0) > rest)
    elif rule == "argmax":
        root = probabilities.argmax(axis=0) == best
    else:
        raise InputError(
            "decoding", expected="argmax or entity_first", found=repr(rule), fix="Correct it."
        )
    return target.decode(np.where(root, best, np.uint8(0)))
