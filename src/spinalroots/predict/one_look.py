"""The anatomy network looks at a scan once, for its own answer and for naming another's roots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spinalroots.hardnet.anatomy.positions import Ends
from spinalroots.hardnet.anatomy.prediction import Names
from spinalroots.hardnet.anatomy.predictor import AnatomyPredictor
from spinalroots.hardnet.data.straighten import Placement
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.inference.predictor import Runner


@dataclass
class OneLook(AnatomyPredictor):
    """What either network found is kept for one more question about the very same arrays.

    So :meth:`name_roots` after :meth:`predict`, with the same objects, runs no network.
    """

    _tissues: tuple[tuple, Any] | None = field(default=None, init=False, repr=False)
    _names: tuple[tuple, Any] | None = field(default=None, init=False, repr=False)

    def find_tissues(
        self, scan: Volume, centreline: Centreline, runner: Runner | None = None
    ) -> tuple[np.ndarray, Placement]:
        """See there."""
        kept, self._tissues = self._tissues, None
        asked = (scan, centreline, runner)
        if kept and all(one is other for one, other in zip(asked, kept[0], strict=True)):
            return kept[1]
        found = super().find_tissues(scan, centreline, runner)
        self._tissues = asked, found
        return found

    def find_names(
        self, tissues: np.ndarray, found: Ends, places: np.ndarray | None = None
    ) -> Names:
        """See there."""
        kept, self._names = self._names, None
        if kept and kept[0][0] is tissues and kept[0][1] == found and places is None:
            return kept[1]
        names = super().find_names(tissues, found, places)
        if places is None:
            self._names = (tissues, found), names
        return names
