"""The phantom's parts against closed forms: curve, tubes, artefacts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spinalroots.phantom.artefacts import Faults, apply_faults
from spinalroots.phantom.norms import along_levels
from spinalroots.phantom.sections import Ellipse
from spinalroots.phantom.spine import build_curve
from spinalroots.phantom.subject import draw_subject
from spinalroots.phantom.tubes import Tube, centre_voxels, fill

CLEAN = Faults(
    noise=0.0,
    bias=(0.0, 0.0, 0.0, 0.0),
    coil=0.0,
    phase_axis=1,
    ghost_strength=0.0,
    ghost_shift=0.25,
    bandwidth=(1.0, 1.0, 1.0),
    slice_axis=2,
    slice_blur_vox=0.01,
    scale=1000.0,
    noise_seed=3,
)


@pytest.mark.parametrize("radius_mm", [0.35, 0.8, 1.4])
def test_a_tube_fills_its_own_volume_even_when_thinner_than_a_voxel(radius_mm):
    affine = np.diag([0.9, 0.9, 1.3, 1.0])
    points = np.array([[6.1, 7.3, -5.0], [9.4, 8.0, 60.0]])
    tube = Tube(7, points, np.full(2, radius_mm))
    filling = fill([tube], (18, 18, 40), affine, subvoxels=4)
    part = filling.share[:, :, 4:36].sum() * 0.9 * 0.9 * 1.3
    length = 32 * 1.3 * np.linalg.norm(points[1] - points[0]) / 65.0
    assert part == pytest.approx(np.pi * radius_mm**2 * length, rel=0.06)
    assert set(np.unique(filling.owner)) == {0, 7}
    assert filling.share[filling.owner == 0].sum() == 0


def test_filling_agrees_with_counting_random_points():
    rng = np.random.default_rng(0)
    affine = np.eye(4)
    tubes = [
        Tube(1, np.array([[2.0, 2.0, 1.0], [6.0, 3.0, 8.0]]), np.full(2, 0.9)),
        Tube(2, np.array([[7.0, 7.0, 1.0], [5.0, 7.0, 8.0]]), np.full(2, 1.3)),
    ]
    filling = fill(tubes, (10, 10, 10), affine, subvoxels=5)
    points = rng.uniform(-0.5, 9.5, (400_000, 3))
    inside = np.zeros(len(points), bool)
    for tube in tubes:
        start, way = tube.points_mm[0], tube.points_mm[1] - tube.points_mm[0]
        along = np.clip((points - start) @ way / (way @ way), 0, 1)
        near = start + along[:, None] * way
        inside |= np.linalg.norm(points - near, axis=1) < tube.radius_mm[0]
    voxel = np.round(points).astype(int)
    total, hit = (np.zeros((10, 10, 10)) for _ in range(2))
    np.add.at(total, tuple(voxel.T), 1)
    np.add.at(hit, tuple(voxel[inside].T), 1)
    assert np.abs(filling.share - hit / total).max() < 0.12
    assert np.abs(filling.share - hit / total).mean() < 0.01


def test_a_voxel_belongs_to_the_tube_that_is_deepest_in_it():
    tubes = [
        Tube(1, np.array([[2.0, 4.0, 0.0], [2.0, 4.0, 8.0]]), np.full(2, 1.0)),
        Tube(2, np.array([[5.0, 4.0, 0.0], [5.0, 4.0, 8.0]]), np.full(2, 1.0)),
    ]
    owner = fill(tubes, (8, 8, 9), np.eye(4), subvoxels=3).owner
    assert owner[2, 4, 4] == 1
    assert owner[5, 4, 4] == 2
    assert not (owner[:3] == 2).any()


def test_tubes_outside_the_grid_fill_nothing():
    tube = Tube(1, np.array([[90.0, 90.0, 90.0], [99.0, 90.0, 90.0]]), np.full(2, 1.0))
    filling = fill([tube], (6, 6, 6), np.eye(4), subvoxels=2)
    assert filling.share.sum() == 0
    assert len(centre_voxels(tube, (6, 6, 6), np.eye(4))) == 0


def test_centre_voxels_form_a_connected_chain():
    rng = np.random.default_rng(1)
    points = np.cumsum(rng.normal(0, 1.5, (12, 3)), axis=0) + 20
    chain = centre_voxels(
        Tube(1, points, np.full(12, 0.2)), (40, 40, 40), np.diag([0.8, 0.9, 1.4, 1])
    )
    assert np.abs(np.diff(chain, axis=0)).max() == 1


def test_straightening_undoes_the_curve():
    curve = build_curve(draw_subject(np.random.default_rng(2)))
    x, y, z = np.linspace(-20, 20, 5), np.linspace(-30, 40, 8), np.linspace(-280, 20, 30)
    u, v, s = curve.straighten(x, y, z)
    straight = np.stack([u, *(np.broadcast_to(axis, u.shape) for axis in (v, s))], axis=-1)
    world = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    assert np.abs(curve.to_world(straight) - world).max() < 0.15


def test_ellipse_distance_is_exact_on_the_axes_and_near_the_boundary():
    ellipse = Ellipse(np.array(4.0), np.array(3.0), np.array(1.0))
    assert ellipse.distance(np.array(4.5), np.array(1.0)) == pytest.approx(0.5, rel=1e-4)
    assert ellipse.distance(np.array(0.0), np.array(3.8)) == pytest.approx(-0.2, rel=1e-4)
    angle = np.linspace(0, 2 * np.pi, 30)
    on = ellipse.distance(4 * np.cos(angle), 1 + 3 * np.sin(angle))
    assert np.abs(on).max() < 1e-4


def test_tables_are_linear_between_levels_and_constant_beyond():
    table = {"T12": 5.0, "L2": 7.0}
    assert [along_levels(table, level) for level in ("T10", "T12", "L1", "L2", "S1")] == [
        5,
        5,
        6,
        7,
        7,
    ]


def test_noise_is_rician():
    """Where there is no signal the magnitude of complex noise has a Rayleigh mean."""
    image = apply_faults(np.zeros((40, 40, 40), np.float32), replace(CLEAN, noise=0.05))
    assert image.mean() == pytest.approx(1000 * 0.05 * np.sqrt(np.pi / 2), rel=0.02)


def test_missing_frequencies_ring_at_an_edge():
    step = np.zeros((64, 4, 4), np.float32)
    step[16:48] = 0.5
    ringing = apply_faults(step, replace(CLEAN, bandwidth=(0.6, 1.0, 1.0)))
    assert 530 < ringing.max() < 570  # Gibbs: about 9 % of the step
    assert apply_faults(step, CLEAN).max() == 500


def test_ghosts_lie_along_the_phase_direction():
    point = np.zeros((9, 40, 9), np.float32)
    point[4, 20, 4] = 1.0
    ghost = apply_faults(point, replace(CLEAN, ghost_strength=0.05))
    assert set(map(tuple, np.argwhere(ghost > 20))) == {(4, 10, 4), (4, 20, 4), (4, 30, 4)}


def test_the_back_is_brighter_near_the_coil():
    image = apply_faults(np.ones((4, 30, 4), np.float32), replace(CLEAN, coil=0.4))
    assert (np.diff(image[2, :, 2].astype(int)) < 0).all()
