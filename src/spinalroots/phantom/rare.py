"""What few patients have: a narrow canal, a crooked spine, a low conus, wide nerve sleeves, a
vertebra more or less, and scans of every voxel size.

A randomised phantom has each with the share of its own in the parameters; a share of 0 leaves the
phantom as it was. Ranges without a source are derived by eye.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from spinalroots.phantom.acquisition import Acquisition, draw_any_voxels
from spinalroots.phantom.roots import OUTSIDE_MM, Course
from spinalroots.phantom.spine import Curve
from spinalroots.phantom.subject import Subject, with_conus
from spinalroots.phantom.tubes import Tube
from spinalroots.phantom.variety import Narrowing, Sleeve
from spinalroots.settings.phantom import Phantom, Rare

COBB_DEG = (12.0, 30.0)
"""A curve is called scoliosis from 10 degrees between the steepest vertebrae on."""
_GOLDEN = 0.6180339887
_ROOM_BESIDE_MM = 12.0  # of the sac's middle that a field of view keeps where the spine is crooked


def throw(seed: int, index: int) -> dict[str, float]:
    """A number between 0 and 1 for each rarity, by name: below its share, the phantom has it.

    They follow a low-discrepancy sequence over `index`, so that even a handful of phantoms has
    each about as often as it is meant.
    """
    starts = np.random.default_rng([seed, 2]).random(len(Rare.model_fields))
    return {
        name: float((start + index * _GOLDEN) % 1.0)
        for name, start in zip(Rare.model_fields, starts, strict=True)
    }


def make_rare(
    subject: Subject,
    acquisition: Acquisition,
    params: Phantom,
    dice: dict[str, float],
    rng: np.random.Generator,
) -> tuple[Subject, Acquisition]:
    """Person and scan with what the `dice` give them; each rarity has a stream of its own."""
    streams = rng.spawn(len(dice))
    conus, stenosis, scoliosis, sleeves, lumbar, voxels = (
        dice[name] < share for name, share in params.rare.model_dump().items()
    )
    if conus:
        subject = low_conus(subject, streams[0])
    if stenosis:
        subject = narrowed(subject, streams[1])
    if scoliosis:
        subject = crooked(subject, streams[2])
        widest = max(abs(wave[0]) for wave in subject.scoliosis)
        field = max(acquisition.field_mm[0], 2 * (widest + _ROOM_BESIDE_MM))
        acquisition = replace(acquisition, field_mm=(field, acquisition.field_mm[1]))
    if sleeves:
        sleeve = Sleeve(
            float(streams[3].uniform(4.0, OUTSIDE_MM - 2.0)), float(streams[3].uniform(0.7, 1.8))
        )
        subject = replace(subject, variety=replace(subject.variety, sleeve=sleeve))
    if lumbar:
        count = int(streams[4].choice([4, 6]))
        subject = replace(subject, variety=replace(subject.variety, lumbar=count))
    if voxels:
        acquisition = draw_any_voxels(acquisition, params, streams[5])
    return subject, acquisition


def low_conus(subject: Subject, rng: np.random.Generator) -> Subject:
    """A tethered cord: its tip between the discs L2/L3 and L3/L4."""
    tip = rng.uniform(subject.discs_mm["L2"], subject.discs_mm["L3"])
    return with_conus(subject, float(tip), rng)


def narrowed(subject: Subject, rng: np.random.Generator) -> Subject:
    """Stenosis: at one or two discs below the conus little more is left than the roots need."""
    low = [
        name for name in ("L2", "L3", "L4") if subject.discs_mm[name] > subject.conus_tip_mm + 10
    ]
    chosen = rng.choice(low, size=min(len(low), int(rng.integers(1, 3))), replace=False)
    heights = [subject.discs_mm[str(name)] for name in chosen]
    narrow = tuple(
        Narrowing(
            height,
            float(rng.uniform(5.0, 9.0)),
            (float(rng.uniform(0.15, 0.4)), float(rng.uniform(0.4, 0.6))),
        )
        for height in heights
    )
    others = tuple(one for one in subject.variety.narrowings if one.s_mm not in heights)
    return replace(subject, variety=replace(subject.variety, narrowings=others + narrow))


def crooked(subject: Subject, rng: np.random.Generator) -> Subject:
    """Scoliosis: a wave of `COBB_DEG` between its steepest heights."""
    slope = np.tan(np.radians(rng.uniform(*COBB_DEG)) / 2)
    length = float(rng.uniform(220.0, 420.0))
    amplitude = float(slope * length / (2 * np.pi))
    wave = (amplitude, length, float(rng.uniform(0, 2 * np.pi)))
    return replace(subject, scoliosis=(*subject.scoliosis, wave))


def sleeve_tubes(subject: Subject, courses: Sequence[Course], curve: Curve) -> list[Tube]:
    """CSF about the roots beyond the sac, in RAS+ mm; none in most subjects."""
    sleeve = subject.variety.sleeve
    if sleeve is None:
        return []
    tubes = []
    for course in courses:
        path = course.trunk[course.inside - 1 :]
        way = np.linalg.norm(path - path[0], axis=1)
        path, way = path[way <= sleeve.length_mm], way[way <= sleeve.length_mm]
        if len(path) > 1:
            rim = sleeve.rim_mm * (1 - 0.6 * way / sleeve.length_mm)
            radius = course.radius_mm[0] + rim
            tubes.append(Tube(course.root.value, curve.to_world(path), radius))
    return tubes
