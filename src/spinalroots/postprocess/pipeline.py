"""From a network's labels to the maps that a person gets: specks out, sides in."""

from __future__ import annotations

import numpy as np

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.postprocess.cleanup import drop_islands
from spinalroots.postprocess.sides import split_sides
from spinalroots.registry.anatomy import Scheme, Target, individuals_to_levels
from spinalroots.settings.results import Postprocess


def run(
    prediction: Volume, target: Target, centreline: Centreline, params: Postprocess
) -> dict[Scheme, Volume]:
    """Entity, level and individual maps of a prediction, on its grid.

    :param prediction: stored label values (X, Y, Z) uint8 of the target's scheme, in RAS+.
    :param target: a level target's roots get sides from the centreline, and the target's type; an
        individual target's labels have both already; an entity target has nothing but the entity.
    """
    labels = drop_islands(prediction.data, prediction.spacing_mm, params.island_mm3)
    maps = {Scheme.ENTITY: (labels > 0).astype(np.uint8)}
    if target.scheme is Scheme.LEVELS:
        maps[Scheme.INDIVIDUALS] = split_sides(
            labels,
            prediction.grid,
            centreline,
            type_=target.types[0],
            side_pull=params.side_pull,
        )
        maps[Scheme.LEVELS] = labels
    elif target.scheme is Scheme.INDIVIDUALS:
        maps[Scheme.INDIVIDUALS] = labels
        maps[Scheme.LEVELS] = individuals_to_levels(labels)
    return {scheme: prediction.with_data(data) for scheme, data in maps.items()}
