"""The end of the cord: found once in a whole scan, and handed down to what is cut from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from spinalroots.augment.dataset import Variant, carried, draw_record, replay, source_slices
from spinalroots.augment.transforms import draw, middle_slices, source_coordinates
from spinalroots.dataset.layout import Dataset
from spinalroots.files import write_json
from spinalroots.hardnet.data.landmark import Heights, heights
from spinalroots.hardnet.data.straighten import InputSpec, network_stack
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.conus import Conus, conus_slice, core_brightness, find_conus
from spinalroots.imaging.volume import Volume, write_volume
from spinalroots.pipeline import params
from spinalroots.stages import centreline as stage

ROOT = Path(__file__).parents[1]
RULE = Conus()
TURN = np.deg2rad(8.0)
LEANING = np.array(
    [
        [np.cos(TURN), 0, np.sin(TURN), -10.0],
        [0, 1.0, 0, 5.0],
        [-np.sin(TURN), 0, np.cos(TURN), -40.0],
        [0, 0, 0, 1.0],
    ]
) @ np.diag([1.0, 1.0, 1.3, 1.0])


def sac(conus: int, slices: int = 60, size: int = 21) -> np.ndarray:
    """A bright sac with a dark cord from slice `conus` up, 1 mm voxels."""
    offset = np.arange(size) - size // 2
    radius = np.hypot(offset[:, None], offset[None, :])
    image = np.where(radius < 8, 1.0, 0.3)[..., None].repeat(slices, axis=2)
    image[..., conus:][radius < 3.5] = 0.4
    return image.astype(np.float32)


def in_space(image: np.ndarray, affine: np.ndarray = LEANING) -> tuple[Volume, Centreline]:
    """The scan, and the line through the middle of every slice."""
    scan, middle = Volume(image, affine), image.shape[0] // 2
    slices = np.arange(image.shape[2])
    voxels = np.column_stack([np.full((len(slices), 2), middle), slices])
    return scan, Centreline.from_slices(voxels, affine, "made")


@pytest.mark.parametrize("conus", [10, 30, 50])
def test_the_step_is_found_under_noise_and_a_bias_field_along_the_axis(conus):
    image = sac(conus) * np.linspace(0.5, 1.5, 60)
    image += 0.05 * np.random.default_rng(0).standard_normal(image.shape)
    assert abs(conus_slice(core_brightness(image, 1.0, RULE), RULE) - conus) <= 1


def test_a_faint_step_counts_and_a_dark_core_below_the_sac_does_not_hide_it():
    profile = np.r_[np.full(12, 0.4), np.full(88, 0.97), np.full(90, 0.7)]
    assert conus_slice(profile, RULE) == 100


@pytest.mark.parametrize("scale", [1.0, 500.0])
def test_the_tip_lies_below_the_step_by_what_is_too_thin_to_be_seen(scale):
    scan, line = in_space(scale * (sac(45) + 0.2))
    tip = scan.grid.to_voxels(find_conus(scan, line, RULE))
    assert tip == pytest.approx([10, 10, 45 - RULE.tip_mm / 1.3], abs=1.1)


@pytest.mark.parametrize(("conus", "end"), [(0, 0), (60, 60)])
def test_without_a_conus_in_view_it_lies_at_the_end_beyond_which_it_must_be(conus, end):
    scan, line = in_space(sac(conus))
    assert scan.grid.to_voxels(find_conus(scan, line, RULE))[2] == pytest.approx(end, abs=0.1)


def test_heights_are_zero_at_the_conus_and_rise_upwards_in_their_unit():
    found = heights(30.5, 60, 2.0, Heights())
    assert found[[30, 31]] == pytest.approx([-0.01, 0.01])
    assert found[0] == pytest.approx(-0.61)
    assert heights(-500.0, 60, 2.0, Heights()).max() == 2.0


def test_a_crop_that_is_told_the_conus_has_the_heights_of_its_scan():
    scan, line = in_space(sac(40, slices=70))
    whole, _ = network_stack(scan, line, InputSpec(14.0, 1.0))
    told = Centreline(line.points_mm, "made", find_conus(scan, line, RULE))
    part = scan.crop((slice(None), slice(None), slice(50, 66)))
    crop, _ = network_stack(part, told, InputSpec(14.0, 1.0))
    assert crop.heights == pytest.approx(whole.heights[50:66], abs=1e-3)
    # Sought in the crop, it would lie at its end.
    alone, _ = network_stack(part, line, InputSpec(14.0, 1.0))
    assert abs(alone.heights - whole.heights[50:66]).min() > 0.1


def test_the_middles_of_slices_come_from_where_the_whole_map_says():
    knobs = params.load(ROOT / "params.yaml", scale="smoke").augment
    shape, spacing = (14, 16, 20), (1.0, 0.8, 1.5)
    for seed in range(4):
        recipe = draw(knobs, np.random.default_rng(seed))
        whole = source_coordinates(recipe, shape, spacing)[2, 7, 8]
        assert middle_slices(recipe, shape, spacing, np.arange(20)) == pytest.approx(
            whole, abs=1e-3
        )


@pytest.mark.parametrize("conus", [5, 30, 55])
def test_a_variant_s_conus_is_where_its_own_grey_values_say_also_outside_of_it(conus):
    knobs = params.load(ROOT / "params.yaml", scale="smoke").augment
    moves = {"rotation", "translation", "scaling"}
    shape = (20, 20, 60)
    scan = Volume(np.broadcast_to(np.arange(60, dtype=np.float32), shape).copy(), LEANING)
    for seed in range(5):
        record = draw_record(Variant("v", "p", "", "", 24, 43), scan, knobs, seed)
        record["transforms"] = draw(knobs, np.random.default_rng(seed), only=moves)
        record["source_slices"] = source_slices(record, scan)
        variant, _ = replay(record, scan, {})
        # Grey values are the parent's slice numbers: a line through them says where `conus` is.
        shown = variant.data[10, 10, 2:-2]
        rise, start = np.polyfit(np.arange(2, 18), shown, 1)
        point = scan.grid.to_mm(np.array([10, 10, conus]))
        assert carried(record, point, variant.grid) == pytest.approx(
            (conus - start) / rise, abs=0.3
        )


def test_the_stage_hands_the_scan_s_conus_down_to_its_refined_copy_and_its_variants(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    knobs = params.load(ROOT / "params.yaml", scale="smoke").model_copy(update={"workers": 1})
    scan, _ = in_space(np.pad(sac(50, slices=90), ((8, 8), (8, 8), (0, 0)), "edge"))
    scan = scan.with_data(scan.data * 400)
    refined = scan.crop((slice(2, 34), slice(2, 34), slice(55, 85)))
    write_volume(Dataset(Path("data/raw/phantom")).image("sub-ph001"), scan)
    write_volume(Dataset(Path("data/refined")).image("sub-ph001"), refined)
    variants = Dataset(Path("data/augmented"))
    write_volume(
        variants.image("sub-ph001aug01"), refined.crop((slice(None), slice(None), slice(10, 30)))
    )
    # Twice as tall: slice k shows what was at 10 + k / 2.
    record = {"parent": "sub-ph001", "slices": [10, 29]}
    record["source_slices"] = [10 + number / 2 for number in range(20)]
    write_json(variants.sidecar("sub-ph001aug01"), record)
    stage.main(knobs)
    lines = {
        name: Centreline.read(Path(f"data/centreline/{name}.json")).conus_mm
        for name in ("raw/sub-ph001", "sub-ph001", "sub-ph001aug01")
    }
    found = scan.grid.to_voxels(lines["raw/sub-ph001"])[2]
    assert found == pytest.approx(50 - RULE.tip_mm / 1.3, abs=1.5)
    assert lines["sub-ph001"] == pytest.approx(lines["raw/sub-ph001"])
    of_variant = Volume(scan.data, refined.affine).grid.to_voxels(lines["sub-ph001aug01"])[2]
    assert of_variant - 10 == pytest.approx((found - 55 - 10) * 2, abs=0.1)
    assert "conus_low_mm" in pd.read_csv("reports/centreline.csv").columns
