"""Centreline and sides together on a phantom whose truth is known, also bent and turned more."""

from pathlib import Path

import numpy as np
import pytest

from spinalroots.imaging import centreline_image
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.centreline_mask import from_masks
from spinalroots.imaging.volume import Volume
from spinalroots.phantom.case import generate
from spinalroots.pipeline import params
from spinalroots.postprocess.sides import split_sides
from spinalroots.registry.anatomy import REFINED_ROOTS, individuals_to_levels

PARAMS = Path(__file__).resolve().parents[1] / "params.yaml"


@pytest.fixture(scope="module")
def phantom():
    return generate(params.load(PARAMS, scale="smoke").phantom, 7, 0)


@pytest.fixture(scope="module")
def line(phantom):
    return centreline_image.trace(Volume(phantom.image, phantom.affine))


def _distance(found, truth):
    return np.linalg.norm(found.at_height(truth[:, 2]) - truth, axis=1)


def test_the_line_found_in_the_image_is_within_the_promised_distance_of_the_true_one(phantom, line):
    distance = _distance(line, phantom.centreline.points_mm)
    assert distance.mean() < 2.0
    assert distance.max() < 5.0


def test_the_line_of_the_tissues_is_within_the_promised_distance_of_the_true_one(phantom):
    found = from_masks(Volume(phantom.tissues, phantom.affine))
    distance = _distance(found, phantom.centreline.points_mm)
    assert distance.mean() < 2.0
    assert distance.max() < 5.0


def _bent_and_turned(labels, line, affine, bend_mm, turn_deg):
    """Every axial slice shifted sideways and turned, waves along the height; the line likewise."""
    grid = Volume(labels, affine).grid
    spacing, middle = grid.spacing_mm[:2], (np.array(labels.shape[:2]) - 1) / 2
    share = np.linspace(0, 2 * np.pi, labels.shape[2])
    warped, crossings = np.zeros_like(labels), line.in_slices(grid)
    targets = np.indices(labels.shape[:2]).reshape(2, -1).T
    for z in range(labels.shape[2]):
        turn = np.deg2rad(turn_deg) * np.sin(share[z] + 0.5)
        turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        shift = np.array([bend_mm * np.sin(share[z]), 0.0])
        origin = ((targets - middle) * spacing - shift) @ turned / spacing + middle
        origin = np.rint(origin).astype(int)
        inside = ((origin >= 0) & (origin < labels.shape[:2])).all(axis=1)
        warped[(*targets[inside].T, z)] = labels[(*origin[inside].T, z)]
        place = turned @ ((crossings[z] - middle) * spacing) + shift
        crossings[z] = place / spacing + middle
    voxels = np.column_stack([crossings, np.arange(labels.shape[2])])
    return warped, Centreline.from_slices(voxels, affine, "bent")


@pytest.mark.parametrize(("bend_mm", "turn_deg"), [(0, 0), (8, 0), (0, 15), (-8, -20)])
def test_true_dorsal_levels_get_the_right_sides(phantom, line, bend_mm, turn_deg):
    dorsal = [root.value for root in REFINED_ROOTS]
    truth = np.where(np.isin(phantom.individuals, dorsal), phantom.individuals, 0).astype(np.uint8)
    truth, line = _bent_and_turned(truth, line, phantom.affine, bend_mm, turn_deg)
    levels = individuals_to_levels(truth)
    found = split_sides(levels, Volume(levels, phantom.affine).grid, line)
    assert (found == truth)[levels > 0].mean() >= 0.99
