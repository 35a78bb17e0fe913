"""From a network's labels to the maps that a person gets: specks out, sides in."""

from __future__ import annotations

import numpy as np

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.components import without_specks
from spinalroots.imaging.volume import Volume
from spinalroots.postprocess.sides import split_sides
from spinalroots.registry.anatomy import Scheme, Target, individuals_to_levels


def root_maps(
    prediction: Volume,
    target: Target,
    centreline: Centreline,
    *,
    island_mm3: float,
    side_pull: float,
) -> dict[Scheme, Volume]:
    """Entity, level and individual maps of a prediction, on its grid.

    :param prediction: stored label values (X, Y, Z) uint8 of the target's scheme, in RAS+.
    :param target: a level target's roots get sides from the centreline, and the target's type; an
        individual target's labels have both already; an entity target has nothing but the entity.
    :param island_mm3: connected parts of a label that are smaller become background.
    :param side_pull: see :func:`split_sides`.
    """
    labels = without_specks(prediction.data, island_mm3 / prediction.grid.voxel_mm3)
    maps = {Scheme.ENTITY: (labels > 0).astype(np.uint8)}
    if target.scheme is Scheme.LEVELS:
        maps[Scheme.INDIVIDUALS] = split_sides(
            labels,
            prediction.grid,
            centreline,
            type_=target.types[0],
            side_pull=side_pull,
        )
        maps[Scheme.LEVELS] = labels
    elif target.scheme is Scheme.INDIVIDUALS:
        maps[Scheme.INDIVIDUALS] = labels
        maps[Scheme.LEVELS] = individuals_to_levels(labels)
    return {scheme: prediction.with_data(data) for scheme, data in maps.items()}
