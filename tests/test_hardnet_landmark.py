"""The conus, found by where the middle of the sac turns bright."""

from __future__ import annotations

import numpy as np
import pytest

from spinalroots.hardnet.data.landmark import Conus, conus_slice, core_brightness, heights

RULE = Conus()


def sac(conus: int, slices: int = 60, size: int = 21) -> np.ndarray:
    """A bright sac with a dark cord from slice `conus` up, 1 mm voxels."""
    offset = np.arange(size) - size // 2
    radius = np.hypot(offset[:, None], offset[None, :])
    image = np.where(radius < 8, 1.0, 0.3)[..., None].repeat(slices, axis=2)
    image[..., conus:][radius < 3.5] = 0.4
    return image.astype(np.float32)


@pytest.mark.parametrize("conus", [10, 30, 50])
def test_the_step_is_found_under_noise_and_a_bias_field_along_the_axis(conus):
    image = sac(conus) * np.linspace(0.5, 1.5, 60)
    image += 0.05 * np.random.default_rng(0).standard_normal(image.shape)
    assert abs(conus_slice(core_brightness(image, 1.0, RULE), RULE) - conus) <= 1


def test_heights_are_zero_at_the_conus_and_rise_upwards_in_their_unit():
    found = heights(sac(30), 1.0, 2.0, RULE)
    assert found[30] == 0
    assert found[40] == pytest.approx(0.2)
    assert found[0] == pytest.approx(-0.6)


@pytest.mark.parametrize(("conus", "sign"), [(0, 1), (60, -1)])
def test_without_a_conus_in_view_all_slices_are_on_one_side(conus, sign):
    found = heights(sac(conus), 1.0, 1.0, RULE)
    assert (sign * found >= 0).all()
    assert np.ptp(found) > 0.5
