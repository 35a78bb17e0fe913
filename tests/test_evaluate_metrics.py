"""Metrics against closed forms and naive loops."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from spinalroots.imaging.centreline import Centreline
from spinalroots.metrics.calibration import reliability
from spinalroots.metrics.effort import (
    Effort,
    axial_contour,
    correction_effort,
    correction_effort_per_label,
)
from spinalroots.metrics.false_roots import false_roots
from spinalroots.metrics.instances import detect_roots, side_accuracy
from spinalroots.metrics.levels import (
    entry_error_mm,
    level_accuracy,
    level_error_mm,
    type_accuracy,
)
from spinalroots.metrics.measurements import dark_in_sac
from spinalroots.metrics.overlap import dice, dice_per_label, mean_present, overlap_table
from spinalroots.metrics.surface import SurfaceDistances, surface
from spinalroots.metrics.threads import name_changes
from spinalroots.metrics.topology import cl_dice, skeleton
from spinalroots.registry.anatomy import Root, level_value

ROOT = Path(__file__).resolve().parents[1]
SPACING = np.array([0.5, 0.8, 2.0])
EMPTY = np.zeros((6, 7, 8), bool)
STRAIGHT = Centreline(np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 100.0]]), "truth")
L3L, L3R, L4L, L4R = (Root.parse(name).value for name in ("L3_D_L", "L3_D_R", "L4_D_L", "L4_D_R"))


def surface_dice(reference, prediction, spacing_mm, tolerance_mm):
    return SurfaceDistances.between(reference, prediction, spacing_mm).dice(tolerance_mm)


def hd95_mm(reference, prediction, spacing_mm):
    return SurfaceDistances.between(reference, prediction, spacing_mm).hd95_mm()


def block(shape=(12, 12, 12), *, at=(3, 3, 3), size=(4, 4, 4)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, a + s) for a, s in zip(at, size, strict=True))] = True
    return mask


def one_voxel(at=(2, 3, 4)):
    mask = EMPTY.copy()
    mask[at] = True
    return mask


def random_masks(seed, shape=(7, 6, 5), share=0.3):
    generator = np.random.default_rng(seed)
    return generator.random(shape) < share, generator.random(shape) < share


def of_masks(metric):
    """The metric as a function of two masks only, whatever else it asks for."""
    return {
        "dice": dice,
        "cl_dice": cl_dice,
        "surface_dice": lambda r, p: surface_dice(r, p, SPACING, 0.5),
        "hd95": lambda r, p: hd95_mm(r, p, SPACING),
        "level_error": lambda r, p: level_error_mm(r, p, np.eye(4), STRAIGHT),
        "entry_error": lambda r, p: entry_error_mm(r, p, np.eye(4), STRAIGHT),
        "expert_score": lambda r, p: correction_effort(r, p, SPACING, 0.3).score(),
    }[metric]


BEST_AND_WORST = {
    "dice": (1.0, 0.0),
    "cl_dice": (1.0, 0.0),
    "surface_dice": (1.0, 0.0),
    "hd95": (0.0, np.inf),
    "level_error": (0.0, np.inf),
    "entry_error": (0.0, np.inf),
    "expert_score": (1.0, 0.5),
}


@pytest.mark.parametrize("metric", BEST_AND_WORST)
def test_absent_from_both_is_left_out_and_missed_or_invented_is_the_worst(metric):
    measure, (best, worst) = of_masks(metric), BEST_AND_WORST[metric]
    assert np.isnan(measure(EMPTY, EMPTY))
    assert measure(one_voxel(), EMPTY) == worst
    assert measure(EMPTY, one_voxel()) == worst
    assert measure(one_voxel(), one_voxel()) == best


@pytest.mark.parametrize("metric", BEST_AND_WORST)
def test_metrics_accept_label_maps_and_do_not_change_them(metric):
    reference, prediction = random_masks(3)
    reference, prediction = reference.astype(np.uint8) * 7, prediction.astype(np.uint8) * 9
    before = reference.copy(), prediction.copy()
    value = of_masks(metric)(reference, prediction)
    assert value == of_masks(metric)(reference > 0, prediction > 0)
    assert np.array_equal(before[0], reference)
    assert np.array_equal(before[1], prediction)


def test_dice_of_blocks_shifted_by_one_voxel():
    # 4×4×4 shifted by one: 48 of 64 voxels in common.
    assert dice(block(), block(at=(4, 3, 3))) == pytest.approx(2 * 48 / 128)


def test_dice_per_label_is_the_dice_of_each_labels_mask():
    generator = np.random.default_rng(0)
    reference = generator.choice([0, 5, 6, 255], (6, 6, 6)).astype(np.uint8)
    prediction = generator.choice([0, 5, 7, 255], (6, 6, 6)).astype(np.uint8)
    scores = dice_per_label(reference, prediction, (5, 6, 7, 8, 255))
    for value in (5, 6, 7, 255):
        assert scores[value] == pytest.approx(dice(reference == value, prediction == value))
    assert scores[6] == scores[7] == 0  # missed, invented
    assert np.isnan(scores[8])
    assert mean_present(scores.values()) == pytest.approx((scores[5] + 0 + 0 + scores[255]) / 4)


def test_overlap_table_counts_every_pair():
    reference = np.array([0, 1, 1, 255], np.uint8)
    prediction = np.array([0, 1, 2, 255], np.uint8)
    table = overlap_table(reference, prediction)
    assert table.sum() == 4
    assert table[0, 0] == table[1, 1] == table[1, 2] == table[255, 255] == 1


def test_cl_dice_of_a_rod_that_is_half_found():
    # A one-voxel rod is its own skeleton: precision 1, sensitivity 5/10.
    rod, half = np.zeros((5, 5, 14), bool), np.zeros((5, 5, 14), bool)
    rod[2, 2, 2:12], half[2, 2, 2:7] = True, True
    assert cl_dice(rod, half) == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert cl_dice(half, rod) == pytest.approx(cl_dice(rod, half))


def test_cl_dice_sees_a_gap_that_dice_hardly_sees():
    thick = block((9, 9, 30), at=(2, 2, 2), size=(5, 5, 26))
    thin = np.zeros_like(thick)
    thin[4, 4, 2:28] = True
    assert cl_dice(thick, thin) > 0.8 > 0.1 > dice(thick, thin)


@pytest.mark.parametrize("size", itertools.product(range(1, 5), repeat=3))
def test_the_skeleton_never_loses_a_component(size):
    mask = block(size=size) | block(at=(9, 9, 9), size=(2, 2, 2))
    middle = skeleton(mask)
    assert not (middle & ~mask).any()
    assert middle[:8].any()
    assert middle[9:].any()
    assert cl_dice(mask, mask) == 1.0


def naive_surface(mask):
    found = np.zeros_like(mask)
    for voxel in np.argwhere(mask):
        for axis, step in itertools.product(range(3), (-1, 1)):
            other = voxel.copy()
            other[axis] += step
            outside = not 0 <= other[axis] < mask.shape[axis]
            if outside or not mask[tuple(other)]:
                found[tuple(voxel)] = True
    return found


def naive_distances(start, end):
    ends = np.argwhere(end) * SPACING
    return np.array(
        [np.linalg.norm(ends - place, axis=1).min() for place in np.argwhere(start) * SPACING]
    )


@pytest.mark.parametrize("seed", range(4))
def test_surface_metrics_agree_with_brute_force(seed):
    reference, prediction = random_masks(seed, share=0.6)
    of_reference, of_prediction = naive_surface(reference), naive_surface(prediction)
    assert np.array_equal(surface(reference), of_reference)
    there = naive_distances(of_reference, of_prediction)
    back = naive_distances(of_prediction, of_reference)
    for tolerance in (0.0, 0.5, 0.81, 2.0):
        expected = (np.sum(there <= tolerance) + np.sum(back <= tolerance)) / (
            len(there) + len(back)
        )
        found = surface_dice(reference, prediction, SPACING, tolerance)
        assert found == pytest.approx(expected)
    expected = max(np.percentile(there, 95), np.percentile(back, 95))
    assert hd95_mm(reference, prediction, SPACING) == pytest.approx(expected)


def test_hd95_of_a_plane_moved_along_each_axis_is_the_distance_in_mm():
    for axis, edge_mm in enumerate(SPACING):
        at, size = [1, 1, 1], [8, 8, 8]
        size[axis] = 1
        moved = at.copy()
        moved[axis] += 3
        distance = hd95_mm(block(at=at, size=size), block(at=moved, size=size), SPACING)
        assert distance == pytest.approx(3 * edge_mm)


def test_roots_are_matched_whatever_their_names():
    reference = np.zeros((4, 4, 20), np.uint8)
    reference[0, 0, :10], reference[3, 3, :10] = L3L, L3R
    renamed = np.where(reference == L3L, L4R, reference).astype(np.uint8)
    detection = detect_roots(reference, renamed, 0.1)
    assert (detection.found, detection.invented, detection.missed) == (2, 0, 0)
    assert dice_per_label(reference, renamed, [L3L])[L3L] == 0


def test_two_roots_predicted_as_one_count_once():
    reference = np.zeros((4, 4, 20), np.uint8)
    reference[0, 0, :12], reference[0, 1, :8] = L3L, L4L
    merged = np.where(reference > 0, L3L, 0).astype(np.uint8)
    detection = detect_roots(reference, merged, 0.1)
    assert (detection.found, detection.invented, detection.missed) == (1, 0, 1)
    assert (detection.precision, detection.recall) == (1.0, 0.5)
    assert detection.f1 == pytest.approx(2 / 3)


def test_the_overlap_threshold_is_reached_by_equality():
    reference, prediction = np.zeros((1, 1, 20), np.uint8), np.zeros((1, 1, 20), np.uint8)
    reference[..., :10], prediction[..., 8:18] = L3L, L3L  # 2 of 18 voxels
    assert detect_roots(reference, prediction, 2 / 18).found == 1
    assert detect_roots(reference, prediction, 2 / 18 + 1e-6).found == 0


def test_instances_of_empty_maps():
    empty, some = np.zeros((2, 2, 2), np.uint8), np.full((2, 2, 2), L3L, np.uint8)
    nothing = detect_roots(empty, empty, 0.1)
    assert all(np.isnan([nothing.precision, nothing.recall, nothing.f1]))
    missed, invented = detect_roots(some, empty, 0.1), detect_roots(empty, some, 0.1)
    for detection in (missed, invented):
        assert (detection.precision, detection.recall, detection.f1) == (0, 0, 0)


def test_side_accuracy_ignores_the_level_and_counts_common_voxels_only():
    reference = np.array([L3L, L3L, L3R, L3R, L3L, 0], np.uint8)
    prediction = np.array([L4L, L3R, L4R, L3R, 0, L3L], np.uint8)
    assert side_accuracy(reference, prediction) == pytest.approx(3 / 4)
    assert np.isnan(side_accuracy(reference, np.zeros_like(reference)))


def test_level_error_is_measured_along_a_tilted_centreline():
    # 45° forward: one mm up is √2 mm along the curve. Voxels of 2 mm, moved up by 3.
    tilted = Centreline(np.array([[0, 0, 0], [0, 50, 50.0]]), "truth")
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    low, high = block(at=(3, 3, 1), size=(2, 2, 5)), block(at=(3, 3, 4), size=(2, 2, 5))
    assert level_error_mm(low, high, affine, tilted) == pytest.approx(3 * 2 * np.sqrt(2))
    assert entry_error_mm(low, high, affine, tilted) == pytest.approx(3 * 2 * np.sqrt(2))


def test_entry_error_looks_at_the_upper_end_only():
    whole, upper = block(at=(3, 3, 0), size=(2, 2, 12)), block(at=(3, 3, 6), size=(2, 2, 6))
    assert entry_error_mm(whole, upper, np.eye(4), STRAIGHT) < 0.5
    assert level_error_mm(whole, upper, np.eye(4), STRAIGHT) == pytest.approx(3.0)


def test_levels_beyond_the_centrelines_ends_keep_their_distance():
    short = Centreline(np.array([[0, 0, 4.0], [0, 0, 6.0]]), "truth")
    low, high = block(at=(3, 3, 0), size=(2, 2, 2)), block(at=(3, 3, 10), size=(2, 2, 2))
    assert level_error_mm(low, high, np.eye(4), short) == pytest.approx(10.0)


def naive_effort(reference, prediction, tolerance_mm):
    """Contour pixels of the reference without predicted contour nearby, slice by slice."""
    added = drawing = 0
    for index in range(reference.shape[2]):
        contours = []
        for mask in (reference[..., index], prediction[..., index]):
            pixels = []
            for x, y in np.argwhere(mask):
                around = [(x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)]
                inside = [
                    0 <= a < mask.shape[0] and 0 <= b < mask.shape[1] and mask[a, b]
                    for a, b in around
                ]
                if not all(inside):
                    pixels.append((x * SPACING[0], y * SPACING[1]))
            contours.append(pixels)
        for pixel in contours[0]:
            drawing += 1
            distances = [np.hypot(pixel[0] - x, pixel[1] - y) for x, y in contours[1]]
            added += not distances or min(distances) > tolerance_mm + 1e-9
    edge = np.sqrt(SPACING[0] * SPACING[1])
    return added * edge, drawing * edge


@pytest.mark.parametrize("tolerance_mm", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_correction_effort_agrees_with_a_naive_loop(tolerance_mm, share):
    reference, prediction = random_masks(5, shape=(9, 8, 4), share=share)
    effort = correction_effort(reference, prediction, SPACING, tolerance_mm)
    added, drawing = naive_effort(reference, prediction, tolerance_mm)
    invented, _ = naive_effort(prediction, reference, tolerance_mm)
    assert effort.added_mm == pytest.approx(added)
    assert effort.drawing_mm == pytest.approx(drawing)
    assert effort.invented_mm == pytest.approx(invented)
    for weight in (0.0, 0.5):
        share = min(1, (added + weight * invented) / drawing)
        assert effort.score(weight) == pytest.approx(1 - 0.5 * share)


def test_a_contour_in_the_next_slice_does_not_help():
    reference, prediction = one_voxel((2, 3, 4)), one_voxel((2, 3, 5))
    assert correction_effort(reference, prediction, SPACING, 10.0).score() == 0.5


def test_the_contour_of_a_square_is_its_rim():
    assert axial_contour(block()).sum() == 4 * (4 * 4 - 2 * 2)


def test_erasing_costs_only_when_it_is_given_a_weight():
    reference, prediction = block(at=(1, 1, 1)), block(at=(1, 1, 1)) | block(at=(7, 7, 7))
    effort = correction_effort(reference, prediction, SPACING, 0.0)
    assert effort.score(erasing_weight=0.0) == 1.0
    assert effort.score(erasing_weight=1.0) == 0.5
    assert effort.score(erasing_weight=0.5) == pytest.approx(0.75)


def test_specks_beside_a_perfect_mask_are_no_finished_work():
    """A tenth of the volume in specks: many times the roots' own outline has to be wiped out."""
    reference = block(at=(1, 1, 1))
    specks = np.random.default_rng(0).random(reference.shape) < 0.1
    effort = correction_effort(reference, reference | specks, SPACING, 1.0)
    assert effort.score(erasing_weight=0.0) == 1.0
    assert effort.score() < 0.9


def test_the_case_worked_by_hand_in_the_docs():
    reference = np.zeros((6, 5, 1), np.uint8)
    prediction = reference.copy()
    for labels, pixels in (
        (reference, {1: [(1, 1), (2, 1), (1, 2), (2, 2)], 2: [(4, 2), (4, 3)]}),
        (prediction, {1: [(1, 1), (2, 1), (3, 1), (1, 2)], 2: [(4, 3)]}),
    ):
        for value, places in pixels.items():
            for place in places:
                labels[(*place, 0)] = value
    spacing = np.array([0.5, 0.5, 3.0])
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    by_hand = {row[0].strip("| "): row[-1].strip("| ") for row in rows if len(row) == 3}

    roots = dice_per_label(reference, prediction, (1, 2))
    effort = sum(
        correction_effort_per_label(reference, prediction, spacing, 0.4, (1, 2)).values(),
        Effort(0, 0, 0),
    )
    f1 = [detect_roots(reference, prediction, iou).f1 for iou in (0.1, 0.55)]
    computed = {
        "binary Dice": f"{dice(reference, prediction):.3f}",
        "Dice of root 1": f"{roots[1]:.3f}",
        "Dice of root 2": f"{roots[2]:.3f}",
        "mean Dice per root": f"{mean_present(roots.values()):.3f}",
        "root F1 at 0.1, at 0.55": f"{f1[0]}, {f1[1]}",
        "surface Dice at 0.5 mm": f"{surface_dice(reference, prediction, spacing, 0.5):.3f}",
        "surface Dice at 0.4 mm": f"{surface_dice(reference, prediction, spacing, 0.4):.3f}",
        "HD95": f"{hd95_mm(reference, prediction, spacing):.1f} mm",
        "drawing from nothing": f"{effort.drawing_mm} mm",
        "to be drawn again, tolerance 0.4 mm": f"{effort.added_mm} mm",
        "to be wiped out, tolerance 0.4 mm": f"{effort.invented_mm} mm",
        "simulated expert score": f"{effort.score():.3f}",
        "the same, erasing free": f"{effort.score(0.0):.3f}",
    }
    assert computed == {name: by_hand[name] for name in computed}


def test_reliability_counts_each_voxel_in_its_bin():
    probability = np.array([0.005, 0.05, 0.05, 0.95, 1.0, 0.31])
    truth = np.array([1, 0, 1, 1, 1, 0])
    curve = reliability(probability, truth)
    assert curve.voxels.tolist() == [2, 0, 0, 1, 0, 0, 0, 0, 0, 2]
    assert curve.mean_probability[[0, 3, 9]] == pytest.approx([0.05, 0.31, 0.975])
    assert curve.observed[[0, 3, 9]] == pytest.approx([0.5, 0.0, 1.0])
    assert curve.expected_error == pytest.approx((0.9 + 0.31 + 0.05) / 5)
    assert (curve + curve).expected_error == pytest.approx(curve.expected_error)
    assert np.isnan(reliability(np.zeros(3), np.zeros(3)).expected_error)


def test_well_calibrated_probabilities_have_no_calibration_error():
    generator = np.random.default_rng(0)
    probability = generator.random(200_000)
    truth = generator.random(200_000) < probability
    assert reliability(probability, truth).expected_error < 0.01
    assert reliability(probability, ~truth).expected_error > 0.3


def test_the_right_level_is_counted_among_voxels_that_both_name():
    reference, prediction = np.zeros((2, 4, 4, 4), np.uint8)
    reference[0, 0], reference[1, 0] = 20, 21
    prediction[0, 0], prediction[1, 0, :1], prediction[3] = 20, 20, 25
    assert level_accuracy(reference, prediction) == pytest.approx(4 / 5)
    assert np.isnan(level_accuracy(reference, np.zeros_like(reference)))


def test_dorsal_and_ventral_are_told_apart_by_who_gets_a_name():
    truth, named, found = np.zeros((3, 4, 4, 4), np.uint8)
    truth[0], truth[1] = Root.parse("L3_D_L").value, Root.parse("L3_V_L").value
    named[0, :2] = 23  # half of the dorsal root
    found[0, :3] = 1  # of the rest some is found without a name
    named[1, 0] = 23  # a quarter of the ventral one is called dorsal
    found[1, :2] = 1
    named[3] = 23  # what lies on no root does not count
    assert type_accuracy(truth, named, found) == pytest.approx((8 + 4) / (12 + 8))
    assert np.isnan(type_accuracy(np.zeros_like(truth), named, found))


def test_false_roots_are_told_by_where_they_lie():
    found, sac = np.zeros((2, 4, 4, 4), bool)
    truth = np.zeros((4, 4, 4), np.uint8)
    sac[:3] = True
    truth[0] = Root.parse("L3_D_R").value
    truth[1, 0], truth[1, 1] = Root.parse("L4_D_L").value, Root.parse("L3_V_R").value
    found[0], found[1, :3, :2], found[3, 0, 0] = True, True, True
    shares = false_roots(found, truth, sac, (level_value("L3"),))
    assert shares == pytest.approx(
        {"other_levels": 2 / 23, "ventral": 2 / 23, "sac": 2 / 23, "outside": 1 / 23}
    )
    assert np.isnan(list(false_roots(sac & False, truth, sac, (23,)).values())).all()


def test_a_thread_that_is_renamed_twice_on_its_way_has_two_changes():
    truth = np.zeros((6, 6, 41), np.uint8)
    truth[1, 1:3], truth[4, 4, 20:] = L3L, L4R
    named = truth.copy()
    named[1, 1:3, 10:15] = L4L  # away and back
    named[1, 2, 30] = L4L  # one of two voxels: the commonest, of equals the lower, is still L3
    named[1, :, 22] = 0  # a gap is no change
    affine = np.diag([1, 1, 2.0, 1])
    length_mm = 2 * 40 + 2 * 20
    assert name_changes(truth, named, affine) == pytest.approx(100 * 2 / length_mm)
    assert name_changes(truth, truth, affine) == 0
    assert np.isnan(name_changes(truth, np.zeros_like(truth), affine))


@pytest.mark.parametrize("unit", [1.0, 700.0])
def test_a_threshold_finds_dark_threads_in_a_bright_sac_and_nothing_outside(unit):
    rng = np.random.default_rng(0)
    image = unit * (rng.normal(0, 0.03, (12, 12, 12)) + 0.1)
    sac = np.zeros(image.shape, bool)
    sac[2:10, 2:10] = True
    threads = np.zeros_like(sac)
    threads[3:9:2, 3:9:2] = True
    image[sac] += 0.9 * unit
    image[threads] -= 0.5 * unit
    assert np.array_equal(dark_in_sac(image, sac), threads)
    assert not dark_in_sac(np.ones((3, 3, 3)), np.ones((3, 3, 3), bool)).any()
    assert not dark_in_sac(image, np.zeros_like(sac)).any()
