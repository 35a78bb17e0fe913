"""The tissues of a phantom: how bright each voxel is on T2 before the scanner spoils it.

Structures are painted over one another, from the body to the cord. Each is a signed distance in
straight coordinates; its edge is as wide as a voxel, which gives the share of a voxel it fills.
"""

from dataclasses import dataclass

import numpy as np

from spinalroots.phantom.contrast import Contrast
from spinalroots.phantom.sections import Ellipse, Sections
from spinalroots.phantom.shapes import clouds, ellipse, share, smooth
from spinalroots.phantom.subject import Subject
from spinalroots.phantom.vertebrae import heights, paint_arches, paint_bodies

_FAR_MM = 99.0
_AROUND_CANAL_MM = 10.0
"""Sac, pads of fat and all between them lie closer to the canal's ellipse, or in it."""


@dataclass(frozen=True)
class Scene:
    """`signal` (X, Y, Z) without roots; `cord`, `sac`, `fat`: shares of each voxel, 0..1."""

    signal: np.ndarray
    cord: np.ndarray
    sac: np.ndarray
    fat: np.ndarray


def paint(
    subject: Subject,
    contrast: Contrast,
    coordinates: tuple[np.ndarray, np.ndarray, np.ndarray],
    spacing_mm: np.ndarray,
    rng: np.random.Generator,
) -> Scene:
    """Paint all tissues on a grid whose straight coordinates are u (X, Y, Z) and v, s (1, Y, Z)."""
    u, v, s = coordinates
    edge = float(spacing_mm[:2].mean())
    sections = Sections(subject)
    cord, sac = sections.cord(s), sections.sac(s)
    at = heights(subject, s)
    fine = clouds(rng, u.shape, spacing_mm, 2.0)
    grain = 1 + np.float32(contrast.grain) * fine
    signal = _body(contrast, u, v, s, clouds(rng, u.shape, spacing_mm, (3, 3, 22)), grain, edge)
    front = clouds(rng, u.shape, spacing_mm, 9.0)

    def over(part: np.ndarray, value) -> None:
        nonlocal signal
        signal = signal + part * (np.asarray(value, np.float32) - signal)

    a = np.maximum(sac.a, 5.0) + 1.8
    b = np.maximum(sac.b, 4.0) + 1.2
    _paint_front(over, contrast, u, v, b + 1.0 + at.depth, front, edge)
    paint_bodies(over, contrast, u, v, at, b + 1.0, grain, edge)
    paint_arches(over, contrast, u, v, at, a, b, grain, front, edge)

    canal = ellipse(u, v, a, b)
    whole, near = signal, np.nonzero(canal < _AROUND_CANAL_MM)

    def here(field: np.ndarray) -> np.ndarray:
        return np.broadcast_to(field, whole.shape)[near]

    signal = whole[near]
    u, v, s, b, canal, way, sacral, grain, front = map(
        here, (u, v, s, b, canal, at.way, at.sacral, grain, front)
    )
    cord, sac = cord.picked(here), sac.picked(here)
    wedge = np.maximum(np.abs(u) * 0.9 - 0.55 * (v + b + 7.5), np.abs(v + b) - 5.5)
    gap = 1 - smooth(0.12, 0.3, way) * (1 - smooth(0.78, 0.92, way))  # between two laminae
    pad = share(wedge, edge) * np.maximum(gap, 0.25) * (1 - sacral)
    inside = np.maximum(share(canal, edge), pad)
    over(inside, contrast.epidural_fat * grain)
    dura = np.where(sac.a > 0, sac.distance(u, v), _FAR_MM)
    over(share(dura - 0.45, edge), contrast.ligament * 2)
    sac_share = share(dura, edge)
    over(sac_share, _csf(contrast, cord, v, s - subject.conus_tip_mm, front))
    cord_share = share(np.where(cord.a > 0, cord.distance(u, v), _FAR_MM), edge)
    over(cord_share, contrast.white_matter)
    over(_grey(np.abs(u), v, cord, edge) * cord_share, contrast.grey_matter)
    fat = np.clip(inside - share(dura - 0.45, edge), 0, 1)
    whole[near] = signal

    def everywhere(part: np.ndarray) -> np.ndarray:
        parts = np.zeros(whole.shape, np.float32)
        parts[near] = part
        return parts

    return Scene(whole, *map(everywhere, (cord_share, sac_share, fat)))


def with_csf(scene: Scene, part: np.ndarray) -> Scene:
    """The scene with more CSF: `part` (X, Y, Z) of each voxel, which counts as sac."""
    return Scene(
        scene.signal * (1 - part) + part,
        scene.cord,
        np.maximum(scene.sac, part),
        scene.fat * (1 - part),
    )


def _body(contrast: Contrast, u, v, s, strands, grain, edge: float) -> np.ndarray:
    """Back muscles with strands of fat, fat under the skin, skin, and the air behind it."""
    side = np.abs(u)
    signal = contrast.muscle * grain * (1 + 0.15 * strands)
    fatty = smooth(1.1, 2.6, strands + 0.5 * smooth(14, 30, -v))
    septum = smooth(1.5, 0.2, np.abs(side - 13 - 0.35 * (-v - 15) - 1.5 * strands)) * (v < -14)
    signal = signal + np.maximum(0.7 * fatty, 0.45 * septum) * (contrast.fat - signal)
    fascia = 42.0 + 3 * np.sin(s / 50.0) + 0.004 * side * side
    skin = fascia + 13.0 + 3 * np.sin(s / 70.0 + 1)
    signal = signal + share(v + fascia, edge) * (contrast.fat * grain - signal)
    signal = signal + share(v + skin, edge) * (0.3 - signal)
    return (signal * (1 - share(v + skin + 1.8, edge))).astype(np.float32)


def _paint_front(over, contrast: Contrast, u, v, wall, front, edge: float) -> None:
    """What lies beside and before the bodies: psoas and fat, then vessels and bowel."""
    before = smooth(-4.0, 4.0, v - wall + 0.02 * u * u)
    over(before, contrast.organ * (1 + 0.4 * front) + 0.5 * contrast.fat * smooth(0.2, 1.2, front))
    for centre, radius in ((-9.0, 9.0), (13.0, 10.0)):  # aorta to the left, vena cava to the right
        over(share(np.hypot(u - centre, v - wall - radius - 2.0) - radius, edge), 0.04)


def _csf(contrast: Contrast, cord: Ellipse, v, below_tip, front) -> np.ndarray:
    """CSF, darker in patches where it flows: behind the cord, least below the conus."""
    behind = smooth(0.0, 2.5, cord.v - cord.b - v) * (cord.a > 0)
    above = 1 - smooth(-60.0, 5.0, below_tip)
    return 1 - contrast.flow * behind * above * smooth(-0.3, 1.5, front)


def _grey(side, v, cord, edge: float) -> np.ndarray:
    """Share of grey matter: ventral and dorsal horns and the bridge between them."""
    a, b = np.maximum(cord.a, 1e-3), np.maximum(cord.b, 1e-3)
    p, q = side / a, (v - cord.v) / b
    ventral = np.hypot((p - 0.30) / 0.24, (q - 0.22) / 0.34) - 1
    dorsal = np.hypot((p - 0.30) / 0.13, (q + 0.30) / 0.42) - 1
    bridge = np.maximum(p - 0.35, np.abs(q) - 0.12) * 4
    horns = np.minimum(np.minimum(ventral, dorsal), bridge)
    return share(horns * 0.25 * np.minimum(a, b), edge)
