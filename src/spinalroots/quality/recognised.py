"""Whether a scan shows what the models were made for: a T2 picture of a spine, the right way up.

A network answers anything. Limits are wide: they tell noise, inverted pictures, T1 and other parts
of the body from a spine (examples of each are in the tests), and say nothing of a scan's quality.
"""

from collections.abc import Mapping

import numpy as np

from spinalroots.imaging.volume import Volume
from spinalroots.registry.anatomy import ROOT_TISSUE, TISSUES

CORD, CSF = TISSUES.index("WM") + 1, TISSUES.index("CSF") + 1
SAC_MM2 = 50.0
"""Least section of a dural sac: in the narrowest stenosis 40 to 75 mm² are left (Schonstrom 1985);
a usual one has 100 to 300."""
SEEN = 0.4
"""Share of the slices that show a sac, below which none is believed: a scan may reach far below its
end, and hardly as far above the cervical canal."""
CONTRAST, NOISE = 0.3, 0.15
"""Without a tissue map: less contrast between sac and surroundings, or more noise over the fluid's
signal, is no T2 picture. Real and synthetic T2 scans have 0.5 to 0.8, and 0.02 to 0.05."""
LOWER = 0.12
"""Share of the sac's length by which the cord's middle lies below the sac's, upside down."""
LEAST_CORD_MM3 = 300.0
ROOTS = 0.08
"""Share of the sac that is roots: less is found where front and back are exchanged as well."""
_OTHER = str.maketrans("SIAP", "ISPA")
_UP = str.maketrans("SI", "IS")


def warnings(
    tissues: Volume | None, looks: Mapping[str, float], native: str | None = None
) -> list[dict]:
    """What is grave about the scan itself, as records of :func:`plausibility.warnings`.

    :param tissues: predicted tissue map (X, Y, Z) in RAS+, of a model that gives one.
    :param looks: of :func:`appearance.measure`.
    :param native: axis codes of the file, such as ``LAS``, for the turn that is offered.
    """
    found = _no_t2(tissues, looks)
    return found or _upside_down(tissues, native)


def _no_t2(tissues: Volume | None, looks: Mapping[str, float]) -> list[dict]:
    contrast, noise = looks["contrast"], looks["noise"]
    flat = not contrast >= CONTRAST
    loud = not noise <= NOISE
    if tissues is None:
        if not flat and not loud:
            return []
        value, limit, unit = (noise, NOISE, "noise") if loud else (contrast, CONTRAST, "contrast")
    else:
        value, limit, unit = _seen(tissues), SEEN, "share"
        if value >= SEEN:
            return []
    why = (
        "it looks like noise"
        if loud
        else "fluid is hardly brighter than what is around it, as on T1 or in an inverted picture"
        if flat
        else "it may be another contrast, or another part of the body"
    )
    message = f"No dural sac is seen in most of this scan: {why}. A T2 scan of a spine is needed."
    return [_record("no_t2", value, limit, unit, message)]


def _seen(tissues: Volume) -> float:
    """Share of the axial slices with at least SAC_MM2 of cord, CSF and roots."""
    sac = np.isin(tissues.data, (CORD, CSF, ROOT_TISSUE)).sum(axis=(0, 1))
    return float(np.mean(sac * float(np.prod(tissues.spacing_mm[:2])) >= SAC_MM2))


def _upside_down(tissues: Volume | None, native: str | None) -> list[dict]:
    if tissues is None:
        return []
    cord = (tissues.data == CORD).sum(axis=(0, 1))
    sac = np.isin(tissues.data, (CSF, ROOT_TISSUE)).sum(axis=(0, 1)) + cord
    voxel_mm3 = float(np.prod(tissues.spacing_mm))
    if cord.sum() * voxel_mm3 < LEAST_CORD_MM3:
        return []
    slices = np.arange(len(sac))
    length = np.ptp(slices[sac > 0]) + 1
    below = float(np.average(slices, weights=sac) - np.average(slices, weights=cord)) / length
    if below < LOWER:
        return []
    roots = np.count_nonzero(tissues.data == ROOT_TISSUE) / sac.sum()
    turn = ""
    if native:
        codes = native.translate(_UP if roots >= ROOTS else _OTHER)
        turn = f" Predict it again with --orientation {codes}, and look at left and right."
    message = (
        "The cord lies at the lower end of the sac: the file's header seems to turn the scan "
        f"upside down, and nothing found in it is where it should be.{turn}"
    )
    return [_record("upside_down", below, LOWER, "share", message)]


def _record(kind: str, value: float, limit: float, unit: str, message: str) -> dict:
    return {
        "kind": kind,
        "label": "",
        "value": round(float(value), 3) if np.isfinite(value) else None,
        "limit": limit,
        "unit": unit,
        "message": message,
    }
