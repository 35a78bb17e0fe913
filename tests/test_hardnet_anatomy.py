"""The anatomy network's samples and their changes on the fly, against closed forms."""

import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from test_phantom import COARSE

from spinalroots.hardnet.anatomy import contrast, geometry, greys, losses
from spinalroots.hardnet.anatomy.augmentation import tissue_batch
from spinalroots.hardnet.anatomy.classes import (
    CORD,
    CSF,
    CSF_LABEL,
    FAT_LABEL,
    OF_LABEL,
    ROOT,
    ROOT_LABEL,
    ROOT_OUTSIDE_LABEL,
    UNKNOWN,
    WHITE_MATTER_LABEL,
)
from spinalroots.hardnet.anatomy.learning import train
from spinalroots.hardnet.anatomy.network import tissue_network
from spinalroots.hardnet.anatomy.normalise import normalised
from spinalroots.hardnet.anatomy.prediction import find_tissues, inputs, largest_cord
from spinalroots.hardnet.anatomy.reading import stack
from spinalroots.hardnet.anatomy.sampling import (
    UNIT,
    Slices,
    Stack,
    draw_rows,
    gather,
    neighbour_offsets,
    open_slices,
    read_stack,
    take,
    write_stack,
)
from spinalroots.imaging.volume import Volume
from spinalroots.inference.predictor import torch_runner
from spinalroots.phantom.case import generate
from spinalroots.pipeline import params
from spinalroots.settings.anatomy import Limits

VOXEL_MM = 0.9
SETTINGS = params.load().anatomy
LIMITS = SETTINGS.limits
NONE = LIMITS.model_copy(
    update={
        name: 0.0 for name in Limits.model_fields if name not in ("taper", "root_edge", "thick_mm")
    }
)
"""No change but the mirror."""


def settings(**changes):
    """The project's own, with changes."""
    return SETTINGS.model_copy(update=changes)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disc_stack(slices: int = 30, size: int = 60):
    """A bright disc with a grey one in front, a thread behind and a rim of fat, the same along."""
    u, v = (axis.numpy() for axis in geometry.plane(size, VOXEL_MM))
    anatomy = np.zeros((size, size), np.uint8)
    anatomy[np.hypot(u, v) < 10] = FAT_LABEL
    anatomy[np.hypot(u, v) < 8] = CSF_LABEL
    anatomy[np.hypot(u, v - 3) < 3] = WHITE_MATTER_LABEL
    anatomy[np.hypot(u, v + 5) < 2] = ROOT_LABEL
    anatomy[np.hypot(u - 15, v) < 2] = ROOT_OUTSIDE_LABEL
    image = (UNIT * np.array([0.1, 0.5, 1.0, 0.7, 0.3, 0.4])[anatomy]).astype(np.uint8)
    roots = np.where(anatomy == ROOT_LABEL, 9, 0).astype(np.uint8)
    inside = np.ones_like(anatomy, bool)
    parts = [np.repeat(part[..., None], slices, 2) for part in (image, anatomy, roots, inside)]
    heights = np.arange(slices, dtype=np.float32)
    return Stack(*parts, np.stack([heights, heights + 10, heights / 30]))


def gathered(stacks: list[Stack]) -> Slices:
    """Slices of a few stacks; their files are open, and gone from their folder."""
    with TemporaryDirectory() as folder:
        return gather(stacks, Path(folder))


@pytest.fixture
def samples():
    slices = gathered([disc_stack(), disc_stack(12)])
    return take(slices, draw_rows(slices, 6, 5, 0.5, np.random.default_rng(0)))


def changed(samples, limits, seed: int = 0):
    return tissue_batch(samples, settings(limits=limits), generator(seed))


def test_a_phantom_becomes_straight_slices_with_its_cord_in_the_middle():
    case = generate(COARSE, 3, 1)
    scan = Volume(case.image.astype(np.float32), case.affine)
    discs = [(-1000.0, -10.0), (1000.0, 10.0)]
    image, anatomy, roots, inside, coordinates = stack(
        scan, case.anatomy, case.individuals, case.centreline, discs, SETTINGS
    )
    assert image.shape == anatomy.shape == roots.shape == inside.shape
    assert image.shape[:2] == (60, 60)
    assert set(np.unique(roots[anatomy != ROOT_LABEL])) == {0}
    cord = np.argwhere(anatomy == WHITE_MATTER_LABEL)[:, :2].mean(axis=0)
    assert np.abs(cord - 29.5).max() < 3
    assert 0.5 * UNIT < np.median(image[anatomy == CSF_LABEL]) < 1.3 * UNIT
    assert (anatomy[..., -1] > 0).any()
    np.testing.assert_allclose(np.diff(coordinates[0]), SETTINGS.slice_mm, rtol=1e-4)
    np.testing.assert_allclose(np.diff(coordinates[2]), SETTINGS.slice_mm / 100, rtol=1e-3)
    at = np.flatnonzero(np.abs(coordinates[0]) < SETTINGS.slice_mm / 2)[0]
    area = (anatomy == WHITE_MATTER_LABEL).sum(axis=(0, 1)) * SETTINGS.voxel_mm**2
    assert area[at] >= 25 > area[at - 1]


def test_rows_stay_within_their_case_and_the_middle_one_is_even():
    slices = gathered([disc_stack(30), disc_stack(10)])
    rows = draw_rows(slices, 4000, 5, 0.5, np.random.default_rng(1))
    middle = rows[:, 5]
    assert (rows[middle < 30] < 30).all()
    assert (rows[middle >= 30] >= 30).all()
    assert (np.diff(rows, axis=1) >= 0).all()
    counts = np.bincount(middle, minlength=40)
    assert counts.min() > 50
    assert counts.max() < 160


def test_without_changes_the_classes_are_those_of_the_labels(samples):
    image, classes = changed(samples, NONE)
    assert image.shape == (6, 11, 32, 32)
    expected = torch.from_numpy(OF_LABEL)[samples.anatomy[:, 5, 14:46, 14:46].long()]
    mirrored = (classes == expected.flip(1)).flatten(1).all(dim=1)
    assert ((classes == expected).flatten(1).all(dim=1) | mirrored).all()
    assert set(classes.unique().tolist()) == {0, CSF, CORD, ROOT, UNKNOWN}


def test_the_same_generator_gives_the_same_samples_another_gives_others(samples):
    first, again, other = (changed(samples, LIMITS, seed) for seed in (3, 3, 4))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert first[0].isfinite().all()


def test_normalising_undoes_gain_and_offset_and_leaves_padding_nought():
    image = torch.rand(3, 11, 40, 40, generator=generator()) * 50
    inside = torch.ones(3, 1, 40, 40, dtype=torch.bool)
    inside[:, :, :9] = False
    plain = normalised(image, inside, VOXEL_MM)
    torch.testing.assert_close(
        plain, normalised(7 * image + 30, inside, VOXEL_MM), atol=1e-4, rtol=0
    )
    assert (plain[:, :, :9] == 0).all()
    assert (normalised(torch.full_like(image, 4.0), inside, VOXEL_MM) == 0).all()
    assert (normalised(image, torch.zeros_like(inside), VOXEL_MM) == 0).all()


def test_a_fading_scan_looks_the_same_at_both_ends():
    image, _, _, inside, _ = disc_stack(80)
    faded = image * np.exp(-np.linspace(0, 1.5, 80))
    tiles = np.concatenate(list(inputs(faded, inside, neighbour_offsets(5), 0.8)))[:, 5]
    csf = tiles[:, 30, 36]  # in the middle of the sac, beside cord and root
    assert csf[20:60].std() < 0.1 * csf[20:60].mean()


def test_recolouring_gives_each_tissue_the_wanted_share_of_csf(samples):
    colours = contrast.Colours(torch.full((6, 6), torch.nan), torch.zeros(6, contrast.ROOT_VALUES))
    colours.wanted[:, ROOT_LABEL], colours.wanted[:, WHITE_MATTER_LABEL] = 0.6, 0.2
    new = contrast.recoloured(samples.image, samples.anatomy, samples.roots, colours)
    u, v = geometry.plane(60, VOXEL_MM)
    for distance, expected in ((torch.hypot(u, v + 5), 0.6), (torch.hypot(u, v - 3), 0.2)):
        core = (distance < 0.8).expand(6, 11, 60, 60)
        assert new[core].mean() == pytest.approx(expected, abs=0.03)
    far = (torch.hypot(u, v) > 12).expand_as(new) & (samples.anatomy == 0)
    assert torch.equal(new[far], samples.image[far])


def test_single_roots_get_signals_of_their_own(samples):
    colours = contrast.Colours(torch.full((6, 6), torch.nan), torch.zeros(6, contrast.ROOT_VALUES))
    colours.wanted[:, ROOT_LABEL] = 0.5
    colours.each[:, 9] = 0.2
    new = contrast.recoloured(samples.image, samples.anatomy, samples.roots, colours)
    u, v = geometry.plane(60, VOXEL_MM)
    core = (torch.hypot(u, v + 5) < 0.8).expand_as(new)
    assert new[core].mean() == pytest.approx(0.7, abs=0.03)


def test_without_csf_nothing_is_recoloured(samples):
    anatomy = torch.where(samples.anatomy == CSF_LABEL, 0, samples.anatomy)
    colours = contrast.draw_colours(
        LIMITS.model_copy(update={"recolour_share": 1.0}), generator(), 6
    )
    new = contrast.recoloured(samples.image, anatomy, samples.roots, colours)
    assert torch.equal(new, samples.image)


def test_image_and_labels_are_bent_alike(samples):
    where = geometry.draw_map(LIMITS, generator(2), 6, 40, VOXEL_MM)
    labels = geometry.bent_labels(samples.anatomy[:, 5], where, VOXEL_MM)
    cord = (samples.anatomy[:, 5:6] == WHITE_MATTER_LABEL).float()
    share = geometry.bent(cord, where, VOXEL_MM)[:, 0]
    assert ((labels == WHITE_MATTER_LABEL) == (share > 0.5)).float().mean() > 0.995


def test_a_tapered_sample_is_narrower_behind():
    limits = NONE.model_copy(update={"warp_share": 1.0, "taper": (0.4, 0.4)})
    where = geometry.draw_map(limits, generator(), 1, 41, 1.0)[0]
    reach = where[-1, :, 0].abs()  # where the right edge comes from
    assert reach[5] > 1.5 * reach[35]


def test_a_cut_field_leaves_the_middle_more_or_less():
    shown = geometry.draw_field(
        NONE.model_copy(update={"cut_share": 1.0}), generator(), 400, 40, VOXEL_MM
    )
    assert shown.float().mean() < 0.95
    assert shown[:, 0, 20, 20].float().mean() > 0.9
    assert geometry.draw_field(NONE, generator(), 4, 40, VOXEL_MM).all()


def test_curves_rise_and_blur_keeps_the_sum():
    ramp = torch.linspace(0, 1.2, 100).view(1, 1, 10, 10).expand(5, 1, 10, 10)
    curve = greys.curved(ramp, greys.draw_curves(generator(), 5)).flatten(1)
    assert (curve.diff(dim=1) >= 0).all()
    assert curve[:, -1] == pytest.approx(1.0)
    point = torch.zeros(2, 3, 21, 21)
    point[:, :, 10, 10] = 1.0
    spread = greys.blurred(point, torch.tensor([0.0, 0.8]))
    torch.testing.assert_close(spread.sum((2, 3)), torch.ones(2, 3))
    assert spread[0, 0, 10, 10] == pytest.approx(1.0)
    assert spread[1, 0, 10, 10] < 0.4


@pytest.mark.parametrize("axis", [2, 3])
def test_thick_slices_are_means_along_one_axis_and_leave_the_other_alone(axis):
    image = torch.rand(2, 3, 40, 40, generator=generator())
    seen = greys.sliced(image, axis, 4.0)
    torch.testing.assert_close(seen.mean((2, 3)), image.mean((2, 3)), atol=0.02, rtol=0)
    slabs = image.movedim(axis, -1).reshape(2, 3, 40, 10, 4).mean(-1)
    middles = seen.movedim(axis, -1).reshape(2, 3, 40, 10, 4)[..., 1:3].mean(-1)
    torch.testing.assert_close(middles, slabs, atol=0.15, rtol=0)
    assert seen.diff(dim=axis).abs().mean() < 0.3 * image.diff(dim=axis).abs().mean()
    other = 5 - axis
    thread = torch.zeros(1, 1, 40, 40).index_fill(other, torch.tensor([20]), 1.0)
    torch.testing.assert_close(greys.sliced(thread, axis, 4.0), thread)
    assert greys.sliced(image, axis, 90.0).shape == image.shape


def test_so_many_samples_as_asked_for_are_of_thick_slices():
    limits = NONE.model_copy(
        update={"thick_share": 0.3, "coronal_share": 0.25, "thick_mm": (3.6, 3.6)}
    )
    image = torch.rand(400, 1, 40, 40, generator=generator()) + 0.5
    seen = greys.spoiled(limits, generator(), image.clone(), torch.tensor([0]), VOXEL_MM)
    across, deep = (seen.diff(dim=axis).abs().mean((1, 2, 3)) for axis in (2, 3))
    sagittal, coronal = across < 0.6 * deep, deep < 0.6 * across
    assert 0.15 < sagittal.float().mean() < 0.3
    assert 0.04 < coronal.float().mean() < 0.12
    torch.testing.assert_close(seen[~(sagittal | coronal)], image[~(sagittal | coronal)])


def test_noise_has_the_spread_that_was_asked_for_at_most():
    noise = greys.draw_noise(
        NONE.model_copy(update={"noise": 0.1}), generator(), torch.Size([200, 3, 40, 40])
    )
    spread = noise.std(dim=(1, 2, 3))
    assert 0.04 < spread.mean() < 0.06
    assert spread.max() < 0.11


def test_a_right_answer_costs_nothing_and_unknown_voxels_do_not_count():
    classes = torch.randint(0, 4, (2, 8, 8), generator=generator())
    right = 30.0 * torch.nn.functional.one_hot(classes, 4).permute(0, 3, 1, 2)
    assert losses.tissue_loss(right, classes) == pytest.approx(0.0, abs=1e-4)
    hidden = classes.clone()
    hidden[:, :4] = UNKNOWN
    wrong = right.clone()
    wrong[:, :, :4] = right.flip(1)[:, :, :4]
    assert losses.tissue_loss(wrong, classes) > 1
    assert losses.tissue_loss(wrong, hidden) == pytest.approx(0.0, abs=1e-4)


def test_the_smoothing_is_a_convolution():
    values = torch.rand(3, 2, 9, 9, generator=generator())
    kernel = torch.outer(*[torch.tensor([0.25, 0.5, 0.25])] * 2)[None, None]
    expected = torch.nn.functional.conv2d(values.view(6, 1, 9, 9), kernel, padding=1)
    torch.testing.assert_close(contrast.smoothed(values), expected.view(3, 2, 9, 9))


def chances_of(network, image, inside, neighbours, mirroring=True):
    options = {"voxel_mm": VOXEL_MM, "neighbours": neighbours, "mirroring": mirroring}
    return find_tissues(image, inside, torch_runner(network), **options)


def test_a_mirrored_scan_gives_the_mirrored_answer():
    image, _, _, inside, _ = disc_stack(3)
    image, inside = image[10:50, 10:50], inside[10:50, 10:50]
    image = image + np.linspace(0, 30, 40)[:, None, None]
    network = tissue_network(settings(preset="tiny", neighbours=1)).eval()
    plain, mirrored = (chances_of(network, one, inside, 1) for one in (image, image[::-1]))
    np.testing.assert_allclose(mirrored[:, ::-1], plain, atol=1e-5)
    once = chances_of(network, image, inside, 1, mirroring=False)
    assert np.abs(once - plain).max() > 1e-5


def test_there_is_one_cord_and_what_lies_apart_takes_its_next_likely_class():
    chances = np.zeros((4, 9, 9, 20), np.float32)
    chances[CSF] = 0.3
    chances[CORD, 2:5, 2:5, :12] = 0.6
    chances[CORD, 7, 7, 18] = 0.6
    chances[ROOT, 7, 7, 18] = 0.35
    classes = largest_cord(chances)
    assert (classes == CORD).sum() == 9 * 12
    assert classes[7, 7, 18] == ROOT
    assert classes[0, 0, 0] == CSF


SHORT = {
    "preset": "tiny",
    "batch": 2,
    "naming_batch": 2,
    "naming_size_vox": 40,
    "neighbours": 1,
    "naming_neighbours": 1,
    "precision": "32",
}


@pytest.mark.parametrize("part", ["tissues", "names"])
def test_the_same_seed_trains_the_same_network(part):
    short = settings(**SHORT, steps=3, naming_steps=3)
    one, two = (train(part, gathered([disc_stack(6)]), short, 1)[0] for _ in range(2))
    for first, second in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("part", ["tissues", "names"])
def test_a_training_that_was_killed_goes_on_as_if_nothing_had_been(part, tmp_path, monkeypatch):
    from spinalroots.hardnet.anatomy import learning

    monkeypatch.setattr(learning, "OFTEN", 2)
    short, slices = settings(**SHORT, steps=6, naming_steps=6), gathered([disc_stack(6)])
    whole, curve = train(part, slices, short, 1)
    step, counter = learning.Training.step, itertools.count(1)

    def killed(self, slices):
        if next(counter) == 4:
            raise KeyboardInterrupt
        step(self, slices)

    monkeypatch.setattr(learning.Training, "step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(part, slices, short, 1, tmp_path)
    monkeypatch.setattr(learning.Training, "step", step)
    resumed, same_curve = train(part, slices, short, 1, tmp_path)
    assert same_curve == pytest.approx(curve)
    pairs = zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True)
    assert all(torch.equal(one, two) for one, two in pairs)


def test_a_stack_is_read_as_it_was_written(tmp_path):
    write_stack(tmp_path / "one.npz", disc_stack(6))
    for read, written in zip(read_stack(tmp_path / "one.npz"), disc_stack(6), strict=True):
        np.testing.assert_array_equal(read, written)
        assert read.dtype == written.dtype


def test_slices_on_disk_are_those_of_the_stacks_in_their_order(tmp_path):
    stacks = [disc_stack(6), disc_stack(4)]
    gather(iter(stacks), tmp_path)
    slices = open_slices(tmp_path)
    rows = np.array([[9, 0], [3, 6]])
    for name in Stack._fields:
        whole = np.concatenate([getattr(one, name) for one in stacks], axis=-1)
        found = getattr(slices, name)
        np.testing.assert_array_equal(found[rows], np.moveaxis(whole, -1, 0)[rows])
        assert (len(found), found[rows].dtype) == (10, whole.dtype)
    assert slices.first.tolist() == [0] * 6 + [6] * 4
    assert slices.last.tolist() == [5] * 6 + [9] * 4


def test_a_short_training_learns_the_disc(monkeypatch):
    from spinalroots.hardnet.anatomy import learning

    monkeypatch.setattr(learning, "OFTEN", 5)
    slices = gathered([disc_stack()])
    more = {"steps": 50, "learning_rate": 0.02, "limits": NONE, "average": 0.7}
    network, curve = train("tissues", slices, settings(**SHORT | {"batch": 4}, **more), 1)
    assert curve[-1] < 0.6 * curve[0]
    image, anatomy, _, inside, _ = disc_stack()
    image, anatomy, inside = (part[10:50, 10:50] for part in (image, anatomy, inside))
    chances = chances_of(network, image, inside, 1)
    np.testing.assert_allclose(chances.sum(axis=0), 1, atol=1e-4)
    sac = (CSF, CORD, ROOT)
    found, true = np.isin(chances.argmax(axis=0), sac), np.isin(OF_LABEL[anatomy], sac)
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.8
