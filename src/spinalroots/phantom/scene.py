"""The tissues of a phantom: how bright each voxel is on T2 before the scanner spoils it.

Structures are painted over one another from the background to the sac. Each is a signed distance in
straight coordinates; its edge is as wide as a voxel, which gives the share of a voxel it fills.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from spinalroots.phantom.sections import Sections
from spinalroots.phantom.subject import Subject

MUSCLE_DEPTH_MM = 46.0


@dataclass(frozen=True)
class Contrast:
    """T2 signal of each tissue as a share of CSF's."""

    fat: float
    muscle: float
    marrow: float
    cortex: float
    ligament: float
    annulus: float
    nucleus: float
    white_matter: float
    grey_matter: float
    root: float
    epidural_fat: float
    organ: float
    texture: float


def draw_contrast(rng: np.random.Generator) -> Contrast:
    """Signal of a subject and protocol: around what the real lumbar scan shows."""
    marrow = rng.uniform(0.26, 0.40)
    white = rng.uniform(0.36, 0.48)
    return Contrast(
        fat=float(rng.uniform(0.75, 1.0)),
        muscle=float(rng.uniform(0.08, 0.16)),
        marrow=float(marrow),
        cortex=float(rng.uniform(0.02, 0.06)),
        ligament=float(rng.uniform(0.03, 0.09)),
        annulus=float(rng.uniform(0.06, 0.14)),
        nucleus=float(marrow * rng.uniform(1.4, 2.2)),
        white_matter=float(white),
        grey_matter=float(white * rng.uniform(1.08, 1.2)),
        root=float(rng.uniform(0.24, 0.36)),
        epidural_fat=float(rng.uniform(0.65, 0.9)),
        organ=float(rng.uniform(0.12, 0.3)),
        texture=float(rng.uniform(0.06, 0.12)),
    )


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
    """Paint all tissues on a grid whose straight coordinates are u (X, Y, Z), v, s (1, Y, Z)."""
    u, v, s = coordinates
    side = np.abs(u)
    edge = float(spacing_mm[:2].mean())
    sections = Sections(subject)
    cord, sac = sections.cord(s), sections.sac(s)
    texture = 1 + contrast.texture * _clouds(rng, u.shape, spacing_mm, 2.0)
    coarse = _clouds(rng, u.shape, spacing_mm, 7.0)
    levels = _Levels(subject, s)

    signal = _background(contrast, side, v, s, coarse, edge)
    signal *= texture

    def over(share: np.ndarray, value) -> None:
        nonlocal signal
        signal += share * (value - signal)

    canal_b = np.maximum(sac.b, 4.0) + 1.2
    canal_a = np.maximum(sac.a, 5.0) + 1.8
    # Vertebral bodies and discs.
    half_width = levels.width * (1 - 0.10 * levels.waist)
    depth = levels.depth * (1 - 0.06 * levels.waist)
    body_front = canal_b + 1.0 + depth
    body = _box_round(side, v, half_width, canal_b + 1.0 + 0.6 * levels.waist, body_front)
    over(_share(body - 2.2, edge), contrast.ligament)
    over(_share(body, edge), contrast.cortex)
    marrow = contrast.marrow * (1 + 0.25 * contrast.texture / 0.09 * coarse * 0.35)
    over(_share(body + 1.1, edge) * levels.bone, marrow * texture)
    over(_share(body + 0.4, edge) * levels.disc, contrast.annulus)
    nucleus = np.sqrt(
        (side / (0.62 * half_width)) ** 2
        + ((v - (canal_b + 0.55 * depth)) / (0.34 * depth)) ** 2
        + (levels.from_disc / np.maximum(0.42 * levels.disc_height, 1.0)) ** 2
    )
    bright = contrast.annulus + (contrast.nucleus - contrast.annulus) * (1 - levels.degeneration)
    over(np.clip((1.15 - nucleus) / 0.5, 0, 1) * levels.disc, bright)
    # Posterior arch: lamina, spinous process, facets, pedicles.
    canal = _ellipse(side, v, canal_a, canal_b, 0.0)
    lamina = np.maximum(np.abs(canal - 3.4) - 2.6, v + 1.5)
    over(_share(lamina, edge) * levels.lamina, contrast.cortex)
    over(_share(lamina + 1.1, edge) * levels.lamina, marrow * 1.05)
    over(_share(lamina + 0.5, edge) * (1 - levels.lamina), contrast.ligament * 1.3)
    back = -(canal_b + 4.0)
    spine = np.maximum(side - 2.8 - 1.4 * np.clip((back - v - 18) / 10, 0, 1), np.abs(v - back + 14) - 15)
    over(_share(spine + 0.0, edge) * (1 - levels.spinous), contrast.fat * 0.55 + 0.3 * contrast.fat * coarse)
    over(_share(spine, edge) * levels.spinous, contrast.cortex)
    over(_share(spine + 1.2, edge) * levels.spinous, marrow * 1.1)
    pedicle = np.maximum(np.abs(side - canal_a - 6.0) - 5.0, np.abs(v - canal_b + 3.0) - 5.5)
    over(_share(pedicle, edge) * levels.pedicle, contrast.cortex)
    over(_share(pedicle + 1.3, edge) * levels.pedicle, marrow)
    facet = np.sqrt((side - canal_a - 7.0) ** 2 + (v + 8.0) ** 2) - 6.5
    over(_share(facet, edge) * levels.facet, contrast.cortex)
    over(_share(facet + 1.5, edge) * levels.facet, marrow * 0.9)
    foramen = np.maximum(np.abs(side - canal_a - 6.0) - 8.0, np.abs(v - 2.0) - 5.0)
    over(_share(foramen, edge) * levels.foramen, contrast.epidural_fat * 0.9)
    # Canal: epidural fat, sac, cord.
    pad = np.maximum(side - 6.5 + 0.75 * np.clip(-v - canal_b + 2, 0, None), np.abs(v + canal_b + 0.5) - 3.2)
    canal = np.minimum(canal, np.where(levels.lamina > 0.5, canal, pad))
    inside = _share(canal, edge)
    over(inside, contrast.epidural_fat)
    sac_distance = np.where(sac.a > 0, sac.distance(u, v), 99.0)
    sac_share = _share(sac_distance, edge)
    over(_share(sac_distance - 0.45, edge), contrast.ligament * 2)
    over(sac_share, 1.0)
    cord_distance = np.where(cord.a > 0, cord.distance(u, v), 99.0)
    cord_share = _share(cord_distance, edge)
    over(cord_share, contrast.white_matter)
    over(_grey(side, v, cord, edge) * cord_share, contrast.grey_matter)
    fat = np.clip(inside - _share(sac_distance - 0.45, edge), 0, 1)
    return Scene(signal.astype(np.float32), cord_share, sac_share, fat)


class _Levels:
    """What depends on the height only: where along a vertebra a voxel lies."""

    def __init__(self, subject: Subject, s: np.ndarray):
        discs = np.array(list(subject.discs_mm.values()))
        exits = np.array([subject.exits_mm.get(name, np.nan) for name in subject.discs_mm])
        nearest = np.abs(s[..., None] - discs).argmin(axis=-1)
        self.from_disc = np.abs(s - discs[nearest]).astype(np.float32)
        number = np.interp(s, discs, np.arange(len(discs)))
        sacral = np.clip((s - subject.discs_mm["L5"]) / 20, 0, 1)
        self.disc_height = np.interp(s, discs[[0, 4, 8, 9, 10, 12]], [4.5, 6.5, 10.5, 10, 3, 2])
        half = self.disc_height / 2
        self.disc = np.clip(half - self.from_disc + 0.5, 0, 1)
        self.bone = np.clip(self.from_disc - half - 0.6, 0, 1)
        spacing = np.interp(s, (discs[1:] + discs[:-1]) / 2, np.diff(discs))
        self.waist = np.sin(np.pi * np.clip((self.from_disc - half) / (spacing - 2 * half), 0, 1)) ** 0.8
        grown = subject.size
        self.width = grown * np.interp(number, [0, 4, 8, 9, 12], [15.5, 20, 24, 25, 19])
        self.depth = grown * np.interp(number, [0, 4, 8, 9, 12], [26, 30, 34, 30, 14])
        names = list(subject.degeneration)
        self.degeneration = np.array([subject.degeneration[name] for name in names])[nearest]
        top = np.searchsorted(discs, s, side="left")
        top = np.clip(top, 1, len(discs) - 1)
        below = s - discs[top - 1]  # from the vertebra's upper disc
        exit_here = exits[top] + 6.0 - discs[top - 1]
        exit_here = np.where(np.isfinite(exit_here), np.clip(exit_here, 6, 16), 12.0)
        length = discs[top] - discs[top - 1]
        inside = (below > 1) & (below < exit_here)
        self.pedicle = np.where(inside, 1.0, 0.0)
        self.foramen = np.where((below >= exit_here) & (below < length - 1), 1.0, 0.0) * (1 - sacral)
        way = below / length
        self.lamina = np.maximum(np.clip((0.34 - np.abs(way - 0.55)) * 12, 0, 1), sacral)
        self.facet = np.clip((0.28 - np.abs(way - 0.95)) * 12, 0, 1) * (1 - sacral)
        shift = way
        self.spinous = np.clip((0.30 - np.abs(shift - 0.68)) * 14, 0, 1)


def _background(contrast, side, v, s, coarse, edge) -> np.ndarray:
    """Muscle, fat under the skin, air behind, and what lies in front of the spine."""
    signal = contrast.muscle * (1 + 0.5 * coarse)
    strand = np.clip(np.abs(coarse) - 1.5, 0, 1)
    signal = signal + strand * 0.5 * contrast.fat
    skin = -(MUSCLE_DEPTH_MM + 10 + 3 * np.sin(s / 60.0))
    fat = _share(v + MUSCLE_DEPTH_MM - 2 * np.sin(s / 40.0), edge)
    signal = signal + fat * (contrast.fat - signal)
    signal = signal + _share(v - skin - 0.0, edge) * (0.25 - signal)
    signal = signal * (1 - _share(v - skin + 2.0, edge))
    front = np.clip((v - 38.0) / 4, 0, 1)
    organs = contrast.organ * (1 + 0.7 * coarse) + 0.4 * contrast.fat * np.clip(coarse - 0.4, 0, 1)
    return signal + front * (organs - signal)


def _grey(side, v, cord, edge) -> np.ndarray:
    """Share of grey matter: dorsal and ventral horns and the bridge between them."""
    a, b = np.maximum(cord.a, 1e-3), np.maximum(cord.b, 1e-3)
    p, q = side / a, (v - cord.v) / b
    scale = np.minimum(a, b)
    ventral = np.sqrt(((p - 0.30) / 0.24) ** 2 + ((q - 0.22) / 0.34) ** 2) - 1
    dorsal = np.sqrt(((p - 0.30) / 0.13) ** 2 + ((q + 0.30) / 0.42) ** 2) - 1
    bridge = np.maximum(p - 0.35, np.abs(q) - 0.12) * 4
    return _share(np.minimum(np.minimum(ventral, dorsal), bridge) * 0.25 * scale, edge)


def _share(distance: np.ndarray, edge: float) -> np.ndarray:
    """Share of a voxel of width `edge` inside a surface at a signed distance (negative inside)."""
    return np.clip(0.5 - distance / edge, 0, 1).astype(np.float32)


def _ellipse(u, v, a, b, centre) -> np.ndarray:
    p, q = u / a, (v - centre) / b
    level = np.sqrt(p * p + q * q) + 1e-6
    return (level - 1) * np.minimum(a, b)


def _box_round(side, v, half_width, back, front) -> np.ndarray:
    """Distance to a vertebral body's outline: flat behind, round in front and at the sides."""
    middle, half = (back + front) / 2, (front - back) / 2
    p, q = side / half_width, (v - middle) / half
    power = np.where(q < 0, 4.0, 2.3)
    level = (np.abs(p) ** power + np.abs(q) ** power) ** (1 / power)
    return (level - 1) * np.minimum(half, half_width)


def _clouds(rng: np.random.Generator, shape, spacing_mm, size_mm: float) -> np.ndarray:
    """Smooth noise of unit spread (X, Y, Z), with structures of about `size_mm`."""
    step = max(1.0, size_mm / 2)
    coarse = [max(4, int(np.ceil(n * h / step)) + 2) for n, h in zip(shape, spacing_mm, strict=True)]
    noise = gaussian_filter(rng.normal(size=coarse).astype(np.float32), size_mm / step / 2)
    grown = zoom(noise, [n / m for n, m in zip(shape, coarse, strict=True)], order=1)
    return grown / grown.std()
