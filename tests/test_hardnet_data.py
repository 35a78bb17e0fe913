"""Straightening, patches and augmentation: exact ways back, nothing left to chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spinalroots.augment.transforms import apply_arrays, draw
from spinalroots.hardnet.data.augmentation import augmented
from spinalroots.hardnet.data.drawing import balanced_draws, even_draws
from spinalroots.hardnet.data.patches import Patches, PatchShape, draw_patch, take_patch
from spinalroots.hardnet.data.stacks import UNKNOWN_ROOT, TrainingStack
from spinalroots.hardnet.data.straighten import (
    InputSpec,
    bend_back,
    network_stack,
    normalised,
    plan,
    straighten,
)
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.pipeline import params

ROOT = Path(__file__).parents[1]


def scan(spacing=(1.0, 1.0, 1.0), shape=(30, 28, 20)) -> tuple[Volume, Centreline]:
    data = np.random.default_rng(0).random(shape, np.float32) + 1
    affine = np.diag([*spacing, 1.0])
    heights = np.arange(shape[2]) * spacing[2]
    middle = np.array([15.0, 14.0]) * spacing[:2]
    lean = 2 * np.sin(heights / 6)
    points = np.stack([middle[0] + lean, middle[1] - lean, heights], axis=1)
    return Volume(data, affine), Centreline(points, "test")


def case(seed=0, shape=(12, 12, 10)) -> TrainingStack:
    rng = np.random.default_rng(seed)
    classes = np.zeros(shape, np.uint8)
    classes[5, 5, :] = 1
    classes[3, 8, 2] = 2
    heights = np.linspace(-1, 1, shape[2], dtype=np.float32)
    return TrainingStack(rng.random(shape, np.float32) + 0.5, heights, classes, "made")


def test_no_patch_is_placed_on_an_unnamed_root_and_its_skeleton_is_none():
    one = case()
    classes = one.classes.copy()
    classes[9:, 0:3, 6:9] = UNKNOWN_ROOT
    stack = TrainingStack(one.image, one.heights, classes, "made")
    assert set(stack.root_voxels) == {1, 2}
    assert np.array_equal(stack.skeleton, one.skeleton)
    rng, shape = np.random.default_rng(0), PatchShape(3, 2, 2)
    for _ in range(50):
        _, start = even_draws([stack])([stack], shape, rng, 1.0)
        _, seen, _ = take_patch(stack, shape, start)
        assert np.isin(seen, (1, 2)).any()


def test_straightening_and_back_is_exact_where_voxel_sizes_agree():
    volume, line = scan()
    placement = plan(volume.grid, line, InputSpec(12.0, 1.0))
    stack = straighten(volume.data, placement)
    assert stack.shape == (12, 12, 20)
    box = bend_back(stack, placement, fill=-1)
    expected = volume.data[placement.box]
    held = box != -1
    assert held.sum() == stack.size
    assert np.array_equal(box[held], expected[held])


def test_straightening_and_back_keeps_a_smooth_field_on_other_voxel_sizes():
    volume, line = scan(spacing=(0.8, 0.9, 1.5))
    x, y, z = np.meshgrid(*[np.arange(n) for n in volume.data.shape], indexing="ij")
    smooth = volume.with_data((0.1 * x + 0.2 * y + 0.05 * z).astype(np.float32))
    placement = plan(smooth.grid, line, InputSpec(14.0, 1.0, 1.0))
    stack = straighten(smooth.data, placement)
    held = bend_back(np.ones_like(stack), placement) > 0.999
    error = np.abs(bend_back(stack, placement) - smooth.data[placement.box])
    inner = (slice(None), slice(None), slice(2, -2))
    assert held[inner].mean() > 0.3
    assert error[inner][held[inner]].max() < 0.15


def test_grey_values_do_not_depend_on_scanner_units_or_on_what_lies_far_away():
    volume, line = scan(shape=(60, 60, 12))
    spec = InputSpec(24.0, 1.0)
    one, placement = network_stack(volume, line, spec)
    other, _ = network_stack(volume.with_data(3 * volume.data + 7), line, spec)
    assert np.allclose(one.image, other.image, atol=1e-4)
    stack = straighten(volume.data, placement)
    inside = placement.squares.inside()
    brighter = stack.copy()
    brighter[:3] *= 50
    changed = normalised(brighter, inside, spec.voxel_mm, spec.grey_values)
    assert np.array_equal(
        changed[3:], normalised(stack, inside, spec.voxel_mm, spec.grey_values)[3:]
    )


def test_padding_outside_the_scan_is_zero():
    volume, line = scan(shape=(20, 28, 20))
    stack, placement = network_stack(volume, line, InputSpec(24.0, 1.0))
    inside = placement.squares.inside()
    assert not inside.all()
    assert (stack.image[~inside] == 0).all()


def test_a_patch_is_the_window_it_says_and_zero_outside():
    made = case()
    shape = PatchShape(3, 8, 16)
    image, classes, tube = take_patch(made, shape, np.array([2, 3, 0]), skeleton=True)
    assert image.shape == (1, 8, 8, 16)
    assert np.array_equal(image[0, :, :, :10], made.image[2:10, 3:11])
    assert not image[..., 10:].any()
    assert np.array_equal(classes[:, :, :10], made.classes[2:10, 3:11])
    assert tube[3, 2, :10].all()


def test_neighbours_are_channels_and_the_ends_repeat():
    made = case()
    image, classes, _ = take_patch(made, PatchShape(2, 8, 1, neighbours=2), np.array([0, 0, 1]))
    assert image.shape == (5, 8, 8)
    assert np.array_equal(image[4], made.image[:8, :8, 3])
    assert np.array_equal(image[2], made.image[:8, :8, 1])
    assert np.array_equal(image[1], made.image[:8, :8, 0])
    assert np.array_equal(image[0], made.image[:8, :8, 0])
    assert np.array_equal(classes, made.classes[:8, :8, 1])


@pytest.mark.parametrize("shape", [PatchShape(3, 6, 4), PatchShape(2, 6, 1, neighbours=1)])
def test_a_patch_on_a_root_holds_it(shape):
    made = case()
    for number in range(100):
        for root in (1, 2):
            start = draw_patch(made, shape, np.random.default_rng(number), root)
            assert (take_patch(made, shape, start)[1] == root).any()


def shown(draws, stacks, shape, foreground) -> np.ndarray:
    """Voxels of classes 1 and 2 in many patches."""
    rng, counts = np.random.default_rng(7), np.zeros(256)
    for _ in range(1500):
        stack, start = draws(stacks, shape, rng, foreground)
        counts += np.bincount(take_patch(stack, shape, start)[1].ravel(), minlength=256)
    return counts[1:3]


def test_a_rare_root_is_seen_as_much_as_is_asked_for_and_no_more():
    """Class 1 has a voxel in every slice, class 2 in one, beside it."""
    stacks, shape = [case(), case(1)], PatchShape(2, 6, 1)
    few, many = sorted(shown(even_draws(stacks), stacks, shape, 0.8))
    assert few / many < 0.75
    draws = balanced_draws(stacks, shape, foreground=0.8, ratio=0.9, seed=3)
    assert draws.chances.sum() == pytest.approx(1)
    one, two = shown(draws, stacks, shape, 0.8)
    assert two / one > few / many + 0.1
    # Of two classes the median is their mean.
    assert min(one, two) / np.median([one, two]) > 0.85


def test_without_a_wish_every_root_is_drawn_as_often_and_none_where_there_is_none():
    stacks, shape = [case(), case(1)], PatchShape(2, 6, 1)
    asked = {"foreground": 0.8, "seed": 0}
    assert balanced_draws(stacks, shape, ratio=0, **asked).chances.tolist() == [0.5, 0.5]
    empty = [TrainingStack(one.image, one.heights, 0 * one.classes, "bare") for one in stacks]
    draws = balanced_draws(empty, shape, ratio=0.5, **asked)
    assert shown(draws, empty, shape, 0.8).tolist() == [0, 0]


def test_the_same_epoch_gives_the_same_patches_and_another_epoch_others():
    def patches(epoch):
        shape = PatchShape(3, 6, 4)
        draws = even_draws([case()])
        return Patches([case()], shape, samples=3, epoch=epoch, seed=5, foreground=0.5, draws=draws)

    first, again, later = patches(1), patches(1), patches(2)
    assert all(np.array_equal(first[i]["image"], again[i]["image"]) for i in range(3))
    assert not any(np.array_equal(first[i]["image"], later[i]["image"]) for i in range(3))


def limits(**probabilities):
    """The repository's augmentation with only the named transforms left."""
    loaded = params.load(ROOT / "params.yaml", scale="smoke").augment.transforms
    changed = {
        name: getattr(loaded, name).model_copy(update={"probability": probabilities.get(name, 0.0)})
        for name in type(loaded).model_fields
    }
    return loaded.model_copy(update=changed)


def test_a_case_is_drawn_as_often_as_it_is_long():
    short, long = case(shape=(12, 12, 4)), case(1, shape=(12, 12, 12))
    draws = even_draws([short, long])
    assert draws.by_length == pytest.approx([0.25, 0.75])
    rng = np.random.default_rng(0)
    of_long = sum(
        draws([short, long], PatchShape(3, 2, 2), rng, 0.0)[0] is long for _ in range(400)
    )
    assert 260 < of_long < 340


def test_a_mirrored_patch_takes_its_labels_along_and_keeps_their_names():
    image = np.random.default_rng(0).uniform(0.1, 1, (4, 5, 3)).astype(np.float32)
    labels = (image > 0.6).astype(np.uint8) * 3
    rng = np.random.default_rng(1)
    changed, (mirrored, flat) = augmented(
        limits(flip=1.0), rng, image, [labels, labels[..., 1]], (1.0, 1.0, 1.0)
    )
    assert np.array_equal(changed, image[::-1])
    assert np.array_equal(mirrored, labels[::-1])
    assert np.array_equal(flat, labels[::-1, :, 1])


def test_a_patch_changes_as_a_scan_would_and_its_padding_stays():
    image = np.random.default_rng(0).uniform(0.1, 1, (6, 6, 5)).astype(np.float32)
    image[:2] = 0
    only = limits(gamma=1.0, noise=1.0)
    drawn = draw(only, np.random.default_rng(3))
    assert set(drawn) == {"gamma", "noise"}
    expected, _ = apply_arrays(drawn, image, {}, (1.0, 1.0, 2.0))
    changed, _ = augmented(only, np.random.default_rng(3), image, [], (1.0, 1.0, 2.0))
    assert not changed[:2].any()
    assert np.array_equal(changed[2:], expected[2:])
    assert not np.allclose(changed[2:], image[2:])


def test_what_is_too_dear_for_a_patch_is_left_to_the_offline_augmentation():
    image = np.random.default_rng(0).uniform(0.1, 1, (6, 6, 5)).astype(np.float32)
    dear = limits(rotation=1.0, elastic=1.0, motion=1.0, bias_field=1.0, blur=1.0)
    changed, _ = augmented(dear, np.random.default_rng(3), image, [], (1.0, 1.0, 1.0))
    assert np.array_equal(changed, image)


@pytest.mark.parametrize(
    "shape",
    [PatchShape(2, 8, 1, neighbours=0), PatchShape(2, 8, 1, neighbours=3), PatchShape(3, 8, 8)],
)
def test_patches_of_every_shape_are_augmented(shape):
    always = limits(flip=1.0, gamma=1.0, noise=1.0)
    options = {"samples": 2, "epoch": 0, "seed": 5, "foreground": 1.0, "skeleton": True}
    options["draws"] = even_draws([case()])
    plain = Patches([case()], shape, **options)[1]
    changed = Patches([case()], shape, augmentation=always, **options)[1]
    across = -2 if shape.dim == 2 else -3
    for name in ("classes", "skeleton"):
        assert np.array_equal(changed[name], np.flip(plain[name].numpy(), across))
    assert changed["image"].shape == plain["image"].shape
    assert not np.allclose(changed["image"], np.flip(plain["image"].numpy(), across))
