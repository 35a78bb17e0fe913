"""Names of roots: what they hang on, how they are learnt, and how threads agree on them."""

import numpy as np
import pytest
import torch
from test_hardnet_anatomy import NONE, SETTINGS, SHORT, disc_stack, gathered, generator, settings

from spinalroots.hardnet.anatomy import positions
from spinalroots.hardnet.anatomy.augmentation import draw_coordinates, draw_lost, naming_batch
from spinalroots.hardnet.anatomy.classes import CORD, CSF, ROOT
from spinalroots.hardnet.anatomy.learning import train
from spinalroots.hardnet.anatomy.losses import naming_loss
from spinalroots.hardnet.anatomy.naming import ABOVE, BELOW, NO_NAME, Names, names_of
from spinalroots.hardnet.anatomy.network import AnatomyNetwork, naming_network
from spinalroots.hardnet.anatomy.prediction import Names as FoundNames
from spinalroots.hardnet.anatomy.prediction import find_names
from spinalroots.hardnet.anatomy.predictor import AnatomyPredictor
from spinalroots.hardnet.anatomy.sampling import draw_rows, take
from spinalroots.imaging.anchors import Anchor
from spinalroots.imaging.centreline import Centreline
from spinalroots.imaging.volume import Volume
from spinalroots.pipeline import params
from spinalroots.predict.one_look import OneLook
from spinalroots.registry.anatomy import Root

INFERENCE = params.load().inference.anatomy
PLAIN = {"limits": NONE, "naming_overrides": {}}


def tapering(slices: int = 40, size: int = 40):
    """Classes of a cord that is thin below slice 20 and ends at slice 15, in a sac."""
    classes = np.full((size, size, slices), CSF)
    u = np.arange(size) - size / 2 + 0.5
    radius = np.hypot(u[:, None], u[None, :])
    classes[radius < 1.8, 15:] = CORD  # 12 voxels
    classes[radius < 4, 20:] = CORD  # 52 voxels
    return classes


def test_the_cord_gets_thin_and_ends_where_it_does():
    classes = tapering()
    assert positions.ends(classes, 1.0) == (20, 15)
    classes[3, 3, 8] = CORD  # a speck apart
    assert positions.ends(classes, 1.0) == (20, 15)
    assert positions.ends(classes, 0.5) == (None, 20)  # 13 and 3 mm²
    assert positions.ends(classes[..., 22:], 1.0) == (None, None)  # it goes on below
    assert positions.ends(np.zeros((9, 9, 9), int), 1.0) == (None, None)


def test_coordinates_are_heights_above_the_ends_and_nan_where_there_is_none():
    found = positions.coordinates((4, None), 6, 1.5)
    np.testing.assert_allclose(found[:, 0], [-6, -4.5, -3, -1.5, 0, 1.5])
    assert np.isnan(found[:, 1:]).all()
    places = np.linspace(0, 1, 6)
    np.testing.assert_allclose(positions.coordinates((4, 1), 6, 1.5, places)[:, 2], places)


def test_codes_tell_neighbouring_heights_apart_and_nothing_of_unknown_ones():
    known = torch.tensor([[0.0, torch.nan, torch.nan], [15.0, torch.nan, torch.nan]])
    codes = positions.encoded(known)
    assert codes.shape == (2, positions.CODES)
    first = len(positions.CENTRES[0])
    assert codes[0, :first].argmax() + 1 == codes[1, :first].argmax()
    assert (codes[:, first:] == 0).all()
    planes = positions.planes(known)
    assert planes[1].tolist() == pytest.approx([0.15, 0, 0, 1, 0, 0])


@pytest.mark.parametrize(
    ("root", "level"), [("T9_D_L", ABOVE), ("T10_V_R", 1), ("S3_D_R", 11), ("S4_D_L", BELOW)]
)
def test_a_roots_name_in_numbers(root, level):
    root = Root.parse(root)
    names = names_of(torch.tensor([[[root.value, 0]]]), torch.tensor([False]))
    assert names.level.flatten().tolist() == [level, NO_NAME]
    assert names.ventral.flatten().tolist() == [root.type == "V", NO_NAME]
    assert names.right.flatten().tolist() == [root.side == "R", NO_NAME]
    turned = names_of(torch.tensor([[[root.value, 0]]]), torch.tensor([True]))
    assert turned.right.flatten().tolist() == [root.side == "L", NO_NAME]


def test_a_whole_root_is_lost_or_none_of_it():
    roots = torch.zeros(50, 3, 8, 8, dtype=torch.uint8)
    roots[..., :4], roots[..., 4:7] = 5, 9
    lost = draw_lost(NONE.model_copy(update={"lost_roots": 1.0}), generator(), roots)
    for value in (5, 9):
        share = lost[roots == value].view(50, -1).float().mean(dim=1)
        assert set(share.tolist()) == {0.0, 1.0}
    assert not lost[roots == 0].any()


def test_coordinates_are_blurred_and_hidden_as_often_as_asked():
    given = torch.zeros(4000, 3)
    limits = NONE.model_copy(update={"height_mm": 4.0, "unknown_cord_share": 0.25})
    drawn = draw_coordinates(limits, generator(), given)
    hidden = drawn.isnan().float().mean(dim=0)
    assert hidden[0] == pytest.approx(0.25, abs=0.03)
    assert hidden[1] == hidden[0]  # both go with the cord
    assert hidden[2] == 0
    known = drawn[~drawn[:, 0].isnan()]
    assert known[:, 0].std() == pytest.approx(4.0, abs=0.2)
    assert (known[:, 1] - known[:, 0]).std() == pytest.approx(4.0, abs=0.2)


def test_voxels_without_a_name_teach_nothing():
    network = naming_network(settings(naming_neighbours=1))
    maps = torch.rand(2, 12, 16, 16, requires_grad=True)
    codes = torch.rand(2, positions.CODES)
    nothing = torch.full((2, 16, 16), NO_NAME, dtype=torch.uint8)
    loss = naming_loss(network, maps, codes, Names(nothing, nothing, nothing))
    loss.backward()
    assert loss == 0
    assert (maps.grad == 0).all()


def test_a_short_training_tells_levels_by_height(monkeypatch):
    from spinalroots.hardnet.anatomy import learning

    monkeypatch.setattr(learning, "OFTEN", 20)
    stacks = []
    for level in ("L1", "L5"):
        one = disc_stack(30)
        roots = np.where(one.roots > 0, Root.parse(f"{level}_D_L").value, 0).astype(np.uint8)
        heights = one.coordinates + (0 if level == "L1" else -100)
        stacks.append(one._replace(roots=roots, coordinates=heights))
    slices = gathered(stacks)
    more = {"naming_steps": 60, "naming_learning_rate": 0.02, "average": 0.7} | PLAIN
    network, _ = train("names", slices, settings(**SHORT, **more), 1)
    rows = draw_rows(slices, 20, 1, 0.0, np.random.default_rng(0))
    own = settings(**SHORT, **PLAIN)
    maps, codes, names = naming_batch(take(slices, rows), own, generator())
    sample, row, column = torch.nonzero(names.level != NO_NAME, as_tuple=True)
    with torch.inference_mode():
        logits = network(network.trunk(maps)[sample, :, row, column], codes[sample])
    right = logits[:, : BELOW + 1].argmax(dim=1) == names.level[sample, row, column]
    assert right.float().mean() > 0.95
    assert len(names.level[names.level != NO_NAME].unique()) == 2


def test_a_thread_agrees_on_one_name():
    """Two threads; the evidence of single slices is noise, that of a window is not."""
    tissues = np.zeros((4, 16, 16, 40), np.float32)
    tissues[ROOT, 3, 3], tissues[ROOT, 8, 8] = 0.9, 0.9
    tissues[0] = 1 - tissues[ROOT]
    network = naming_network(settings(naming_neighbours=1)).eval()
    coordinates = np.random.default_rng(0).normal(0, 50, (40, 3)).astype(np.float32)
    alone, agreed = (
        find_names(tissues, network, coordinates, neighbours=1, window=window).levels
        for window in ((0.5, 0.0), (0.5, 8.0))
    )
    np.testing.assert_allclose(agreed[:, 3, 3].sum(axis=0), 1, atol=1e-5)
    changes = [np.abs(np.diff(one[:, 3, 3], axis=1)).sum() for one in (alone, agreed)]
    assert changes[1] < 0.3 * changes[0]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    """An untrained network, written and read back."""
    torch.manual_seed(0)
    own = SETTINGS.model_copy(update={"preset": "tiny"})
    made = AnatomyPredictor.of(AnatomyNetwork(own).eval(), own, INFERENCE, "hardnet-anatomy")
    folder = tmp_path_factory.mktemp("model")
    made.save(folder)
    return made, AnatomyPredictor.load(folder, inference=INFERENCE)


@pytest.fixture(scope="module")
def scan():
    """A bright tube along an oblique axis, and the line through it."""
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    data = np.random.default_rng(0).uniform(0, 0.2, (40, 40, 20)).astype(np.float32)
    data[14:26, 14:26] += 1
    line = Centreline(np.array([[20.0, 20.0, 0.0], [20.0, 20.0, 57.0]]), "test")
    return Volume(data, affine), line


def test_a_model_that_was_written_predicts_the_same(predictor, scan):
    first, second = (one.predict(*scan) for one in predictor)
    for name in ("labels", "foreground", "name_chance", "tissues"):
        one, two = getattr(first, name), getattr(second, name)
        assert one.data.shape == scan[0].data.shape
        np.testing.assert_array_equal(one.data, two.data)


def test_an_anchor_changes_names_and_nothing_else(predictor, scan, monkeypatch):
    one = predictor[1]
    plain = one.predict(*scan)
    anchor = Anchor("L5/S1", (20.0, 25.0, 30.0))
    anchored = one.predict_anchored(*scan, None, [anchor])
    np.testing.assert_array_equal(plain.tissues.data, anchored.tissues.data)
    np.testing.assert_array_equal(plain.foreground.data, anchored.foreground.data)
    names = [one.chances(*scan, anchors=anchors).roots for anchors in ((), [anchor])]
    assert not np.array_equal(*names)


def test_roots_of_another_network_are_named_where_they_can_be_roots(predictor, scan, monkeypatch):
    volume, line = scan
    model = predictor[1]
    _, placement = model.find_tissues(volume, line)
    # A sac of 12 mm, roots at its back; those on the left are ventral.
    size = placement.squares.size_vox
    shape = (size, size, placement.squares.grid.shape[2])
    middle, half = size // 2, round(6 / model.inference.voxel_mm)
    tissues = np.zeros((4, *shape), np.float32)
    tissues[0] = 1
    sac = (slice(middle - half, middle + half),) * 2
    tissues[:, *sac] = np.array([0, 0.4, 0, 0.6])[:, None, None, None]
    levels = np.zeros((BELOW + 1, *shape), np.float32)
    levels[3] = tissues[3] > 0
    ventral = np.zeros(shape, np.float32)
    ventral[:middle] = 0.9
    monkeypatch.setattr(AnatomyPredictor, "find_tissues", lambda *_: (tissues, placement))
    monkeypatch.setattr(
        AnatomyPredictor, "find_names", lambda *_: FoundNames(levels, ventral, 0 * ventral)
    )
    roots = volume.with_data(np.zeros(volume.data.shape, np.uint8))
    roots.data[23, 20, 4:16] = 25  # in the sac, on the right
    roots.data[17, 20, 4:16] = 25  # ventral
    roots.data[32, 20, 4:16] = 25  # 6 mm beside the sac
    roots.data[3, 3, 4:6] = 25  # beyond the squares
    named = model.name_roots(roots, volume, line)
    found = {tuple(one) for one in np.argwhere(named.data)}
    assert found == {(23, 20, z) for z in range(4, 16)}
    assert set(np.unique(named.data)) == {0, Root.parse("T12_D_L").level_index + 1}


def test_naming_roots_after_ones_own_answer_runs_no_network(predictor, scan):
    model = predictor[1]
    once = OneLook(model.name, model.whole, model.squares, model.inference, model.extents)
    runs: list[str] = []
    hook = model.whole.tissues.register_forward_hook(lambda *_: runs.append("tissues"))
    once.predict(*scan)
    after_one = len(runs)
    once.name_roots(scan[0].with_data(np.ones(scan[0].data.shape, np.uint8)), *scan)
    hook.remove()
    assert len(runs) == after_one > 0


def test_what_was_found_answers_one_more_question_about_the_same_and_no_other(
    predictor, scan, monkeypatch
):
    model = predictor[1]
    once = OneLook(model.name, model.whole, model.squares, model.inference)
    for name in ("find_tissues", "find_names"):
        monkeypatch.setattr(AnatomyPredictor, name, lambda *_: object())
    (volume, line), other = scan, scan[0].with_data(scan[0].data)
    first = once.find_tissues(volume, line)
    assert once.find_tissues(volume, line) is first
    second = once.find_tissues(volume, line)
    assert second is not first
    assert once.find_tissues(other, line) is not second
    second = once.find_tissues(volume, line)
    assert once.find_tissues(volume, line, lambda batch: batch) is not second
    names = once.find_names(first, (3, 2))
    assert once.find_names(first, (3, 2)) is names
    names = once.find_names(first, (3, 2))
    assert once.find_names(first, (3, 1)) is not names
    names = once.find_names(first, (3, 2))
    assert once.find_names(second, (3, 2)) is not names
    names = once.find_names(first, (3, 2))
    assert once.find_names(first, (3, 2), np.zeros(3)) is not names


def test_without_a_root_there_is_nothing_to_name():
    tissues = np.zeros((4, 16, 16, 5), np.float32)
    tissues[CSF] = 1
    network = naming_network(settings(naming_neighbours=1)).eval()
    unknown = np.full((5, 3), np.nan, np.float32)
    names = find_names(tissues, network, unknown, neighbours=1, window=(0.5, 3.0))
    assert names.levels.shape == (BELOW + 1, 16, 16, 5)
    assert not names.levels.any()
    assert not names.ventral.any()
