"""The phantom's anatomy, measured from what it generates and held against published ranges.

The published numbers are spelled here again, apart from the tables that the phantom draws from.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

from spinalroots.dataset.layout import ANATOMY_MAP, Dataset
from spinalroots.files import read_json
from spinalroots.imaging.volume import read_image, read_labels
from spinalroots.phantom.annotator import annotate, draw_plan
from spinalroots.phantom.case import generate
from spinalroots.phantom.dataset import annotated_case, write_dataset
from spinalroots.phantom.roots import lay_courses
from spinalroots.phantom.sections import Sections
from spinalroots.phantom.subject import draw_subject
from spinalroots.registry.anatomy import REFINED_LEVELS, ROOTS, Root, Scheme, Side, Type
from spinalroots.settings.phantom import Annotator, Phantom, Rare

SEED = 11
MISTAKES = Annotator(
    entity_error=0.06,
    gaps_per_root=1.5,
    gap_mm=(3.0, 9.0),
    end_mm=5.0,
    thinning=0.25,
    spill=0.06,
    swap_share=0.12,
    swap_mm=(4.0, 12.0),
)

COMMON = Rare(
    low_conus=0.0,
    stenosis=0.0,
    scoliosis=0.0,
    sleeves=0.0,
    four_or_six_lumbar=0.0,
    any_voxels=0.0,
)


def settings(**changes) -> Phantom:
    values = {
        "cases": 2,
        "randomised_share": 0.0,
        "in_plane_mm": (0.85, 0.85),
        "slice_mm": (1.2, 1.2),
        "field_mm": (60.0, 90.0),
        "sagittal_share": 0.0,
        "orientations": ("RAS", "LPS", "PSR"),
        "noise": (0.02, 0.02),
        "subvoxels": 3,
        "mask_coverage": 0.4,
        "rare": COMMON,
        "annotator": MISTAKES,
    }
    return Phantom(**{**values, **changes})


COARSE = settings(
    in_plane_mm=(1.6, 1.6),
    slice_mm=(3.0, 3.0),
    subvoxels=1,
    sagittal_share=0.5,
    randomised_share=0.5,
)


@pytest.fixture(scope="module")
def cases():
    """An axial and a sagittal fine case with the straight coordinates (u, v, s) of their voxels."""
    found = []
    for index in range(2):
        case = generate(settings(sagittal_share=float(index)), SEED, index)
        axes = [
            case.affine[k, 3] + case.affine[k, k] * np.arange(case.image.shape[k]) for k in range(3)
        ]
        u, v, s = case.curve.straighten(*axes)
        found.append((case, u, np.broadcast_to(v, u.shape), np.broadcast_to(s, u.shape)))
    return found


@pytest.fixture(scope="module")
def people():
    """Eight subjects with their courses, without pictures."""
    found = []
    for index in range(8):
        rng = np.random.default_rng([SEED, index, 5])
        subject = draw_subject(rng)
        found.append((subject, lay_courses(subject, rng)))
    return found


def diameters(u, v, inside, edge_mm) -> tuple[float, float]:
    """Left-right and antero-posterior diameter of an elliptical section from its second moments."""
    spread = [axis[inside].var() - edge_mm**2 / 12 for axis in (u, v)]
    return 4 * np.sqrt(spread[0]), 4 * np.sqrt(spread[1])


def by_root(courses) -> dict[str, object]:
    return {str(course.root): course for course in courses}


# Left-right × antero-posterior, PAM50; the population spreads by a quarter around it.
CORD = {"T10": (8.5, 5.9), "T12": (7.6, 6.0), "L2": (8.2, 6.4), "L4": (7.3, 5.6), "S1": (5.5, 4.0)}


@pytest.mark.parametrize("level", CORD)
def test_cord_diameters_lie_in_the_published_range(cases, level):
    for case, u, v, s in cases:
        upper, lower = case.subject.segments_mm[level]
        band = (case.tissues == 1) & (np.abs(s - (upper + lower) / 2) < 2.5)
        measured = diameters(u, v, band, case.affine[0, 0])
        for found, published in zip(measured, CORD[level], strict=True):
            assert 0.75 * published < found < 1.28 * published


# Height below the disc T9/T10 of a subject of mean size; the row's vertebra in PAM50.
SAC = {
    "T9": (-15, 14.1, 12.9),
    "T11": (44, 16.1, 14.3),
    "T12": (80, 18.5, 16.1),
    "L1": (106, 20.6, 17.3),
}


@pytest.mark.parametrize("vertebra", SAC)
def test_sac_diameters_lie_in_the_published_range(cases, vertebra):
    height, *published = SAC[vertebra]
    for case, u, v, s in cases:
        sac = (np.isin(case.tissues, (1, 2)) | (case.individuals > 0)) & (np.abs(u) < 12)
        band = sac & (np.abs(s - height * case.subject.size) < 2.5)
        for found, expected in zip(
            diameters(u, v, band, case.affine[0, 0]), published, strict=True
        ):
            assert 0.82 * expected < found < 1.2 * expected


def test_segments_are_as_long_as_published(cases):
    """The distance between the highest rootlets of two levels is the upper level's length."""
    published = {
        "T11": 20.5,
        "T12": 18.5,
        "L1": 17,
        "L2": 13,
        "L3": 11.5,
        "L4": 10.5,
        "L5": 8,
        "S1": 7,
    }
    for case, _, _, s in cases:
        near_cord = binary_dilation(case.tissues == 1, np.ones((3, 3, 3)))
        tops = [
            np.mean(
                [
                    s[(case.individuals == Root.parse(f"{level}_D_{side}").value) & near_cord].min()
                    for side in "LR"
                ]
            )
            for level in (*published, "S2")
        ]
        for found, expected in zip(np.diff(tops), published.values(), strict=True):
            assert abs(found - expected) < 0.25 * expected + 1.5


def test_conus_lies_between_mid_t12_and_upper_l3(cases, people):
    for case, _, _, s in cases:
        tip, discs = s[case.tissues == 1].max(), case.subject.discs_mm
        assert (discs["T11"] + discs["T12"]) / 2 - 2 < tip < (discs["L2"] + discs["L3"]) / 2 + 2
    drawn = [draw_subject(np.random.default_rng(seed)) for seed in range(300)]
    share = [
        (person.conus_tip_mm - person.discs_mm["T12"])
        / (person.discs_mm["L1"] - person.discs_mm["T12"])
        for person in drawn
    ]
    assert 0.66 < np.mean(share) < 1.0  # the lower third of L1, on average


def test_conus_and_discs_lie_where_the_labels_and_the_centreline_say(cases):
    for case, u, _, s in cases:
        cord = np.argwhere(case.tissues == 1) @ case.affine[:3, :3] + case.affine[:3, 3]
        lowest = cord[cord[:, 2] == cord[:, 2].min()].mean(axis=0)
        assert np.abs(case.conus_ras_mm - lowest)[:2].max() < 1.5
        assert -0.7 < lowest[2] - case.conus_ras_mm[2] < 4.0  # the tip is thinner than a voxel
        discs = case.discs_ras_mm
        assert list(discs)[:4] == ["T8/T9", "T9/T10", "T10/T11", "T11/T12"]
        line = case.centreline.points_mm
        for name in ("T12/L1", "L1/L2", "L4/L5", "L5/S1"):
            voxel = np.round((discs[name] - case.affine[:3, 3]) / np.diag(case.affine)[:3])
            here = tuple(voxel.astype(int))
            assert abs(s[here] - case.subject.discs_mm[name.split("/")[0]]) < 1.5
            assert abs(u[here]) < 1.0
            assert np.linalg.norm(line - discs[name], axis=1).min() < 1.0


@pytest.mark.parametrize(
    ("name", "thinnest", "thickest"),
    [
        ("T12_D_L", 0.7, 1.6),  # a little over 1 mm
        ("L3_D_R", 1.5, 2.6),  # about 2 mm
        ("L5_D_L", 1.7, 3.1),  # 2.3 to 7.7 mm²
        ("S1_D_R", 2.0, 3.5),  # 2.95 ± 0.57 and about 2 mm
        ("S1_V_L", 1.1, 1.75),  # 1.43 ± 0.16
    ],
)
def test_root_diameters_lie_in_the_published_range(cases, name, thinnest, thickest):
    """From the volume that a labelled stretch of the root fills."""
    for case, _, _, s in cases:
        course = by_root(case.courses)[name]
        path = course.trunk[2 : course.inside - 2]
        stretch = (s >= path[0, 2]) & (s <= path[-1, 2]) & (case.individuals == course.root.value)
        length = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
        volume = case.share[stretch].sum() * np.prod(np.diag(case.affine)[:3])
        assert thinnest < 2 * np.sqrt(volume / length / np.pi) < thickest


def test_intradural_length_grows_from_under_1_to_well_over_10_cm(people):
    lengths = {
        level: [
            by_root(courses)[f"{level}_D_{side}"].intradural_length_mm
            for _, courses in people
            for side in "LR"
        ]
        for level in REFINED_LEVELS
    }
    assert max(lengths["T10"]) < 10
    assert min(lengths["S1"]) > 110
    ordered = [np.mean(lengths[level]) for level in REFINED_LEVELS]
    assert ordered == sorted(ordered)


def test_labelled_roots_reach_their_own_exit(cases):
    """The lowest labelled voxel inside the sac lies where the root's course leaves it."""
    for case, u, v, s in cases:
        sac = Sections(case.subject).sac(s)
        inside = (sac.a > 0) & (sac.distance(u, v) < 0)
        for course in case.courses:
            if course.root.level in REFINED_LEVELS:
                lowest = s[(case.individuals == course.root.value) & inside].max()
                assert abs(lowest - case.subject.exits_mm[course.root.level]) < 8


def test_no_two_roots_touch_and_none_enters_the_cord(people):
    for subject, courses in people:
        sections = Sections(subject)
        for number, course in enumerate(courses):
            path = course.trunk[: course.inside]
            cord = sections.cord(path[:, 2])
            beside = cord.a > 0
            gap = cord.distance(path[:, 0], path[:, 1])[beside] - course.radius_mm[0]
            assert gap.size == 0 or gap.min() > -0.15
            for other in courses[number + 1 :]:
                apart = np.linalg.norm(path[:, None] - other.trunk[None], axis=-1).min()
                assert apart > course.radius_mm[0] + other.radius_mm[0] - 0.15


def test_nearly_all_of_every_refined_root_hangs_together(cases):
    for case, *_ in cases:
        for course in case.courses:
            if course.root.level in REFINED_LEVELS and course.root.type is Type.DORSAL:
                pieces, count = label(case.individuals == course.root.value, np.ones((3, 3, 3)))
                sizes = np.bincount(pieces.ravel())[1:]
                assert count >= 1
                assert sizes.max() > 0.9 * sizes.sum()


def test_left_and_right_mirror_statistically(people):
    """No side is thicker, longer or further from the midline; yet no person is a mirror image."""
    length, distance, thickness = [], [], []
    for _, courses in people:
        roots = by_root(courses)
        for level in REFINED_LEVELS:
            left, right = (roots[f"{level}_D_{side}"] for side in "LR")
            assert left.trunk[0, 0] < 0 < right.trunk[0, 0]
            length.append(left.intradural_length_mm - right.intradural_length_mm)
            distance.append(
                -left.trunk[: left.inside, 0].mean() - right.trunk[: right.inside, 0].mean()
            )
            thickness.append(left.radius_mm[0] - right.radius_mm[0])
    for difference in (length, distance, thickness):
        spread = np.std(difference)
        assert spread > 0.01
        assert abs(np.mean(difference)) < 3 * spread / np.sqrt(len(difference))


def test_caudal_roots_lie_more_medial_and_posterior_in_the_cauda_equina(people):
    for subject, courses in people:
        height = max(subject.conus_tip_mm, subject.discs_mm["L1"]) + 15
        for side in Side:
            there = [
                course.trunk[np.abs(course.trunk[: course.inside, 2] - height).argmin()]
                for course in courses
                if course.root.side is side
                and course.root.type is Type.DORSAL
                and course.root.level in ("L3", "L4", "L5", "S1", "S2", "S3")
            ]
            order = np.arange(len(there))
            assert np.corrcoef(order, [abs(point[0]) for point in there])[0, 1] < -0.6
            assert np.corrcoef(order, [point[1] for point in there])[0, 1] < -0.3


def test_roots_are_dark_threads_in_bright_csf(cases):
    for case, *_ in cases:
        image = case.image.astype(float)
        csf = np.median(image[case.tissues == 2])
        assert np.median(image[(case.share > 0.8) & (case.individuals > 0)]) < 0.65 * csf
        assert 0.25 < np.median(image[case.tissues == 1]) / csf < 0.65


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The same two cases written by one process and by two."""
    folders = []
    for workers in (1, 2):
        root = tmp_path_factory.mktemp(f"workers{workers}")
        write_dataset(root / "raw", root / "truth", COARSE, SEED, workers)
        folders.append(root)
    return folders


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(written):
    one, two = written
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(two) for path in two.rglob("*") if path.is_file())
    assert len(files) > 15
    for path in files:
        assert (one / path).read_bytes() == (two / path).read_bytes(), path


def test_another_seed_gives_another_case():
    first, second = (generate(COARSE, seed, 0) for seed in (SEED, SEED + 1))
    assert first.subject != second.subject


def test_files_keep_the_stored_orientation_and_the_truth_lies_on_the_same_grid(written):
    root = written[0]
    raw, truth = Dataset(root / "raw"), Dataset(root / "truth")
    people = raw.participants()
    for index, name in enumerate(raw.cases()):
        case, annotation = annotated_case(COARSE, SEED, index)
        scan = read_image(raw.image(name))
        assert (
            scan.native.orientation
            == case.acquisition.orientation
            == people.loc[name, "orientation"]
        )
        np.testing.assert_array_equal(scan.data, case.image.astype(np.float32))
        hidden = read_labels(truth.labels(name, Scheme.INDIVIDUALS))
        assert hidden.native.matches(scan.native)
        np.testing.assert_array_equal(hidden.data, case.individuals)
        anatomy = read_labels(truth.map(name, ANATOMY_MAP))
        assert anatomy.native.matches(scan.native)
        np.testing.assert_array_equal(anatomy.data, case.anatomy)
        given = read_labels(raw.labels(name, Scheme.ENTITY))
        np.testing.assert_array_equal(given.data, annotation.entity)
        assert people.loc[name, "source"] == "phantom"
        record = read_json(root / "truth/subjects" / f"{name}.json")
        assert record["conus_ras_mm"] == pytest.approx(case.conus_ras_mm, abs=1e-3)
        assert record["discs_ras_mm"]["L1/L2"] == pytest.approx(
            case.discs_ras_mm["L1/L2"], abs=1e-3
        )
        assert people.loc[name, "look"] == ("physical", "randomised")[index % 2]


def test_annotation_is_worse_root_by_root_than_as_one(cases):
    """And what is labelled can be grown back: nearly every part of the entity holds a label."""

    def dice(one, two):
        return 2 * (one & two).sum() / (one.sum() + two.sum())

    case = cases[0][0]
    plan = draw_plan(case, 0, np.random.default_rng(0))
    annotation = annotate(case, plan, MISTAKES, np.random.default_rng(1))
    values = [root.value for root in annotation.plan.roots]
    known = np.isin(case.individuals, values)
    entity = dice(annotation.entity > 0, known)
    single = [
        dice(annotation.individuals == value, case.individuals == value)
        for value in values
        if (case.individuals == value).sum() > 50
    ]
    assert entity > 0.9
    assert 0.4 < np.mean(single) < entity - 0.05
    parts, count = label(annotation.entity, np.ones((3, 3, 3)))
    reached = np.unique(parts[(annotation.individuals > 0) & (parts > 0)])
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    assert sizes[reached].sum() > 0.97 * sizes[1:].sum()


def test_annotation_is_unbalanced_like_a_labs(cases):
    """Dorsal roots of the middle levels nearly always, thoracic ones less, ventral ones rarely."""
    case = cases[0][0]
    plans = [draw_plan(case, index, np.random.default_rng(index)) for index in range(48)]
    share = {
        root: np.mean([root in plan.roots for plan in plans])
        for root in ROOTS
        if root.level in REFINED_LEVELS
    }
    assert share[Root.parse("L4_D_L")] > 0.9
    assert share[Root.parse("T10_D_L")] < 0.7
    assert all(share[root] > 0 for root in share if root.type is Type.DORSAL)
    assert max(share[root] for root in share if root.type is Type.VENTRAL) < 0.25
    kinds = [plan.kind for plan in plans]
    assert kinds.count("levels") == 4
    assert 4 < kinds.count("partial") < 16
    few = [draw_plan(case, index, np.random.default_rng(index)) for index in range(6)]
    for level in REFINED_LEVELS:
        assert any(root.level == level for plan in few for root in plan.roots)
