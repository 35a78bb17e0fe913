"""What few patients have: every knob does what it says, in the labels, and leaves the others be."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation
from test_phantom import COMMON, settings

from spinalroots.phantom.acquisition import draw_acquisition, draw_any_voxels
from spinalroots.phantom.case import CSF, ROOT, ROOT_OUTSIDE, WHITE_MATTER, Case, generate
from spinalroots.phantom.rare import make_rare, throw
from spinalroots.phantom.roots import lay_courses
from spinalroots.phantom.sections import Sections
from spinalroots.phantom.spine import build_curve
from spinalroots.phantom.subject import draw_subject
from spinalroots.phantom.tubes import Tube, fill
from spinalroots.registry.anatomy import REFINED_LEVELS

SEED = 5
KNOBS = tuple(COMMON.model_dump())
COARSE = {"randomised_share": 1.0, "in_plane_mm": (1.0, 1.0), "slice_mm": (2.0, 2.0)}


def rare(**shares: float):
    return settings(
        **COARSE, subvoxels=2, field_mm=(60.0, 90.0), rare=COMMON.model_copy(update=shares)
    )


@pytest.fixture(scope="module")
def made():
    """The same randomised phantom without any rarity, and with each that shows in its labels."""
    names = ("low_conus", "stenosis", "scoliosis", "sleeves")
    return {"none": generate(rare(), SEED, 1)} | {
        name: generate(rare(**{name: 1.0}), SEED, 1) for name in names
    }


def person(seed: int = SEED):
    return draw_subject(np.random.default_rng(seed))


def drawn(seed: int, **shares: float):
    params = rare(**shares)
    acquisition = draw_acquisition(params, np.random.default_rng(1))
    rng = np.random.default_rng(seed)
    return make_rare(person(), acquisition, params, throw(1, seed), rng)


def straight(case: Case) -> np.ndarray:
    """Height s (X, Y, Z) of every voxel along the sac in mm."""
    shape = case.image.shape
    axes = [case.affine[k, 3] + case.affine[k, k] * np.arange(shape[k]) for k in range(3)]
    return np.broadcast_to(case.curve.straighten(*axes)[2], shape)


def test_shares_of_nothing_change_nothing():
    subject, acquisition = drawn(0)
    assert subject == person()
    assert acquisition == draw_acquisition(rare(), np.random.default_rng(1))


@pytest.mark.parametrize("name", KNOBS)
def test_a_share_is_kept_and_no_knob_moves_another(name):
    usual = drawn(0)
    for first in range(0, 60, 10):
        found = sum(drawn(seed, **{name: 0.2}) != usual for seed in range(first, first + 10))
        assert 1 <= found <= 3
    everything = dict.fromkeys(KNOBS, 1.0)
    for seed in range(5):
        with_all, without = drawn(seed, **everything), drawn(seed, **(everything | {name: 0.0}))
        assert (name == "low_conus") or with_all[0].conus_tip_mm == without[0].conus_tip_mm
        assert (name == "scoliosis") or with_all[0].scoliosis == without[0].scoliosis
        assert (name == "any_voxels") or with_all[1].spacing_mm == without[1].spacing_mm


def test_a_low_conus_ends_between_l2_l3_and_l3_l4(made):
    case = made["low_conus"]
    lowest = straight(case)[case.anatomy == WHITE_MATTER].max()
    discs = case.subject.discs_mm
    assert discs["L2"] - 5 < lowest < discs["L3"] + 1
    assert lowest > straight(made["none"])[made["none"].anatomy == WHITE_MATTER].max() + 10
    lengths = [course.intradural_length_mm for course in case.courses]
    assert min(lengths) > 4.0
    assert {course.root.level for course in case.courses} >= set(REFINED_LEVELS)


def test_stenosis_takes_half_of_the_sac_and_no_root_out_of_it(made):
    """Area of cord, CSF and roots at the narrowed discs, over that of the same case without."""

    def area(case: Case, height: float) -> int:
        near = np.abs(straight(case) - height) < 1.5
        return (near & np.isin(case.anatomy, (WHITE_MATTER, CSF, ROOT))).sum()

    case, plain = made["stenosis"], made["none"]
    new = set(case.subject.variety.narrowings) - set(plain.subject.variety.narrowings)
    assert 1 <= len(new) <= 2
    for one in new:
        others = [old for old in plain.subject.variety.narrowings if old.s_mm == one.s_mm]
        wider = np.prod([1 - share for old in others for share in old.share])
        assert 0.2 < area(case, one.s_mm) / area(plain, one.s_mm) * wider < 0.6
        assert one.s_mm > case.subject.conus_tip_mm
    sections = Sections(case.subject)
    for course in case.courses:
        path = course.trunk[: course.inside]
        assert sections.sac(path[:, 2]).gauge(path[:, 0], path[:, 1]).max() < 1.02


def test_scoliosis_bends_the_sac_by_its_angle(made):
    """Cobb's angle of the line through the labelled sac's middles, slice by slice."""

    def cobb_deg(case: Case) -> float:
        sac = np.isin(case.anatomy, (WHITE_MATTER, CSF, ROOT))
        sizes = sac.sum(axis=(0, 1))
        slices = np.flatnonzero(sizes > 60)
        x = case.affine[0, 0] * np.arange(sac.shape[0])
        middles = (sac.sum(axis=1) * x[:, None]).sum(axis=0)[slices] / sizes[slices]
        line = np.polynomial.Polynomial.fit(case.affine[2, 2] * slices, middles, 7)
        inner = case.affine[2, 2] * slices[10:-10]
        angles = np.degrees(np.arctan(line.deriv()(inner)))
        return float(np.ptp(angles))

    assert cobb_deg(made["none"]) < 9
    assert 9 < cobb_deg(made["scoliosis"]) < 36


def test_sleeves_are_csf_about_roots_that_have_left_the_sac(made):
    case, plain = made["sleeves"], made["none"]
    np.testing.assert_array_equal(case.individuals, plain.individuals)
    new = (case.anatomy == CSF) & (plain.anatomy != CSF) & (plain.anatomy != ROOT)
    assert new.sum() > 60
    beside = binary_dilation(case.individuals > 0, np.ones((3, 3, 3)), iterations=2)
    assert beside[new].mean() > 0.95
    freed = (case.anatomy == ROOT) & (plain.anatomy == ROOT_OUTSIDE)
    assert freed.sum() > 100


@pytest.mark.parametrize("count", [4, 6])
def test_the_sacrum_begins_a_vertebra_higher_or_lower_and_names_stay(count):
    usual = person()
    subject = replace(usual, variety=replace(usual.variety, lumbar=count))
    assert subject.last_lumbar == {4: "L4", 6: "S1"}[count]
    curves = build_curve(usual), build_curve(subject)
    steep = [
        curve.s[np.flatnonzero((curve.s > 180) & (curve.tilt < np.radians(-20)))[0]]
        for curve in curves
    ]
    moved = subject.discs_mm[subject.last_lumbar] - usual.discs_mm["L5"]
    assert steep[1] - steep[0] == pytest.approx(moved, abs=6)
    assert subject.exits_mm == usual.exits_mm
    one, two = (lay_courses(who, np.random.default_rng(0)) for who in (usual, subject))
    assert [course.root for course in one] == [course.root for course in two]


def test_voxels_of_any_protocol_stay_within_its_range_and_the_memory():
    params = rare()
    shapes = []
    for seed in range(300):
        usual = draw_acquisition(
            params.model_copy(update={"sagittal_share": float(seed % 2)}), np.random.default_rng(1)
        )
        found = draw_any_voxels(usual, params, np.random.default_rng(seed))
        thick = found.spacing_mm[found.slice_axis]
        thin = [edge for axis, edge in enumerate(found.spacing_mm) if axis != found.slice_axis]
        assert thin[0] == thin[1]
        assert np.prod(found.spacing_mm) > 0.49 * np.prod(usual.spacing_mm)
        assert min(found.parts) >= 1
        shapes.append((thin[0], thick))
    thin, thick = np.array(shapes).T
    assert 0.4 <= thin.min() < 0.5
    assert 1.1 < thin.max() <= 1.2
    assert 0.5 <= thick.min() < 1.2
    assert 4.5 < thick.max() <= 5.0


def test_a_scan_of_thick_slices_has_every_root():
    """Of 5 mm, with ever more parts along the slice: the volume that roots fill is what it was."""
    affine = np.diag([0.6, 0.6, 5.0, 1.0])
    tube = Tube(7, np.array([[6.1, 7.3, -5.0], [9.4, 8.0, 70.0]]), np.full(2, 1.1))
    filling = fill([tube], (30, 30, 15), affine, (3, 3, 15))
    length = 60 * np.linalg.norm(tube.points_mm[1] - tube.points_mm[0]) / 75
    part = filling.share[:, :, 1:13].sum() * np.prod(np.diag(affine)[:3])
    assert part == pytest.approx(np.pi * 1.1**2 * length, rel=0.05)
