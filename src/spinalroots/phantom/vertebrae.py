"""Vertebrae and discs: which part of a vertebra lies at a height, and how bright it is.

Only the picture needs them, not the labels. Shapes are derived by eye from the real lumbar scan.
"""

from dataclasses import dataclass

import numpy as np

from spinalroots.phantom.contrast import Contrast
from spinalroots.phantom.shapes import box, ellipse, share, smooth
from spinalroots.phantom.subject import Subject

_DISC_HEIGHT_MM = ((0.0, 4.5), (92.0, 6.5), (190.5, 10.5), (246.0, 9.5), (265.0, 3.0), (314.0, 2.0))
_HALF_WIDTH_MM = ((0.0, 15.0), (92.0, 19.5), (190.5, 23.5), (246.0, 25.0), (314.0, 18.0))
_DEPTH_MM = ((0.0, 26.0), (92.0, 29.5), (190.5, 33.5), (246.0, 31.0), (271.0, 20.0), (314.0, 12.0))


@dataclass(frozen=True)
class Heights:
    """What depends on the height s alone, (1, Y, Z) each: lengths in mm, shares 0..1."""

    from_disc: np.ndarray
    disc_height: np.ndarray
    degeneration: np.ndarray
    way: np.ndarray
    """0 at the disc above the vertebra, 1 at the disc below it."""
    length: np.ndarray
    root: np.ndarray
    """`way` at which the vertebra's root turns out."""
    half_width: np.ndarray
    depth: np.ndarray
    sacral: np.ndarray
    lumbar: np.ndarray


def heights(subject: Subject, s: np.ndarray) -> Heights:
    """Position within the vertebra of heights s."""
    names = list(subject.discs_mm)
    discs = np.array([subject.discs_mm[name] for name in names])
    nearest = np.abs(s[..., None] - discs).argmin(axis=-1)
    lower = np.clip(np.searchsorted(discs, s), 1, len(discs) - 1)
    length = discs[lower] - discs[lower - 1]
    turns = np.array([subject.exits_mm.get(name, subject.discs_mm[name] - 18) for name in names])
    turns = np.clip((turns[lower] + 9.0 - discs[lower - 1]) / length, 0.25, 0.6)

    def table(rows) -> np.ndarray:
        at, values = np.array(rows).T
        return (subject.size * np.interp(usual, subject.size * at, values)).astype(np.float32)

    end = subject.discs_mm[subject.last_lumbar]
    usual = s
    if more := end - subject.discs_mm["L5"]:  # a vertebra more or less: what is L5/S1 otherwise
        usual = s - more * smooth(subject.discs_mm["L2"], subject.discs_mm["L4"], s)
    degeneration = np.array([subject.degeneration[name] for name in names])
    fields = (
        np.abs(s - discs[nearest]),
        table(_DISC_HEIGHT_MM),
        degeneration[nearest],
        (s - discs[lower - 1]) / length,
        length,
        turns,
        table(_HALF_WIDTH_MM),
        table(_DEPTH_MM),
        smooth(end - 6, end + 12, s),
        smooth(subject.discs_mm["T11"], subject.discs_mm["L1"], s),
    )
    return Heights(*(field.astype(np.float32) for field in fields))


def paint_bodies(over, contrast: Contrast, u, v, at: Heights, back, grain, edge: float) -> None:
    """Vertebral bodies and discs in front of v = `back`; `over(share, value)` paints."""
    half = at.disc_height / 2
    waist = np.sin(np.pi * np.clip((at.from_disc - half) / (at.length - 2 * half), 0, 1))
    half_width = at.half_width * (1 - 0.09 * waist)
    rear, front = back + 0.8 * waist, back + at.depth * (1 - 0.05 * waist)
    middle, reach = (rear + front) / 2, (front - rear) / 2
    flat = ellipse(u, v, half_width, reach, middle, 4.0)  # behind
    round_ = ellipse(u, v, half_width, reach, middle, 2.3)  # in front and beside
    body = np.where(v < middle, flat, round_)
    over(share(body - 1.6, edge), contrast.ligament)
    bone = np.clip(at.from_disc - half - 0.2, 0, 1)
    over(share(body, edge) * np.clip(at.from_disc - half + 1.0, 0, 1), contrast.cortex)
    over(share(body + 1.0, edge) * bone, contrast.marrow * grain)
    vein = np.hypot((v - rear) / 7.0, (at.way - 0.5) * at.length / 2.2) + np.abs(u) / 9.0
    over(np.clip(1 - vein, 0, 1) * bone * (1 - at.sacral), contrast.fat * 0.8)
    disc = np.clip(half - at.from_disc + 0.5, 0, 1)
    over(share(body - 0.8, edge) * disc, contrast.annulus)
    nucleus = np.sqrt(
        (u / (0.66 * half_width)) ** 2
        + ((v - middle + 0.06 * at.depth) / (0.33 * at.depth)) ** 2
        + (at.from_disc / np.maximum(0.85 * half, 0.8)) ** 2
    )
    bright = contrast.annulus + (contrast.nucleus - contrast.annulus) * (1 - at.degeneration)
    over(np.clip((1.2 - nucleus) / 0.5, 0, 1) * disc, bright * grain)


def paint_arches(
    over, contrast: Contrast, u, v, at: Heights, a, b, grain, patches, edge: float
) -> None:
    """Pedicles, foramina, laminae, facet joints and spinous processes around the canal (a, b)."""
    side = np.abs(u)
    marrow = contrast.marrow * 1.1 * grain
    upper = smooth(0.0, 0.08, at.way) * (1 - smooth(at.root - 0.08, at.root + 0.02, at.way))
    pedicle = box((side, a + 6.5, 6.0), (v, b - 2.0, 5.5))
    _bone(over, contrast, pedicle, upper * (1 - at.sacral), marrow, edge)
    open_ = smooth(at.root - 0.06, at.root + 0.04, at.way) * (1 - smooth(0.86, 0.97, at.way))
    foramen = np.hypot((side - a - 4.0) / 7.0, (v - b * 0.35) / 4.5) - 1
    over(share(foramen * 5.0, 2.5) * open_ * (1 - at.sacral), contrast.epidural_fat * 0.8 * grain)

    canal = ellipse(u, v, a, b)
    low = smooth(0.12, 0.3, at.way) * (1 - smooth(0.78, 0.92, at.way))
    lamina = np.maximum(np.abs(canal - 3.6) - 3.0, v + 1.0 + 0.2 * side)
    over(share(lamina + 0.6, edge) * (1 - low), contrast.ligament * 1.4)  # ligamentum flavum
    _bone(over, contrast, lamina, np.maximum(low, at.sacral), marrow, edge)
    joint = 1 - smooth(0.18, 0.34, np.abs(at.way - 0.98))
    facet = np.hypot(side - a - 7.5, (v + 8.0) * 0.8) - 7.0
    gap = np.abs(side - a - 7.5 + 0.4 * (v + 8.0)) - 0.5
    _bone(over, contrast, facet, joint * (1 - at.sacral), marrow * 0.8, edge)
    over(share(np.maximum(facet + 2, gap), edge) * joint * (1 - at.sacral) * 0.6, 0.5)
    transverse = box((side, a + 22.0, 14.0), (v, -6.0 - 0.15 * side, 4.0))
    _bone(over, contrast, transverse, upper * (1 - at.sacral), marrow, edge)

    behind = -b - 5.0 - v  # mm behind the lamina
    slope = 0.55 - 0.40 * at.lumbar
    way = at.way - slope * behind / at.length  # the processes slope down, most in the thorax
    tip = 24.0 + 6.0 * at.lumbar - 18.0 * at.sacral
    width = 2.4 + 1.8 * smooth(tip - 12, tip, behind)
    spine = box((u, 0.0, width), (behind, tip / 2 - 2, tip / 2 + 2))
    height = 1 - smooth(0.17, 0.27, np.abs(np.mod(way, 1.0) - 0.68))
    between = box((u, 0.0, 2.0), (behind, tip / 2, tip / 2))
    over(
        share(between, edge) * (1 - height) * 0.8,
        contrast.fat * (0.25 + 0.7 * smooth(-0.5, 0.7, patches)),
    )
    _bone(over, contrast, spine, height, marrow, edge)


def _bone(over, contrast: Contrast, distance, where, marrow, edge: float) -> None:
    """Bone: a dark shell about a millimetre thick around marrow."""
    over(share(distance, edge) * where, contrast.cortex)
    over(share(distance + 1.2, edge) * smooth(0.4, 1.0, where), marrow)
