"""The curve through cord and sac."""

import numpy as np

from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.centreline_mask import from_masks
from spinalroots.imaging.curves import smooth
from spinalroots.imaging.volume import Volume


def test_smoothing_keeps_straight_lines_and_fills_gaps_and_ends():
    line = np.column_stack([np.arange(30) * 0.5 + 2, 7 - np.arange(30) * 0.25])
    weights = np.ones(30)
    weights[:5] = weights[12:18] = weights[-4:] = 0
    noisy = np.where(weights[:, None] > 0, line, 99.0)
    assert np.allclose(smooth(noisy, weights, 6.0), line, atol=1e-5)


def test_smoothing_solves_the_normal_equations():
    generator = np.random.default_rng(0)
    values, weights = generator.normal(size=(12, 2)), generator.uniform(0.1, 1, 12)
    second = np.diff(np.eye(12), n=2, axis=0)
    naive = np.linalg.solve(
        np.diag(weights) + 2.0**4 * second.T @ second, weights[:, None] * values
    )
    assert np.allclose(smooth(values, weights, 2.0), naive)


def _tissues(spacing=(0.8, 0.8, 2.0), shape=(40, 40, 40), conus=15):
    """A leaning sac with a cord off its middle above slice `conus`; its true centres in mm."""
    tissues = np.zeros(shape, np.uint8)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-15.0, -12.0, 100.0)
    x, y = np.meshgrid(
        *(np.arange(n) * s for n, s in zip(shape, spacing, strict=False)), indexing="ij"
    )
    truth = np.zeros((shape[2], 3))
    for z in range(shape[2]):
        cx, cy = 12 + 0.1 * z, 18 - 0.1 * z
        tissues[(x - cx) ** 2 + (y - cy) ** 2 < 8**2, z] = 2
        if z >= conus:
            cy += 1.0
            tissues[(x - cx) ** 2 + (y - cy) ** 2 < 4**2, z] = 1
        truth[z] = affine[:3, :3] @ (cx / spacing[0], cy / spacing[1], z) + affine[:3, 3]
    return Volume(tissues, affine), truth


def test_a_mask_s_centreline_runs_through_the_cord_and_below_it_through_the_sac():
    tissues, truth = _tissues()
    line = from_masks(tissues)
    distance = np.linalg.norm(line.at_height(truth[:, 2]) - truth, axis=1)
    assert distance.mean() < 0.3
    assert distance.max() < 0.8


def test_tangents_and_arc_length_of_a_straight_line_are_those_of_the_line():
    points = np.array([3.0, -2.0, 10.0]) + np.arange(20)[:, None] * np.array([0.3, 0.4, 1.2])
    line = Centreline(points, "truth")
    assert np.allclose(line.tangents, np.array([0.3, 0.4, 1.2]) / 1.3)
    assert np.allclose(line.arc_length_mm, 1.3 * np.arange(20))


def test_crossings_lie_on_the_slices_of_an_oblique_grid():
    turn = np.deg2rad(20)
    rotation = np.array(
        [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * (0.7, 0.7, 3.0)
    affine[:3, 3] = (-20, -30, 5)
    voxels = np.column_stack([20 + 0.3 * np.arange(30), 40 - 0.5 * np.arange(30), np.arange(30)])
    line = Centreline.from_slices(voxels, affine, "truth")
    crossings = line.in_slices(Volume(np.zeros((50, 50, 30)), affine).grid)
    assert np.allclose(crossings, voxels[:, :2], atol=1e-6)


def test_a_centreline_read_back_is_the_one_written(tmp_path):
    line = from_masks(_tissues()[0])
    line.write(tmp_path / "line.json")
    again = Centreline.read(tmp_path / "line.json")
    assert np.allclose(again.points_mm, line.points_mm, atol=1e-3)
    assert again.source == "mask"
