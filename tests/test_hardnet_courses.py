"""Names along courses, against the same model spelled out voxel by voxel, and on crossed names."""

import math

import numpy as np
import pytest

from spinalroots.hardnet.anatomy import courses
from spinalroots.hardnet.anatomy.courses import Courses
from spinalroots.hardnet.anatomy.naming import ABOVE, BELOW, LEVEL_CLASSES
from spinalroots.pipeline import params
from spinalroots.settings.inference import AnatomyInference

COURSES = Courses(width_mm=0.64, voxel_mm=0.8, slice_mm=1.2)
UNKNOWN = np.array([np.nan])
KINDS = [(level, ventral, right) for level in range(13) for ventral in (0, 1) for right in (0, 1)]


def chances(logits):
    """Levels, ventral and right of one voxel's logits."""
    levels = np.exp(logits[:-2] - logits[:-2].max())
    return levels / levels.sum(), *(1 / (1 + np.exp(-one)) for one in logits[-2:])


def smoothed(values, spread):
    """Gaussian window cut at four spreads; nothing beyond the ends."""
    reach = int(4 * spread + 0.5)
    weights = {step: math.exp(-0.5 * (step / spread) ** 2) for step in range(-reach, reach + 1)}
    total = sum(weights.values())
    return [
        sum(
            weight / total * values[z + step]
            for step, weight in weights.items()
            if 0 <= z + step < len(values)
        )
        for z in range(len(values))
    ]


def spelled_out(own, evidence, asked, root):
    """Chances of each voxel's kinds, as the docstring of the module says it."""
    voxels = list(zip(*asked, strict=True))
    said = []
    for logits in evidence.T:
        level, ventral, right = chances(logits.astype(float))
        said.append(
            {
                (one, v, r): math.log(max(level[one], 0.001))
                + math.log(max(ventral if v else 1 - ventral, 0.001))
                + math.log(max(right if r else 1 - right, 0.001))
                for one, v, r in KINDS
            }
        )

    def shares_of(logs):
        total = sum(math.exp(one) for one in logs.values())
        return {kind: math.exp(one) / total for kind, one in logs.items()}

    shares = [shares_of(one) for one in said]
    slices = root.shape[2]
    for number in range(courses.ROUNDS):
        spread = 2.4 * (own.width_mm / 2.4) ** (number / (courses.ROUNDS - 1))
        mass, u, v = ({kind: [0.0] * slices for kind in KINDS} for _ in range(3))
        for (x, y, z), share in zip(voxels, shares, strict=True):
            for kind in KINDS:
                mass[kind][z] += share[kind] * root[x, y, z]
                u[kind][z] += share[kind] * root[x, y, z] * x * own.voxel_mm
                v[kind][z] += share[kind] * root[x, y, z] * y * own.voxel_mm
        for one in (mass, u, v):
            for kind in KINDS:
                one[kind] = smoothed(one[kind], 2.4 / own.slice_mm)
        found = []
        for (x, y, z), logs in zip(voxels, said, strict=True):
            likely = {}
            for kind in KINDS:
                level, ventral, right = kind
                if level in (ABOVE, BELOW):
                    likely[kind] = logs[kind] + math.log(0.3)
                    continue
                middle_u, middle_v = u[kind][z] / mass[kind][z], v[kind][z] / mass[kind][z]
                away = (x * own.voxel_mm - middle_u) ** 2 + (y * own.voxel_mm - middle_v) ** 2
                both = (mass[kind][z] + mass[level, ventral, 1 - right][z]) / 2 * own.voxel_mm**2
                there = 0.5 * math.log(min(both / 5.0, 1) + 0.01)
                likely[kind] = logs[kind] - away / (2 * spread**2) + there
            found.append(shares_of(likely))
        shares = found
    return shares


def test_it_is_the_model_that_its_description_spells_out():
    rng = np.random.default_rng(0)
    root = np.where(rng.random((6, 6, 7)) < 0.1, rng.uniform(0.1, 1, (6, 6, 7)), 0)
    asked = np.nonzero(root)
    evidence = rng.normal(0, 2, (LEVEL_CLASSES + 2, len(asked[0]))).astype(np.float32)
    got = COURSES.followed(evidence, asked, root, UNKNOWN)
    for logits, want in zip(got.T, spelled_out(COURSES, evidence, asked, root), strict=True):
        levels, ventral, right = chances(logits.astype(float))
        for level in range(LEVEL_CLASSES):
            of_it = sum(share for kind, share in want.items() if kind[0] == level)
            assert levels[level] == pytest.approx(of_it, abs=2e-4)
        assert ventral == pytest.approx(sum(s for kind, s in want.items() if kind[1]), abs=2e-4)
        assert right == pytest.approx(sum(s for kind, s in want.items() if kind[2]), abs=2e-4)


def two_roots(slices=40):
    """Roots of the levels 3 and 4 side by side, each 2 × 2 voxels; on a stretch of one of them the
    network says the other's level, a little."""
    root = np.zeros((12, 12, slices), np.float32)
    root[3:5, 5:7], root[6:8, 5:7] = 1, 1
    asked = np.nonzero(root)
    true = np.where(asked[0] < 5, 3, 4)
    evidence = np.zeros((LEVEL_CLASSES + 2, len(true)), np.float32)
    evidence[true, np.arange(len(true))] = 3.0
    astray = (true == 3) & (asked[2] >= 15) & (asked[2] < 25)
    evidence[4, astray] = 3.7
    evidence[-2:] = -4
    return root, asked, true, evidence, astray


def test_a_root_keeps_its_name_where_its_neighbour_has_the_other():
    root, asked, true, evidence, astray = two_roots()
    assert (evidence[:13].argmax(axis=0) == true).tolist() == (~astray).tolist()
    agreed = COURSES.followed(evidence, asked, root, UNKNOWN)
    assert (agreed[:13].argmax(axis=0) == true).all()


def test_a_name_that_nobody_else_has_stays():
    """One root alone, named as the other all along: no course says otherwise."""
    root, asked, true, evidence, _ = two_roots()
    alone = true == 3
    evidence[:13] = 0
    evidence[4] = 3.0
    agreed = COURSES.followed(
        evidence[:, alone], tuple(axis[alone] for axis in asked), root, UNKNOWN
    )
    assert (agreed[:13].argmax(axis=0) == 4).all()


def test_a_scan_without_roots_stays_without():
    nothing = np.zeros((LEVEL_CLASSES + 2, 0), np.float32)
    asked = tuple(np.zeros((3, 0), int))
    assert COURSES.followed(nothing, asked, np.zeros((4, 4, 4)), UNKNOWN).shape == nothing.shape


def test_a_model_of_before_follows_no_courses():
    before = params.load().inference.anatomy.model_dump()
    assert before.pop("course_mm") > 0
    assert AnatomyInference.model_validate(before).course_mm == 0
