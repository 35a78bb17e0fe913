"""Drawing and applying augmentation transforms."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from spinalroots.augment import transforms
from spinalroots.errors import InputError
from spinalroots.pipeline import params
from spinalroots.registry.anatomy import Root, Scheme
from spinalroots.settings.augment import Transforms

ROOT = Path(__file__).resolve().parents[1]
SHAPE = (24, 30, 36)
SPACING_MM = (0.8, 0.9, 1.2)
LEFT, RIGHT = Root.parse("L2_D_L").value, Root.parse("L2_D_R").value


@pytest.fixture(scope="module")
def limits():
    return params.load(ROOT / "params.yaml", scale="laptop").augment


@pytest.fixture(scope="module")
def always(limits):
    """The default limits with every transform sure to happen."""
    record = limits.transforms.model_dump()
    for transform in record.values():
        transform["probability"] = 1.0
    return Transforms.model_validate(record)


@pytest.fixture(scope="module")
def scan() -> np.ndarray:
    """A smooth bright bar in noise, 0…1000."""
    rng = np.random.default_rng(0)
    x, y, z = np.indices(SHAPE)
    bar = np.exp(-((x - 11) ** 2 + (y - 16 - 0.1 * z) ** 2) / 30.0)
    return (1000 * bar + rng.uniform(0, 40, SHAPE)).astype(np.float32)


@pytest.fixture
def roots() -> dict[Scheme, np.ndarray]:
    """A left and a right root; axis 0 points to the right (RAS+)."""
    individuals = np.zeros(SHAPE, np.uint8)
    individuals[7:9, 14:16, 6:30] = LEFT
    individuals[16:18, 15:17, 8:28] = RIGHT
    return {Scheme.INDIVIDUALS: individuals, Scheme.ENTITY: (individuals > 0).astype(np.uint8)}


def interior(array: np.ndarray) -> np.ndarray:
    return array[5:-5, 5:-5, 6:-6]


def mean_x(mask: np.ndarray) -> float:
    return float(np.argwhere(mask)[:, 0].mean())


def test_a_plan_replays_from_its_json_to_the_same_bytes(always, scan, roots):
    plan = transforms.draw(always, np.random.default_rng(5))
    assert set(plan) == set(transforms.SPATIAL + transforms.INTENSITY)
    first = transforms.apply_arrays(plan, scan, roots, SPACING_MM)
    again = transforms.apply_arrays(json.loads(json.dumps(plan)), scan, roots, SPACING_MM)
    assert first[0].tobytes() == again[0].tobytes()
    assert all(first[1][scheme].tobytes() == again[1][scheme].tobytes() for scheme in roots)


def test_equal_seeds_draw_equal_plans(always):
    one, two, other = (transforms.draw(always, np.random.default_rng(n)) for n in (1, 1, 2))
    assert one == two
    assert one != other


def test_probability_decides(limits):
    record = limits.transforms.model_dump()
    for transform in record.values():
        transform["probability"] = 0.0
    never = Transforms.model_validate(record)
    assert all(transforms.draw(never, np.random.default_rng(n)) == {} for n in range(50))


def test_flip_and_spikes_are_off_by_default(limits):
    drawn = [transforms.draw(limits, np.random.default_rng(n)) for n in range(200)]
    assert not any("flip" in plan or "spikes" in plan for plan in drawn)


def test_draws_stay_within_their_limits(always):
    plans = [transforms.draw(always, np.random.default_rng(n)) for n in range(100)]
    degrees = np.array([plan["rotation"]["degrees"] for plan in plans])
    factors = np.array([plan["scaling"]["factors"] for plan in plans])
    exponents = np.array([plan["gamma"]["exponent"] for plan in plans])
    assert (np.abs(degrees) <= always.rotation.limit_deg).all()
    assert (np.abs(degrees).max(axis=0) > 0.9 * np.array(always.rotation.limit_deg)).all()
    assert np.abs(factors - 1).max() <= always.scaling.limit_percent / 100
    assert np.abs(np.log(exponents)).max() <= always.gamma.limit_log + 1e-4


def test_only_leaves_the_other_transforms_as_they_were(always):
    every = transforms.draw(always, np.random.default_rng(4))
    some = transforms.draw(always, np.random.default_rng(4), only=("gamma", "rotation"))
    assert some == {name: every[name] for name in ("rotation", "gamma")}


def test_an_unknown_transform_is_refused(always):
    with pytest.raises(InputError, match="swirl"):
        transforms.draw(always, np.random.default_rng(0), only=("swirl",))


def test_affine_map_is_torchios(always, scan):
    import torch
    import torchio as tio

    plan = transforms.draw(
        always, np.random.default_rng(3), only=("rotation", "translation", "scaling")
    )
    image = tio.ScalarImage(tensor=torch.from_numpy(scan[None]), affine=np.diag([*SPACING_MM, 1.0]))
    expected = tio.Affine(
        plan["scaling"]["factors"], plan["rotation"]["degrees"], plan["translation"]["offset_mm"]
    )(image).numpy()[0]
    source = transforms.source_coordinates(plan, SHAPE, SPACING_MM)
    mine = ndimage.map_coordinates(scan, source, order=1)
    assert np.abs(expected - scan).max() > 100
    np.testing.assert_allclose(interior(mine), interior(expected), atol=0.5)


def test_elastic_map_is_torchios_and_cannot_fold(always, scan):
    import torch
    import torchio as tio

    plan = transforms.draw(always, np.random.default_rng(3), only=("elastic",))
    source = transforms.source_coordinates(plan, SHAPE, SPACING_MM)
    directions = np.array(plan["elastic"]["directions"])
    spacing_mm = np.array(SHAPE) * SPACING_MM / (np.array(directions.shape[:3]) - 3)
    reach_mm = np.minimum(plan["elastic"]["limit_mm"], transforms.FOLDING_SHARE * spacing_mm)
    image = tio.ScalarImage(tensor=torch.from_numpy(scan[None]), affine=np.diag([*SPACING_MM, 1.0]))
    expected = tio.ElasticDeformation(directions * reach_mm, tuple(reach_mm))(image).numpy()[0]
    mine = ndimage.map_coordinates(scan, source, order=1)
    np.testing.assert_allclose(interior(mine), interior(expected), atol=0.5)
    jacobian = np.stack([np.stack(np.gradient(axis)) for axis in source])
    assert np.linalg.det(np.moveaxis(jacobian, (0, 1), (-2, -1))).min() > 0


def test_translation_moves_by_its_millimetres(scan, roots):
    plan = {"translation": {"offset_mm": [1.6, -0.9, 2.4]}}
    image, maps = transforms.apply_arrays(plan, scan, roots, SPACING_MM)
    np.testing.assert_allclose(image[2:, :-1, 2:], scan[:-2, 1:, :-2], atol=1.0)
    np.testing.assert_array_equal(
        maps[Scheme.INDIVIDUALS][2:, :-1, 2:], roots[Scheme.INDIVIDUALS][:-2, 1:, :-2]
    )


def test_left_stays_left(limits, scan, roots):
    """In the default draws, and when a mirror is asked for."""
    for index in range(20):
        plan = transforms.draw(limits, np.random.default_rng(index), only=transforms.SPATIAL)
        if index % 2:
            plan = {"flip": {"axis": "left-right"}, **plan}
        individuals = transforms.apply_arrays(plan, scan, roots, SPACING_MM)[1][Scheme.INDIVIDUALS]
        assert mean_x(individuals == LEFT) < mean_x(individuals == RIGHT)


def test_mirror_moves_voxels_and_swaps_names(scan, roots):
    plan = {"flip": {"axis": "left-right"}}
    image, maps = transforms.apply_arrays(plan, scan, roots, SPACING_MM)
    np.testing.assert_array_equal(image, scan[::-1])
    np.testing.assert_array_equal(
        maps[Scheme.INDIVIDUALS] == LEFT, (roots[Scheme.INDIVIDUALS] == RIGHT)[::-1]
    )
    np.testing.assert_array_equal(maps[Scheme.ENTITY], roots[Scheme.ENTITY][::-1])
    twice = transforms.apply_arrays(plan, image, maps, SPACING_MM)[1]
    np.testing.assert_array_equal(twice[Scheme.INDIVIDUALS], roots[Scheme.INDIVIDUALS])


@pytest.mark.parametrize("name", transforms.INTENSITY)
def test_intensity_changes_the_scan_and_no_label(name, always, scan, roots):
    changes = []
    for seed in range(5):
        plan = transforms.draw(always, np.random.default_rng(seed), only=(name,))
        image, maps = transforms.apply_arrays(plan, scan, roots, SPACING_MM)
        assert image.dtype == np.float32
        assert image.shape == scan.shape
        assert np.isfinite(image).all()
        np.testing.assert_array_equal(maps[Scheme.INDIVIDUALS], roots[Scheme.INDIVIDUALS])
        changes.append(np.abs(image - scan).max())
    assert max(changes) > 10


def test_gamma_is_a_power_of_the_robust_range(scan):
    image, _ = transforms.apply_arrays({"gamma": {"exponent": 1.3}}, scan, {}, SPACING_MM)
    low = scan.min()
    span = np.percentile(scan, transforms.ROBUST_PERCENTILE) - low
    np.testing.assert_allclose(image, ((scan - low) / span) ** 1.3 * span + low, rtol=1e-4)


def test_noise_has_its_share_of_the_range(scan):
    plan = {"noise": {"sigma": 0.04, "seed": 1}}
    image, _ = transforms.apply_arrays(plan, scan + 500, {}, SPACING_MM)
    span = np.percentile(scan, transforms.ROBUST_PERCENTILE) - scan.min()
    bright = scan > 300
    assert np.std((image - scan)[bright]) == pytest.approx(0.04 * span, rel=0.1)


def test_the_scanners_unit_does_not_matter(always, scan):
    plan = transforms.draw(always, np.random.default_rng(2))
    image, _ = transforms.apply_arrays(plan, scan, {}, SPACING_MM)
    scaled, _ = transforms.apply_arrays(plan, 64 * scan, {}, SPACING_MM)
    np.testing.assert_allclose(scaled / 64, image, atol=0.5)


def test_applying_leaves_its_inputs_alone(always, scan, roots):
    before = scan.copy(), roots[Scheme.INDIVIDUALS].copy()
    transforms.apply_arrays(
        transforms.draw(always, np.random.default_rng(1)), scan, roots, SPACING_MM
    )
    np.testing.assert_array_equal(scan, before[0])
    np.testing.assert_array_equal(roots[Scheme.INDIVIDUALS], before[1])


def test_an_empty_plan_changes_nothing(scan, roots):
    image, maps = transforms.apply_arrays({}, scan, roots, SPACING_MM)
    np.testing.assert_array_equal(image, scan)
    np.testing.assert_array_equal(maps[Scheme.INDIVIDUALS], roots[Scheme.INDIVIDUALS])
