"""The randomised share of the phantoms: it is as wide as it says, and still a spine with roots."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import label
from test_phantom import settings

from spinalroots.phantom.artefacts import draw_wide_faults
from spinalroots.phantom.case import (
    CSF,
    ROOT,
    ROOT_OUTSIDE,
    WHITE_MATTER,
    generate,
    is_randomised,
    root_signals,
)
from spinalroots.phantom.contrast import draw_wide_contrast
from spinalroots.phantom.roots import lay_courses
from spinalroots.phantom.sections import Ellipse, Sections
from spinalroots.phantom.subject import draw_subject
from spinalroots.phantom.variety import TEXTBOOK, Harmonic, Packing, Variety, draw_variety

SEED = 5


def person(seed: int = SEED):
    return draw_subject(np.random.default_rng(seed))


@pytest.fixture(scope="module")
def cases():
    wide = settings(randomised_share=1.0, in_plane_mm=(1.0, 1.0), slice_mm=(2.0, 2.0), subvoxels=2)
    return [generate(wide, SEED, index) for index in range(3)]


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 3), (0.5, 6), (1.0, 12)])
def test_the_share_of_randomised_phantoms_is_exact(share, count):
    params = settings(randomised_share=share)
    assert sum(is_randomised(params, index) for index in range(12)) == count


def test_contrast_covers_both_orders_of_cord_and_root():
    drawn = [draw_wide_contrast(np.random.default_rng(seed), ["L1_D_L"]) for seed in range(200)]
    roots, cords = (
        np.array([getattr(one, name) for one in drawn]) for name in ("root", "white_matter")
    )
    assert roots.min() < 0.2
    assert roots.max() > 0.75
    assert 0.25 < (roots > cords).mean() < 0.75
    assert abs(np.corrcoef(roots, cords)[0, 1]) < 0.2


def test_roots_of_one_scan_differ_and_stay_darker_than_csf():
    subject = person()
    names = [str(root) for root in subject.diameters_mm]
    for seed in range(20):
        contrast = draw_wide_contrast(np.random.default_rng(seed), names)
        signals = root_signals(contrast)
        own = np.array([signals[root.value] for root in subject.diameters_mm])
        assert own.max() < 0.9
        assert own.min() > 0.09
    assert own.std() > 0


def test_the_signal_falls_along_some_spines():
    drawn = [draw_wide_faults(np.random.default_rng(seed), 2, (0.01, 0.1)) for seed in range(100)]
    lowest = np.array([min(one.along) for one in drawn])
    assert lowest.min() < 0.4
    assert lowest.max() > 0.8
    assert all(max(one.along) == 1 for one in drawn)


def test_a_harmonic_moves_the_outline_by_its_coefficient():
    """A triangle of 0.1: behind 10 % further out, in front 10 % further in; the gauge says so."""
    triangle = (Harmonic(3, sine=True, mean=0.1), np.array(0.1))
    outline = Ellipse(np.array(8.0), np.array(7.0), np.array(0.0), (triangle,))
    behind, before = np.array(-7.0 * 1.1), np.array(7.0 * 0.9)
    assert outline.gauge(np.array(0.0), behind) == pytest.approx(1, abs=1e-5)
    assert outline.gauge(np.array(0.0), before) == pytest.approx(1, abs=1e-5)
    assert outline.distance(np.array(0.0), behind) == pytest.approx(0, abs=1e-4)
    assert outline.distance(np.array(0.0), behind + 0.5) < -0.4


def laid(packing: Packing):
    subject = replace(person(), variety=Variety(packing=packing))
    return subject, lay_courses(subject, np.random.default_rng(0))


def below_conus(subject, courses) -> np.ndarray:
    """Places (N, 3) of all trunks in the middle of the cauda equina."""
    height = subject.discs_mm["L2"]
    points = [course.trunk[: course.inside] for course in courses]
    rows = [path[np.abs(path[:, 2] - height).argmin()] for path in points if path[-1, 2] > height]
    return np.array(rows)


def test_sunk_roots_lie_on_the_dorsal_wall():
    spread, sunk = (below_conus(*laid(packing)) for packing in (Packing(), Packing(sink=1.0)))
    sac = Sections(person()).sac(np.array(person().discs_mm["L2"]))
    assert sunk[:, 1].mean() < spread[:, 1].mean() - 0.8
    assert (sunk[:, 1] > 0.2 * sac.b).mean() < 0.15  # the front is empty


def test_pressed_roots_touch_but_do_not_melt_into_one():
    _, courses = laid(Packing(gap_mm=-0.4, sink=1.0, clump=0.8, level=1.0))
    nearest = []
    for number, course in enumerate(courses):
        for other in courses[number + 1 :]:
            path, beside = course.trunk[: course.inside], other.trunk[: other.inside]
            apart = np.linalg.norm(path[:, None] - beside[None], axis=-1).min()
            nearest.append(apart - course.radius_mm[0] - other.radius_mm[0])
    assert (np.array(nearest) < 0).sum() > 5
    assert min(nearest) > -1.2


def test_every_root_stays_inside_a_sac_of_any_shape():
    for seed in range(4):
        subject = person(seed)
        subject = replace(
            subject, variety=draw_variety(np.random.default_rng(seed), subject.discs_mm)
        )
        sections = Sections(subject)
        for course in lay_courses(subject, np.random.default_rng(seed)):
            path = course.trunk[: course.inside]
            assert sections.sac(path[:, 2]).gauge(path[:, 0], path[:, 1]).max() < 1.02


def test_a_blunt_conus_is_thicker_near_its_tip_and_no_longer():
    subject = person()
    blunt = replace(subject, variety=Variety(blunt=0.7))
    s = np.array([subject.conus_tip_mm - 12.0, subject.conus_tip_mm + 2.0])
    thin, thick = Sections(subject).cord(s), Sections(blunt).cord(s)
    assert thick.a[0] > 1.3 * thin.a[0]
    assert thick.a[1] == thin.a[1] == 0


def test_randomised_cases_have_cord_csf_and_packed_roots(cases):
    shares = []
    for case in cases:
        assert case.subject.variety != TEXTBOOK
        for value in (WHITE_MATTER, CSF, ROOT):
            assert (case.anatomy == value).sum() > 200
        outside = case.anatomy == ROOT_OUTSIDE
        assert (case.individuals[outside] > 0).all()
        heights = case.affine[2, 3] + case.affine[2, 2] * np.arange(case.image.shape[2])
        discs = case.subject.discs_mm
        band = (heights < -discs["L2"] + 10) & (heights > -discs["L4"])
        for index in np.flatnonzero(band):
            roots, csf = ((case.anatomy[..., index] == value).sum() for value in (ROOT, CSF))
            if csf > 60:
                shares.append(roots / (roots + csf))
                assert 1 <= label(case.anatomy[..., index] == ROOT, np.ones((3, 3)))[1] < 20
    assert 0.1 < np.mean(shares) < 0.5


def test_the_same_seed_gives_the_same_randomised_scan(cases):
    wide = settings(randomised_share=1.0, in_plane_mm=(1.0, 1.0), slice_mm=(2.0, 2.0), subvoxels=2)
    again = generate(wide, SEED, 1)
    np.testing.assert_array_equal(again.image, cases[1].image)
    np.testing.assert_array_equal(again.anatomy, cases[1].anatomy)
