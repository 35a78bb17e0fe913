"""What the names of levels rest on, in words: the JSON of a prediction says it."""

from collections.abc import Sequence

import numpy as np

from spinalroots.imaging.anchors import Anchor, vertebral_positions
from spinalroots.imaging.centreline import Centreline
from spinalroots.inference.predictor import Prediction
from spinalroots.registry.anatomy import TISSUES
from spinalroots.registry.vertebrae import CONUS_POSITIONS

CORD = TISSUES.index("WM") + 1
CONUS = (
    "Names rest on where the cord ends, which differs from person to person: they may be off by "
    "one or two levels."
)
NO_CONUS = (
    "The cord goes on below the scan, its end is not in view: names are a guess, and may be off by "
    "several levels."
)
NO_CORD = "No cord is in view: names are a guess, and may be off by several levels."
ANCHORS = "Names rest on the discs that were given."
UNUSUAL = (
    "By these discs the cord ends {away:.1f} vertebrae {way} L1/L2, out of the range that is known "
    "(the middle of T12 to the top of L3): count them again."
)
UNUSED = "This model cannot use the discs that were given."
TRAP = (
    "About one person in ten has four or six lumbar vertebrae, or one that is part of the sacrum: "
    "count from above where the scan shows it."
)
"""32 and 14 of 418 in MRI of the whole spine [Tins 2016, 10.1007/s13244-016-0468-7]."""
HOW = (
    "Give a disc that you are sure of with --anchor L1/L2=X,Y,Z or --discs FILE{model}, or move "
    "all names afterwards with `spinalroots rename OUT --shift 1 -o NEW`."
)


def record(
    prediction: Prediction,
    centreline: Centreline,
    anchors: Sequence[Anchor],
    *,
    takes_anchors: bool,
) -> dict:
    """The entry `naming` of a prediction's JSON, plain values.

    `rests_on`: "anchors" or "conus", None where neither is known. `conus_ras_mm`: None as well for
    a model that gives no tissue map; it says nothing of where it takes the cord to end.
    `conus_position`: its place among the vertebrae by the anchors, 0 at L1/L2, 1 at T12/L1.

    :param takes_anchors: whether the model takes anchors into account.
    """
    end = prediction.conus_mm
    rests_on, words = rests(prediction, bool(anchors) and takes_anchors)
    place = None
    if anchors and end is not None:
        place = float(vertebral_positions(end[None], centreline, anchors)[0])
        if not CONUS_POSITIONS[0] <= place <= CONUS_POSITIONS[1]:
            way = "above" if place > 0 else "below"
            words += " " + UNUSUAL.format(away=abs(place), way=way)
    if anchors and not takes_anchors:
        words += f" {UNUSED}"
    words += f" {TRAP}"
    if rests_on != "anchors":
        words += " " + HOW.format(model="" if takes_anchors else " to the model hardnet-anatomy")
    return {
        "rests_on": rests_on,
        "conus_ras_mm": None if end is None else np.round(end, 1).tolist(),
        "conus_position": None if place is None else round(place, 2),
        "anchors": [
            {"disc": anchor.disc, "ras_mm": np.round(anchor.ras_mm, 1).tolist()}
            for anchor in anchors
        ],
        "note": words,
    }


def rests(prediction: Prediction, anchored: bool) -> tuple[str | None, str]:
    """What names rest on, and a sentence about it."""
    if anchored:
        return "anchors", ANCHORS
    if prediction.tissues is None or prediction.conus_mm is not None:
        return "conus", CONUS
    return None, NO_CONUS if (prediction.tissues.data == CORD).any() else NO_CORD


def told(entry: dict) -> str:
    """What of an entry `naming` a person should hear at once."""
    return entry["note"].partition(f" {TRAP}")[0]
